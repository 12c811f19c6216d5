import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { createService, loadConfig, type ServiceConfigInput } from "../../src/adapters/executor/index.ts";
import { createClient } from "../../src/client.ts";
import { createRegistry } from "../../src/index.ts";
import { echoTool } from "../edge/support.ts";
import { codeOf } from "../unit/support.ts";
import { nodeToken, openNode, startNode, toolShelf } from "./support.ts";

const token = "edge-0123456789abcdef";

/** Writes a configuration with the node's token in a file beside it, and starts a service by it. */
async function openEdge(remote: NonNullable<NonNullable<ServiceConfigInput["backends"]>["remote"]>) {
  const folder = mkdtempSync(join(tmpdir(), "toolruntime-remote-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "token"), `${nodeToken}\n`);
  const file = join(folder, "service.json");
  const tokens = [{ token, principal: "me" }];
  writeFileSync(file, JSON.stringify({ port: 0, security: "dev", graceMs: 0, tokens, log: { level: "silent" }, backends: { remote } }));
  const echo = await echoTool();
  const service = await createService({ config: await loadConfig(file), tools: createRegistry([echo]) });
  onTestFinished(() => service.close());
  const { url } = await service.listen();
  return Object.assign(createClient({ url, token, retries: 0 }), { url });
}

describe("a service with nodes behind it, by its configuration", () => {
  it("sends runs to them", async () => {
    const node = await openNode(toolShelf([await echoTool()]));
    const client = await openEdge({ nodes: [{ url: node.url, name: "a", tokenFile: "token" }], arch: [process.arch], hedgeAfterMs: 500 });
    const { output, backend } = await client.run({ tool: "echo", input: { text: "hello" } });
    expect([output, backend.via]).toEqual([{ text: "hello" }, "a"]);
  });

  it("leaves out nodes with another processor", async () => {
    const node = await openNode(toolShelf([await echoTool()]));
    const client = await openEdge({ nodes: [{ url: node.url, tokenFile: "token" }], arch: ["z80"] });
    expect(await codeOf(client.run({ tool: "echo" }))).toBe("ERR_BACKEND_UNAVAILABLE");
  });

  it("takes nodes that come by themselves, and lets them go", async () => {
    const secret = "nodes-0123456789abcdef";
    const client = await openEdge({ registration: { token: secret, hosts: ["127.0.0.1"], opens: { tokenFile: "token" } }, catalogMs: 200 });
    const answer = () => client.run({ tool: "echo", input: { text: "hello" } });
    expect(await codeOf(answer())).toBe("ERR_BACKEND_UNAVAILABLE");
    const announce = { edge: client.url, token: secret };
    const node = await startNode(toolShelf([await echoTool()]), { config: { name: "newcomer", announce } });
    onTestFinished(() => node.service.close());
    await vi.waitFor(async () => expect((await answer()).backend.via).toBe("newcomer"), { timeout: 10_000, interval: 100 });
    await node.service.drain();
    expect(await codeOf(answer())).toBe("ERR_BACKEND_UNAVAILABLE");
  });

  it("takes no node with another token, nor from another host", async () => {
    const secret = "nodes-0123456789abcdef";
    const { url } = await openEdge({ registration: { token: secret, hosts: ["*.nodes.example"] } });
    const post = (authorization: string, host: string) =>
      fetch(`${url}/v1/nodes`, {
        method: "POST",
        headers: { authorization, "content-type": "application/json" },
        body: JSON.stringify({ name: "a", url: `https://${host}` }),
      });
    const statuses = [
      post(`Bearer ${token}`, "a.nodes.example"),
      post(`Bearer ${secret}`, "evil.example"),
      post(`Bearer ${secret}`, "a.nodes.example"),
    ];
    expect((await Promise.all(statuses)).map(({ status }) => status)).toEqual([401, 400, 200]);
  });

  it.for([
    ["no nodes", {}],
    ["nodes twice", { nodes: [{ url: "https://a.example" }], dns: { name: "a.example" } }],
    ["two tokens", { nodes: [{ url: "https://a.example", tokenFile: "token", token: nodeToken }] }],
    ["a token that is not there", { nodes: [{ url: "https://a.example", tokenFile: "other" }] }],
    ["a variable that is not set", { nodes: [{ url: "https://a.example", tokenEnv: "TOOLRUNTIME_TEST_NOT_SET" }] }],
  ] as const)("is refused with %s", async ([, remote]) => {
    expect(await codeOf(openEdge(remote as Parameters<typeof openEdge>[0]))).toBe("ERR_CONFIG_INVALID");
  });

  it("sends no token in the clear to another machine", async () => {
    const nodes = [{ url: "http://node.example", tokenFile: "token" }];
    expect(await codeOf(openEdge({ nodes }))).toBe("ERR_ARGUMENT_INVALID");
  });
});
