import { existsSync, readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { problemSchema } from "../../src/wire.ts";
import { isRunning, openFleet, pause, until, type NodeProcess } from "./support.ts";

const graceMs = 2000;

interface Answered {
  readonly n: number;
  readonly status: number;
  readonly code: string;
  readonly started: boolean;
  readonly sentAt: number;
}

/** Sends a run and says what became of it; status 0 where there was no answer. */
async function send(node: NodeProcess, input: { readonly n: number; readonly ms: number }): Promise<Answered> {
  const sentAt = performance.now();
  try {
    const response = await node.post({ tool: "append", input });
    const body: unknown = await response.json();
    if (response.status === 200) return { n: input.n, status: 200, code: "OK", started: true, sentAt };
    const { code, started } = problemSchema.parse(body);
    return { n: input.n, status: response.status, code, started, sentAt };
  } catch {
    return { n: input.n, status: 0, code: "no answer", started: false, sentAt };
  }
}

describe("G6: SIGTERM under load", () => {
  it("starts nothing more, lets end what ends within the grace, and answers everybody", async () => {
    const fleet = await openFleet({ config: { graceMs, concurrency: { running: 4, queued: 100 } } });
    const [node] = fleet.nodes;
    if (node === undefined) throw new Error("there is no node");
    const answers: Answered[] = [];
    let next = 0;
    const over = new AbortController();
    const caller = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const answer = await send(node, { n: next++, ms: 100 });
        answers.push(answer);
        if (answer.status !== 200) await pause(20);
      }
    };
    const callers = Array.from({ length: 12 }, caller);
    const long = send(node, { n: 1_000_000, ms: 900 });
    const tooLong = send(node, { n: 2_000_000, ms: 60_000 });
    await until(
      () => [1_000_000, 2_000_000].every((n) => fleet.effects.of(n).length === 1) && answers.length > 20,
      20_000,
      "it is under load",
    );
    const stoppedAt = performance.now();
    node.signal("SIGTERM");
    expect(await long).toMatchObject({ status: 200 });
    expect(await tooLong).toMatchObject({ status: 503, code: "ERR_CLOSED", started: true });
    expect(await node.ended).toEqual({ code: 0, signal: null });
    // The grace, and what ends and answers the rest.
    expect(performance.now() - stoppedAt).toBeLessThan(graceMs + 5000);
    over.abort();
    await Promise.all(callers);
    const counts = fleet.effects.counts();
    const late = answers.filter(({ sentAt }) => sentAt > stoppedAt + 500);
    expect(late.length).toBeGreaterThan(0);
    expect(late.filter(({ status }) => status === 200)).toEqual([]);
    // What was answered with a result ran once; what was refused as not started did not run.
    const ranOften = (n: number): number => counts.get(n) ?? 0;
    expect(answers.filter(({ n, status }) => status === 200 && ranOften(n) !== 1)).toEqual([]);
    expect(answers.filter(({ n, status, started }) => status >= 400 && !started && ranOften(n) !== 0)).toEqual([]);
    // A request that was taken gets an answer; one that came too late finds nobody.
    expect(answers.filter(({ status, sentAt }) => status === 0 && sentAt < stoppedAt)).toEqual([]);
    for (const { pid } of fleet.effects.all()) expect([pid, isRunning(pid)]).toEqual([pid, false]);
    expect(existsSync(node.scratch) ? readdirSync(node.scratch) : []).toEqual([]);
  });

  it("says that it drains, so that a fleet sends its work elsewhere", async () => {
    const fleet = await openFleet({ nodes: 2, config: { graceMs: 5000 } });
    const [first] = fleet.nodes;
    if (first === undefined) throw new Error("there is no node");
    const runtime = fleet.runtime();
    await runtime.probe();
    const holding = send(first, { n: 1_000_000, ms: 2500 });
    await until(() => fleet.effects.of(1_000_000).length === 1, 20_000, "it is busy");
    first.signal("SIGTERM");
    const places: unknown[] = [];
    for (let n = 0; n < 10; n++) {
      const { output, backend } = await runtime.execute({ tool: fleet.tool("append"), input: { n } });
      expect(output).toEqual({ n });
      places.push(backend.via);
    }
    // The first one may still find that out.
    expect(places.slice(1)).toEqual(Array(9).fill("b"));
    expect((await holding).status).toBe(200);
    expect((await first.ended).code).toBe(0);
    expect(Math.max(...fleet.effects.counts().values())).toBe(1);
  });
});
