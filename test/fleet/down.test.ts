import { describe, expect, it, onTestFinished } from "vitest";
import { problemSchema, resultSchema } from "../../src/wire.ts";
import { TestWorker } from "../edge-worker/support.ts";
import { fleetToken, openFleet, until, type Fleet } from "./support.ts";

/** What the workers' tokens are for, in profile dev: the tool of the test is a command. */
const caller = { token: "alice-0123456789abcdef", principal: "alice", tenant: "red" };

/** An edge in workerd, which has light tools itself and sends the rest to the nodes of a fleet. */
async function openEdge(fleet: Fleet): Promise<TestWorker> {
  const nodes = fleet.nodes.map(({ url }) => ({ url, token: fleetToken }));
  const worker = await TestWorker.open({
    vars: { TOOLRUNTIME_SECURITY: "dev", TOOLRUNTIME_TOKENS: JSON.stringify([caller]), TOOLRUNTIME_NODES: JSON.stringify(nodes) },
  });
  onTestFinished(() => worker[Symbol.asyncDispose]());
  await worker.putObject("tools.json", JSON.stringify([fleet.tool("append").manifest]));
  return worker;
}

async function refusal(worker: TestWorker, task: object) {
  const response = await worker.run(task);
  const { status, code, started, retryable } = problemSchema.parse(await response.json());
  return { status, code, started, retryable, hasAdvice: response.headers.has("retry-after") };
}

describe("G5: every node of a backend is down", () => {
  it("is 503 with advice, and never a weaker backend in its place", { timeout: 90_000 }, async () => {
    const fleet = await openFleet({ nodes: 2, config: { backends: { wasm: { process: {} }, unsafe: { acceptUnsafe: true } } } });
    const worker = await openEdge(fleet);
    const task = { tool: "append", input: { n: 1 } };
    expect(resultSchema.parse(await (await worker.run(task)).json()).output).toEqual({ n: 1 });
    for (const node of fleet.nodes) await node.kill();
    const down = { status: 503, started: false, retryable: true, hasAdvice: true };
    // At once, where the edge still believes what the nodes have said. workerd does not tell a connection that was refused from
    // one that was lost, so the edge may have to say that the tool may have started.
    for (const one of [task, { tool: "echo", security: "hardened" }]) {
      const { status, retryable } = await refusal(worker, one);
      expect([502, 503]).toContain(status);
      expect(retryable).toBe(true);
    }
    await until(
      async () => (await (await worker.get("/v1/backends", "alice")).text()).includes("is out"),
      40_000,
      "the edge knows that the nodes are out",
    );
    expect(await refusal(worker, task)).toMatchObject({ ...down, code: "ERR_BACKEND_UNAVAILABLE" });
    // The worker has this one itself, behind a weaker wall.
    expect(await refusal(worker, { tool: "echo", security: "hardened" })).toMatchObject(down);
    expect(resultSchema.parse(await (await worker.run({ tool: "echo" })).json()).backend).not.toHaveProperty("via");
    expect(fleet.effects.counts()).toEqual(new Map([[1, 1]]));
    for (const node of fleet.nodes) await node.start();
    await until(async () => (await worker.run(task)).status === 200, 40_000, "the nodes are used again");
  });

  it("is 503 for each input of a batch, and none of them runs", { timeout: 90_000 }, async () => {
    const fleet = await openFleet({ nodes: 2 });
    const worker = await openEdge(fleet);
    for (const node of fleet.nodes) await node.kill();
    const response = await worker.send("POST", "/v1/batches", {
      who: "alice",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ tool: "append", inputs: [{ n: 1 }, { n: 2 }] }),
    });
    const lines = (await response.text()).split("\n").flatMap((line): { type?: string; problem?: object }[] => {
      return line === "" ? [] : [JSON.parse(line)];
    });
    const items = lines.filter(({ type }) => type === "item");
    expect(items).toHaveLength(2);
    for (const { problem } of items) expect(problem).toMatchObject({ status: 503, started: false });
    expect(fleet.effects.all()).toEqual([]);
  });
});
