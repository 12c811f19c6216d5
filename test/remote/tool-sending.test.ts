import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Fetch } from "../../src/client.ts";
import { createRuntime, defineTool, type Tool } from "../../src/index.ts";
import { errorOf } from "../unit/support.ts";
import { nodeToken, openNode, remoteTo, toolShelf } from "./support.ts";

const echoWasm = new Uint8Array(readFileSync(new URL("../../bench/guests/echo.wasm", import.meta.url)));
const scopes: ("run" | "read" | "tools")[] = ["run", "read", "tools"];
const tokens = [{ token: nodeToken, principal: "edge", tenant: "fleet", scopes }];
const config = { tokens, acceptsTools: {} };

function namedTool(name: string): Promise<Tool> {
  const manifest = { name, version: "1.0.0", description: "Sent", inputSchema: { type: "object" }, outputSchema: { type: "object" } };
  return defineTool({ ...manifest, artifacts: { wasm: {} } }, { wasm: echoWasm });
}

/** A runtime on one node, and how often tools were sent there. */
async function open(node: { readonly url: string }) {
  const sent: string[] = [];
  const counting: Fetch = (url, init) => {
    if (url.includes("/v1/tools?") && init.method === "POST") sent.push(url);
    return fetch(url, init);
  };
  const runtime = createRuntime({ security: "dev", backend: remoteTo(node.url, { fetch: counting }) });
  return { runtime, sent };
}

describe("a tool that a node does not have", () => {
  it("is sent there once, by however many runs at once, and is there for those that come later", async () => {
    const { runtime, sent } = await open(await openNode(toolShelf(), { config }));
    const tool = await namedTool("echo");
    const results = await Promise.all(Array.from({ length: 8 }, (_, at) => runtime.execute({ tool, input: { at } })));
    expect(results.map(({ output }) => output)).toEqual(Array.from({ length: 8 }, (_, at) => ({ at })));
    expect((await runtime.execute({ tool, input: { at: 9 } })).output).toEqual({ at: 9 });
    expect(sent).toHaveLength(1);
  });

  it("is sent again where the node has dropped it", async () => {
    const { runtime, sent } = await open(await openNode(toolShelf(), { config: { tokens, acceptsTools: { maxTools: 1 } } }));
    const [a, b] = [await namedTool("a"), await namedTool("b")];
    for (const tool of [a, b, a]) expect((await runtime.execute({ tool, input: { ok: 1 } })).output).toEqual({ ok: 1 });
    expect(sent).toHaveLength(3);
  });

  it("is not sent where the node takes none, and the run is refused as it was", async () => {
    const { runtime, sent } = await open(await openNode(toolShelf(), { config: { tokens } }));
    const error = await errorOf(runtime.execute({ tool: await namedTool("echo") }));
    expect([error.code, error.details["nodeCode"], error.started]).toEqual(["ERR_BACKEND_UNAVAILABLE", "ERR_TOOL_NOT_FOUND", false]);
    expect(sent).toEqual([]);
  });

  it("is refused by name of the scope where the token is not for sending tools", async () => {
    const reduced = { acceptsTools: {}, tokens: [{ token: nodeToken, principal: "edge", tenant: "fleet" }] };
    const { runtime } = await open(await openNode(toolShelf(), { config: reduced }));
    const error = await errorOf(runtime.execute({ tool: await namedTool("echo") }));
    expect([error.code, error.details["nodeCode"], error.details["scope"]]).toEqual(["ERR_BACKEND_UNAVAILABLE", "ERR_FORBIDDEN", "tools"]);
  });

  it("is not sent where its bytes are others than its manifest says", async () => {
    const { runtime, sent } = await open(await openNode(toolShelf(), { config }));
    const { manifest } = await namedTool("echo");
    const changed = await defineTool(manifest, { wasm: async () => echoWasm.slice(0, -1) });
    expect((await errorOf(runtime.execute({ tool: changed }))).code).toBe("ERR_DIGEST_MISMATCH");
    expect(sent).toEqual([]);
  });

  it("goes on its way for the others where one of the runs that wait for it is ended", async () => {
    const { runtime, sent } = await open(await openNode(toolShelf(), { config }));
    const tool = await namedTool("echo");
    const cut = new AbortController();
    const ended = errorOf(runtime.execute({ tool, input: {} }, { signal: cut.signal }));
    const other = runtime.execute({ tool, input: { ok: 1 } });
    cut.abort();
    expect((await ended).code).toBe("ERR_ABORTED");
    expect((await other).output).toEqual({ ok: 1 });
    expect(sent.length).toBeLessThanOrEqual(1);
  });
});
