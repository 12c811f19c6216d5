import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { sha256 } from "../../src/internal/digest.ts";
import { defineTool, type ManifestInput, type Tool } from "../../src/index.ts";
import type { WireResult, WireTool } from "../../src/wire.ts";
import { bearer, echoTool, openService, problemOf, tokens } from "./support.ts";

const echoWasm = new Uint8Array(readFileSync(new URL("../../bench/guests/echo.wasm", import.meta.url)));
const sender = { ...tokens.alice, scopes: ["run", "read", "tools"] as const };
const config = { acceptsTools: { maxTools: 2, maxBytes: 200_000 }, tokens: [{ ...sender, scopes: [...sender.scopes] }, tokens.bob] };

function sentTool(name: string, changes: Partial<ManifestInput> = {}): Promise<Tool> {
  const manifest = { name, version: "1.0.0", description: "Sent", inputSchema: { type: "object" }, outputSchema: { type: "object" } };
  return defineTool({ ...manifest, artifacts: { wasm: {} }, ...changes }, { wasm: echoWasm });
}

function formOf(manifest: unknown, parts: Readonly<Record<string, Uint8Array | string>>): FormData {
  const form = new FormData();
  form.append("manifest", JSON.stringify(manifest));
  for (const [name, content] of Object.entries(parts)) form.append(name, new Blob([content as Uint8Array<ArrayBuffer>]), name);
  return form;
}

async function open(more: Parameters<typeof openService>[0] = config) {
  const opened = await openService(more);
  const send = (form: FormData, digest: string, headers: Record<string, string> = bearer("alice")): Promise<Response> =>
    fetch(`${opened.url}/v1/tools?digest=${encodeURIComponent(digest)}`, { method: "POST", headers, body: form });
  const sendTool = (tool: Tool): Promise<Response> => send(formOf(tool.manifest, { wasm: echoWasm }), tool.digest);
  const run = (tool: string, who: "alice" | "bob" = "alice"): Promise<Response> =>
    opened.post({ tool, input: { here: true } }, bearer(who));
  return { ...opened, send, sendTool, run };
}

describe("a tool that is sent", () => {
  it("is taken, shown and run, by its digest alone", async () => {
    const { sendTool, run, get } = await open();
    const tool = await sentTool("sent");
    const missing = await problemOf(await run(`sent@${tool.digest}`));
    expect(missing).toMatchObject({ status: 404, code: "ERR_TOOL_NOT_FOUND", details: { acceptsTools: true } });
    const response = await sendTool(tool);
    expect([response.status, response.headers.get("location")]).toEqual([201, `/v1/tools/sent/${tool.digest}`]);
    expect(((await response.json()) as WireTool).digest).toBe(tool.digest);
    for (const who of ["alice", "bob"] as const)
      expect(((await (await run(`sent@${tool.digest}`, who)).json()) as WireResult).output).toEqual({ here: true });
    for (const name of ["sent", "sent@1.0.0", `echo@${tool.digest}`])
      expect([name, (await problemOf(await run(name))).code]).toEqual([name, "ERR_TOOL_NOT_FOUND"]);
    const list = (await (await get("/v1/tools", bearer("alice"))).json()) as { tools: WireTool[] };
    expect(list.tools.map(({ name }) => name)).toEqual(["echo", "sent"]);
  });

  it("does not take the place of one that is there", async () => {
    const { sendTool, run } = await open();
    const impostor = await sentTool("echo", { description: "Another", outputSchema: { type: "null" } });
    expect((await sendTool(impostor)).status).toBe(201);
    for (const name of ["echo", "echo@1.0.0", `echo@${(await echoTool()).digest}`])
      expect(((await (await run(name)).json()) as WireResult).output).toEqual({ here: true });
  });

  it("with a snippet runs too, inline and as a file", async () => {
    const { send, run } = await open();
    const base = { version: "1.0.0", description: "A snippet", inputSchema: true } as const;
    const source = 'export default () => "said";';
    const inline = await defineTool({ ...base, name: "inline", artifacts: { code: { language: "javascript", source } } });
    const apart = await defineTool(
      { ...base, name: "apart", artifacts: { code: { language: "javascript", file: "a.js" } } },
      { code: new TextEncoder().encode(source) },
    );
    expect((await send(formOf(inline.manifest, {}), inline.digest)).status).toBe(201);
    expect((await send(formOf(apart.manifest, { code: source }), apart.digest)).status).toBe(201);
    for (const { manifest, digest } of [inline, apart])
      expect(((await (await run(`${manifest.name}@${digest}`)).json()) as WireResult).stdout).toContain("said");
  });

  it("goes when newer ones need its place, the one used longest ago first", async () => {
    const { sendTool, run } = await open();
    const [a, b, c] = [await sentTool("a"), await sentTool("b"), await sentTool("c")];
    const status = async ({ manifest, digest }: Tool): Promise<number> => (await run(`${manifest.name}@${digest}`)).status;
    await sendTool(a);
    await sendTool(b);
    expect(await status(a)).toBe(200);
    await sendTool(c);
    expect([await status(a), await status(b), await status(c)]).toEqual([200, 404, 200]);
    // The same again takes no second place.
    await sendTool(c);
    expect([await status(a), await status(c)]).toEqual([200, 200]);
  });

  it("goes too when the bytes of newer ones need its room", async () => {
    const { sendTool, run } = await open({ ...config, acceptsTools: { maxTools: 10, maxBytes: Math.floor(echoWasm.length * 2.5) } });
    const tools = [await sentTool("a"), await sentTool("b"), await sentTool("c")];
    for (const tool of tools) expect((await sendTool(tool)).status).toBe(201);
    const status = await Promise.all(tools.map(async ({ manifest, digest }) => (await run(`${manifest.name}@${digest}`)).status));
    expect(status).toEqual([404, 200, 200]);
  });
});

