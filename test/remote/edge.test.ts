import { describe, expect, it } from "vitest";
import { remote } from "../../src/adapters/remote/index.ts";
import { createClient, type Client } from "../../src/client.ts";
import { anyone, createApp } from "../../src/edge/index.ts";
import { createRegistry, createRuntime, memoryBlobStore, memoryExecutionStore, type Tool } from "../../src/index.ts";
import { echoTool, shellTool, until } from "../edge/support.ts";
import { errorOf } from "../unit/support.ts";
import { closedUrl, executionsOf, nodeToken, openNode, toolShelf, type ExecutorNode } from "./support.ts";

const config = { backends: { wasm: {}, unsafe: { acceptUnsafe: true } } } as const;

/** A client of an edge that has nothing but a node behind it. */
async function openEdge(tools: readonly Tool[], nodeUrl?: string): Promise<{ readonly client: Client; readonly node: ExecutorNode }> {
  const node = await openNode(toolShelf(tools), { config });
  const blobs = memoryBlobStore();
  const backend = remote({ nodes: [{ url: nodeUrl ?? node.url, token: nodeToken, name: "a" }] });
  const registry = createRegistry(tools);
  const app = createApp({
    runtime: createRuntime({ backend, security: "dev", blobs, tools: registry }),
    tools: registry,
    blobs,
    executions: memoryExecutionStore(),
    authenticate: anyone(),
    hosts: "any",
  });
  const client = createClient({ url: "http://edge.example", retries: 0, fetch: async (url, init) => app.fetch(new Request(url, init)) });
  return { client, node };
}

describe("an edge with a node behind it", () => {
  it("gives the node's result, receipts and files", async () => {
    const saves = await shellTool("saves", "cat given > out/made; echo done");
    const { client } = await openEdge([saves]);
    const result = await client.run({ tool: "saves", files: { given: "content" } });
    expect(result).toMatchObject({ output: "done\n", backend: { name: "unsafe", via: "a" } });
    expect(result.limits.length).toBeGreaterThan(3);
    const [file] = result.files;
    expect(new TextDecoder().decode(await client.blobs.get(file?.digest ?? ""))).toBe("content");
    expect((await client.backends()).backends).toMatchObject([{ backend: "remote", status: "ready" }]);
  });

  it("gives the node's error as its own, under its own id", async () => {
    const slow = await shellTool("slow", "echo begun; sleep 30");
    const { client, node } = await openEdge([slow]);
    const error = await errorOf(client.run({ tool: "slow", resources: { timeout: 300 } }));
    expect(error).toMatchObject({ code: "ERR_LIMIT_TIMEOUT", started: true, partial: { stdout: "begun\n" }, details: { via: "a" } });
    const [state] = await executionsOf(node.service);
    expect(error.details["nodeExecutionId"]).toBe(state?.id);
    expect(error.id).not.toBe(state?.id);
    expect((await client.execution(error.id ?? "").get()).status).toBe("ended");
    // The node's log names the edge's execution.
    expect(node.log.join("")).toContain(`"requestId":"${error.id}"`);
  });

  it("ends the node's run when its own caller leaves", async () => {
    const slow = await shellTool("slow", "echo begun; sleep 30");
    const { client, node } = await openEdge([slow]);
    for await (const { type } of client.stream({ tool: "slow" })) if (type === "stdout") break;
    expect((await executionsOf(node.service)).map(({ status }) => status)).toEqual(["ended"]);
    const execution = await client.start({ tool: "slow" });
    await until(async () => (await executionsOf(node.service)).length === 2, 5000, "the node has the second run");
    expect((await execution.cancel()).problem?.code).toBe("ERR_ABORTED");
    expect((await executionsOf(node.service)).map(({ status }) => status)).toEqual(["ended", "ended"]);
  });

  it("without the node answers 503, and is not ready", async () => {
    const echo = await echoTool();
    const { client } = await openEdge([echo], await closedUrl());
    expect(await errorOf(client.run({ tool: "echo" }))).toMatchObject({ code: "ERR_BACKEND_UNAVAILABLE", details: { retryAfterMs: 1000 } });
    expect((await client.backends()).backends).toMatchObject([{ backend: "remote", status: "unavailable" }]);
  });
});
