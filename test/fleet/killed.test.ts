import { describe, expect, it } from "vitest";
import { createRouter, type MapAnswer } from "../../src/router.ts";
import { errorOf } from "../unit/support.ts";
import { openFleet, until, type Fleet } from "./support.ts";

const inputs = 120;

/** Runs a batch over the fleet, and kills the first node when a third of it is done and starts it again. */
async function batchWithFault(fleet: Fleet, tool: string): Promise<MapAnswer[]> {
  const router = createRouter({ runtimes: [fleet.runtime()] });
  const [node] = fleet.nodes;
  const answers: MapAnswer[] = [];
  let restarted: Promise<void> | undefined;
  const all = Array.from({ length: inputs }, (_, n) => ({ n, ms: 60 }));
  for await (const answer of router.map(fleet.tool(tool), all, { concurrency: 12 })) {
    answers.push(answer);
    if (answers.length > inputs / 3) restarted ??= node?.restart();
  }
  await restarted;
  return answers;
}

describe("G1: a node that is killed in mid-run", () => {
  it("is a typed error that says that the tool had started, and the node's name", async () => {
    const fleet = await openFleet();
    const [node] = fleet.nodes;
    const runtime = fleet.runtime();
    const failed = errorOf(runtime.execute({ tool: fleet.tool("slow"), input: { n: 1 } }));
    await until(() => fleet.effects.of(1).length === 1, 20_000, "the tool has had its effect");
    await node?.kill();
    expect(await failed).toMatchObject({ code: "ERR_CONNECTION_FAILED", started: true, retryable: true, details: { via: "a" } });
    expect(fleet.effects.of(1)).toHaveLength(1);
  });

  it("does not have a tool run again elsewhere that does not say that it may", async () => {
    const fleet = await openFleet({ nodes: 2 });
    const failed = errorOf(fleet.runtime().execute({ tool: fleet.tool("slow"), input: { n: 1 } }));
    await until(() => fleet.effects.of(1).length === 1, 20_000, "the tool has had its effect");
    const [effect] = fleet.effects.of(1);
    const hit = effect === undefined ? undefined : fleet.nodeOf(effect);
    await hit?.kill();
    expect(await failed).toMatchObject({ code: "ERR_CONNECTION_FAILED", started: true, details: { via: hit?.name } });
    expect(fleet.effects.of(1)).toHaveLength(1);
  });

  it("has one that says so run on another node, once more and no more", async () => {
    const fleet = await openFleet({ nodes: 3 });
    const done = fleet.runtime().execute({ tool: fleet.tool("stuck-once"), input: { n: 1 } });
    await until(() => fleet.effects.of(1).length === 1, 20_000, "the tool has had its effect");
    const [effect] = fleet.effects.of(1);
    const hit = effect === undefined ? undefined : fleet.nodeOf(effect);
    await hit?.kill();
    const { output, backend } = await done;
    expect(output).toEqual({ n: 1 });
    const effects = fleet.effects.of(1);
    expect(effects).toHaveLength(2);
    const [first, second] = effects.map((one) => fleet.nodeOf(one)?.name);
    expect(first).toBe(hit?.name);
    expect(second).not.toBe(first);
    expect(backend.via).toBe(second);
  });

  it("before the tool has started is no error while another node is there", async () => {
    const fleet = await openFleet({ nodes: 2 });
    const runtime = fleet.runtime();
    await runtime.probe();
    await fleet.nodes[0]?.kill();
    for (let n = 0; n < 10; n++) {
      const { output, backend } = await runtime.execute({ tool: fleet.tool("append"), input: { n } });
      expect([output, backend.via]).toEqual([{ n }, "b"]);
    }
    expect([...fleet.effects.counts().values()]).toEqual(Array(10).fill(1));
  });

  it("takes runs again when it is back", async () => {
    const fleet = await openFleet({ nodes: 2 });
    const runtime = fleet.runtime();
    await runtime.execute({ tool: fleet.tool("append"), input: { n: 0 } });
    await fleet.nodes[0]?.restart();
    let n = 0;
    await until(
      async () => (await runtime.execute({ tool: fleet.tool("append"), input: { n: ++n } })).backend.via === "a",
      20_000,
      "a run is on the node that was killed",
    );
    expect(Math.max(...fleet.effects.counts().values())).toBe(1);
  });
});

describe("G1: a node that is killed in the middle of a batch", () => {
  it("costs no input of a tool that may run again its result", { timeout: 60_000 }, async () => {
    const fleet = await openFleet({ nodes: 3 });
    const answers = await batchWithFault(fleet, "append-again");
    expect(answers.map(({ index }) => index).toSorted((a, b) => a - b)).toEqual(Array.from({ length: inputs }, (_, n) => n));
    const outputs = answers.map((answer) => [answer.index, answer.status === "result" ? answer.result.output : answer.error.code]);
    expect(outputs.filter(([index, output]) => JSON.stringify(output) !== JSON.stringify({ n: index }))).toEqual([]);
    expect(fleet.effects.counts().size).toBe(inputs);
  });

  it("has no input of any other tool run twice, and says of each whose node died whether it had started", { timeout: 60_000 }, async () => {
    const fleet = await openFleet({ nodes: 3 });
    const answers = await batchWithFault(fleet, "append");
    expect(answers.map(({ index }) => index).toSorted((a, b) => a - b)).toEqual(Array.from({ length: inputs }, (_, n) => n));
    const counts = fleet.effects.counts();
    expect(Math.max(...counts.values())).toBe(1);
    const wrong = answers.filter((answer) => {
      if (answer.status === "result") return counts.get(answer.index) !== 1;
      // An effect that the answer denies is the worst of all.
      return answer.error.started !== true || answer.error.actor === "caller";
    });
    expect(wrong).toEqual([]);
    // Most of the fleet was there all the time.
    expect(answers.filter((answer) => answer.status === "result").length).toBeGreaterThan(inputs * 0.75);
  });
});