describe("a tool is refused", () => {
  it("where the service takes none, and from whoever was not trusted with it by name", async () => {
    const tool = await sentTool("sent");
    const form = formOf(tool.manifest, { wasm: echoWasm });
    const closed = await open({ tokens: config.tokens });
    expect(await problemOf(await closed.send(form, tool.digest))).toMatchObject({ status: 403, code: "ERR_POLICY_DENIED" });
    expect((await problemOf(await closed.run(`sent@${tool.digest}`))).details).not.toHaveProperty("acceptsTools");
    const { send } = await open();
    // Bob's token has no list of scopes, so all but this one.
    expect(await problemOf(await send(form, tool.digest, bearer("bob")))).toMatchObject({ status: 403, code: "ERR_FORBIDDEN" });
    const anyone = await open({ acceptsTools: {} });
    expect((await problemOf(await anyone.send(form, tool.digest, {}))).code).toBe("ERR_FORBIDDEN");
  });

  it("where it is another than was announced, in its manifest or in its bytes", async () => {
    const { send, run } = await open();
    const tool = await sentTool("sent");
    const other = echoWasm.slice();
    other[other.length - 1] = (other[other.length - 1] ?? 0) ^ 1;
    const changed = { ...tool.manifest, description: "Changed" };
    for (const form of [formOf(tool.manifest, { wasm: other }), formOf(changed, { wasm: echoWasm })])
      expect(await problemOf(await send(form, tool.digest))).toMatchObject({ status: 422, code: "ERR_DIGEST_MISMATCH" });
    expect((await problemOf(await send(formOf(tool.manifest, { wasm: echoWasm }), `sha256:${"0".repeat(64)}`))).code).toBe(
      "ERR_DIGEST_MISMATCH",
    );
    expect((await run(`sent@${tool.digest}`)).status).toBe(404);
  });

  it("where its digest does not stand for its bytes", async () => {
    const { send } = await open();
    const loose = await defineTool(
      { name: "loose", version: "1.0.0", description: "No digest", inputSchema: true, artifacts: { wasm: {} } },
      { wasm: async () => echoWasm },
    );
    expect(loose.manifest.artifacts.wasm?.digest).toBeUndefined();
    expect((await problemOf(await send(formOf(loose.manifest, { wasm: echoWasm }), loose.digest))).code).toBe("ERR_MANIFEST_INVALID");
  });

  it.each([
    ["a command", { command: { argv: ["sh"] } }],
    ["an image", { image: { reference: "busybox" } }],
  ])("where it has %s, alone or besides", async (_, artifacts) => {
    const { send } = await open();
    for (const more of [{}, { wasm: {} }]) {
      const tool = await sentTool("sent", { artifacts: { ...artifacts, ...more } });
      const form = formOf(tool.manifest, "wasm" in more ? { wasm: echoWasm } : {});
      expect(await problemOf(await send(form, tool.digest))).toMatchObject({ status: 403, code: "ERR_POLICY_DENIED" });
    }
  });

  it("where the form is not one of a tool", async () => {
    const { send, url } = await open();
    const { manifest, digest } = await sentTool("sent");
    const twice = formOf(manifest, { wasm: echoWasm });
    twice.append("manifest", "{}");
    const none = new FormData();
    none.append("wasm", new Blob([echoWasm]), "wasm");
    const forms = [
      twice,
      none,
      formOf(manifest, {}),
      formOf(manifest, { wasm: echoWasm, extra: "x" }),
      formOf(manifest, { wasm: echoWasm, code: "x" }),
    ];
    for (const form of forms) expect((await problemOf(await send(form, digest))).code).toMatch(/^ERR_INPUT_(?:INVALID|TOO_LARGE)$/);
    expect((await problemOf(await send(formOf("x", { wasm: echoWasm }), digest))).code).toBe("ERR_MANIFEST_INVALID");
    expect((await problemOf(await send(formOf(manifest, { wasm: echoWasm }), "sha256:1"))).code).toBe("ERR_ARGUMENT_INVALID");
    const json = await fetch(`${url}/v1/tools?digest=${digest}`, {
      method: "POST",
      headers: { ...bearer("alice"), "content-type": "application/json" },
      body: "{}",
    });
    expect((await problemOf(json)).code).toBe("ERR_INPUT_INVALID");
  });

  it("where it is too large, and there is room for others then", async () => {
    const { send, sendTool } = await open({ ...config, acceptsTools: { maxTools: 2, maxBytes: echoWasm.length } });
    const large = new Uint8Array(echoWasm.length + 1);
    const tool = await defineTool(
      { name: "large", version: "1.0.0", description: "Large", inputSchema: true, artifacts: { wasm: { digest: await sha256(large) } } },
      {},
    );
    for (let at = 0; at < 5; at++)
      expect(await problemOf(await send(formOf(tool.manifest, { wasm: large }), tool.digest))).toMatchObject({ status: 413 });
    expect((await sendTool(await sentTool("sent"))).status).toBe(201);
  });
});
