import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, describe, expect, it } from "vitest";
import {
  assertBackendName,
  createService,
  loadConfig,
  openBackend,
  openRuntime,
  parseConfig,
  type ServiceConfigInput,
} from "../../src/adapters/executor/index.ts";
import { createRegistry, ToolRuntimeError } from "../../src/index.ts";
import { verifyAudit } from "../../src/store.ts";
import { bearer, echoTool, openService, problemOf, tokens, until } from "../edge/support.ts";

const folder = mkdtempSync(join(tmpdir(), "toolruntime-executor-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function errorOf(action: () => unknown): Promise<ToolRuntimeError> {
  try {
    await action();
  } catch (error) {
    if (error instanceof ToolRuntimeError) return error;
    throw error;
  }
  throw new Error("Nothing was thrown");
}

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

describe("a configuration", () => {
  it("has defaults that let nobody in by mistake", () => {
    expect(parseConfig({})).toMatchObject({ host: "127.0.0.1", port: 8787, security: "standard", backends: { wasm: {} }, tokens: [] });
  });

  it.each([
    [{ prot: 1 }, "unknown key", 'did you mean "port"'],
    [{ limits: { maxJsonByts: 1 } }, "limits has", 'did you mean "maxJsonBytes"'],
    [{ port: "8787" }, "port must be", "a number"],
    [{ port: 1.5 }, "port must be", "a whole number"],
    [{ port: 70_000 }, "port must be", "at most 65535"],
    [{ host: "" }, "host must", "not be empty"],
    [{ security: "hard" }, "security must be", '"dev" or "standard" or "hardened"'],
    [{ backends: {} }, "backends must", "at least one"],
    [{ backends: { wasm: { maxArtifactBytes: 0 } } }, "backends.wasm.maxArtifactBytes must be", "above 0"],
    [{ backends: { dokcer: {} } }, "backends has", 'unknown key "dokcer"; did you mean "docker"'],
    [{ tokens: [{ token: "x", env: "Y", principal: "p" }] }, "tokens[0] must", "exactly one"],
    [{ tokens: [{ token: "x", principle: "p" }] }, "tokens[0] has", 'did you mean "principal"'],
    [{ tokens: [{ token: "x" }] }, "tokens[0].principal", "is missing"],
    [{ state: {} }, "state.folder", "is missing"],
    [{ tenants: { red: { runing: 1 } } }, "tenants.red has", 'did you mean "running"'],
    [{ maxima: { memroy: 1 } }, "maxima has", 'did you mean "memory"'],
    [{ origins: ["x"] }, "origins[0] must be", "a url"],
    [[], "it must be", "an object"],
  ])("names the key and what would do: %j", async (value, key, hint) => {
    const error = await errorOf(() => parseConfig(value, "service.json"));
    expect(error.code).toBe("ERR_CONFIG_INVALID");
    expect(error.message).toMatch(/^Cannot use the configuration: service\.json: /);
    expect(error.message).toContain(key);
    expect(error.message).toContain(hint);
  });

  it("is read from a file, with paths relative to it; errors name the file", async () => {
    const path = file("service.json", JSON.stringify({ tools: "tools", tokens: [{ file: "token", principal: "p" }] }));
    expect(await loadConfig(path)).toMatchObject({ tools: join(folder, "tools"), tokens: [{ file: join(folder, "token") }] });
    const absent = join(folder, "none.json");
    expect((await errorOf(() => loadConfig(absent))).message).toBe(`Cannot use the configuration: ${absent}: it cannot be read: ENOENT`);
  });

  it("may have comments, trailing commas and a mark of its encoding", async () => {
    const path = file("comments.json", '\ufeff{\n  // who may call\n  "port": 0, /* any */\n  "origins": ["https://a.example",],\n}\n');
    expect(await loadConfig(path)).toMatchObject({ port: 0, origins: ["https://a.example"] });
  });

  it.each([
    ['{\n  "backends": {\n    "wasm": { "maxArtifactBytes": -1 }\n  }\n}', "3:15", "backends.wasm.maxArtifactBytes must be above 0"],
    ['{\r\n  "backends": {\r\n    "wasm": { "maxArtifactBytes": "1" } } }', "3:15", "backends.wasm.maxArtifactBytes must be a number"],
    ['{\n  "prot": 1\n}', "2:3", 'unknown key "prot"; did you mean "port"?'],
    ['{\n  "tokens": [\n    { "file": "a", "principal": "p" },\n    { "file": "b" }\n  ]\n}', "4:5", "tokens[1].principal is missing"],
    ['{ "tokens": [{ "file": "b", "principal": "p", "scopes": ["run", "al"] }] }', "1:65", "tokens[0].scopes[1] must be "],
    ['{ "host": 1,\n "port": "x" }', "1:3", `host must be a string; ${join(folder, "wrong.json")}:2:2: port must be a number`],
    ["{", "1:2", "it is not JSON: a closing brace is missing"],
    ['{ "port": 1 "host": 2 }', "1:13", "it is not JSON: a comma is missing"],
    ["{ 'port': 1 }", "1:3", "it is not JSON"],
    ["", "1:1", "it is not JSON: a value is missing"],
    ['{ "port": 1,\n  "port": 2 }', "2:3", 'the key "port" stands twice'],
    ['{ "limits": { "__proto__": {} } }', "1:15", 'unknown key "__proto__"'],
    ["[]", "1:1", "it must be an object"],
  ])("says line, column and key: %j", async (content, at, says) => {
    const path = file("wrong.json", content);
    const { code, message } = await errorOf(() => loadConfig(path));
    expect(code).toBe("ERR_CONFIG_INVALID");
    expect(message.startsWith(`Cannot use the configuration: ${path}:${at}: `) ? "" : message).toBe("");
    expect(message).toContain(says);
  });
});

describe("a service that would be open to everybody", () => {
  const start = (config: ServiceConfigInput) =>
    createService({ config: parseConfig({ port: 0, ...config }), tools: createRegistry(), env: { SHORT: "short" }, logTo: { write() {} } });

  it.each([
    ["no token outside dev", { security: "standard" }, "token"],
    ["no token off loopback", { security: "dev", host: "0.0.0.0", hosts: ["a.example"] }, "without a token"],
    ["no hosts off loopback", { security: "dev", host: "0.0.0.0", tokens: [tokens.alice] }, '"hosts"'],
    ["a token that is too short", { tokens: [{ env: "SHORT", principal: "p" }] }, "16 characters"],
    ["a token that is not there", { tokens: [{ env: "NONE", principal: "p" }] }, '"NONE" is not set'],
    ["a token file that is not there", { tokens: [{ file: "/no/such", principal: "p" }] }, "ENOENT"],
    ["unsafe without the opt-in", { security: "dev", backends: { unsafe: { acceptUnsafe: false } } }, "acceptUnsafe"],
    ["unsafe outside dev", { tokens: [tokens.alice], backends: { unsafe: { acceptUnsafe: true } } }, '"dev" alone'],
  ] satisfies [string, ServiceConfigInput, string][])("does not start with %s", async (_, config, hint) => {
    expect(await errorOf(() => start(config))).toMatchObject({
      code: "ERR_CONFIG_INVALID",
      message: expect.stringContaining(hint) as string,
    });
  });

  it("says so loudly where it is let", async () => {
    const { service, log } = await openService({}, { script: "true" });
    expect(service.warnings).toEqual([expect.stringContaining("No token is configured"), expect.stringContaining('"unsafe" is on')]);
    const warned = log.map((line) => JSON.parse(line) as { level: number; msg: string }).filter(({ level }) => level === 40);
    expect(warned.map(({ msg }) => msg)).toEqual(service.warnings);
  });

  it("takes tokens from variable and file, and logs none of them", async () => {
    const path = file("token", `${tokens.bob.token}\n`);
    const log: string[] = [];
    const service = await createService({
      config: parseConfig({
        port: 0,
        tokens: [
          { env: "ALICE", principal: "alice" },
          { file: path, principal: "bob" },
        ],
      }),
      tools: createRegistry([await echoTool()]),
      env: { ALICE: tokens.alice.token },
      logTo: { write: (line: string) => void log.push(line) },
    });
    await using _closing = service;
    const { url } = await service.listen();
    for (const who of ["alice", "bob"] as const) expect((await fetch(`${url}/v1/tools`, { headers: bearer(who) })).status).toBe(200);
    expect((await fetch(`${url}/v1/tools`)).status).toBe(401);
    expect(log.join("")).not.toContain("0123456789abcdef");
  });
});

describe("a backend by name", () => {
  it("is opened, and an unknown one names the nearest", async () => {
    const runtime = await openRuntime({ backend: "wasm", security: "dev" });
    expect(await runtime.execute({ tool: await echoTool(), input: { a: 1 } })).toMatchObject({ output: { a: 1 } });
    await runtime.close();
    const error = await errorOf(() => assertBackendName("wsam"));
    expect(error).toMatchObject({ code: "ERR_CONFIG_INVALID" });
    expect(error.message).toContain('did you mean "wasm"');
    expect((await errorOf(() => openBackend("unsafe", { acceptUnsafe: false }))).code).toBe("ERR_CONFIG_INVALID");
  });
});

describe("the server", () => {
  it("says in one line that its port is taken", async () => {
    const { port } = await openService();
    const other = await createService({ config: parseConfig({ port, security: "dev" }), tools: createRegistry(), logTo: { write() {} } });
    await using _closing = other;
    const error = await errorOf(() => other.listen());
    expect(error.code).toBe("ERR_CONFIG_INVALID");
    expect(error.message).toBe(`Cannot listen on 127.0.0.1:${port}: port ${port} is taken; use --port to take another one`);
  });

  it("drains: no new work, running work ends, then it is gone", async () => {
    const { service, url, post } = await openService({}, { slow: "sleep 1; echo done" });
    const running = post({ tool: "slow" });
    const asynchronous = await post({ tool: "slow" }, { prefer: "respond-async" });
    await until(async () => (await (await fetch(`${url}/metrics`)).text()).includes("toolruntime_inflight 2"), 3000, "both run");
    const drained = service.drain(10_000);
    const answer = await running;
    expect(await answer.json()).toMatchObject({ stdout: "done\n", exitCode: 0 });
    await drained;
    const id = asynchronous.headers.get("location")?.split("/").at(-1) ?? "";
    expect(await service.executions.get("default", id)).toMatchObject({ status: "ended", outcome: { kind: "result" } });
    await expect(fetch(`${url}/livez`)).rejects.toThrow("fetch failed");
  });

  it("while it drains, refuses work on a connection that is still open, and is not ready", async () => {
    const { service, url, post } = await openService({}, { slow: "sleep 2" });
    const running = post({ tool: "slow" });
    await until(async () => (await (await fetch(`${url}/metrics`)).text()).includes("toolruntime_inflight 1"), 3000, "it runs");
    const drained = service.drain(10_000);
    const request = (path: string, init?: RequestInit) =>
      service.app.request(`http://localhost${path}`, { ...init, headers: { host: "localhost", "content-type": "application/json" } });
    expect((await request("/readyz")).status).toBe(503);
    const refused = await request("/v1/executions", { method: "POST", body: '{"tool":"echo"}' });
    expect(refused.headers.get("retry-after")).toBe("1");
    expect(await problemOf(refused)).toMatchObject({ status: 503, code: "ERR_CLOSED", retryable: true });
    expect((await running).status).toBe(200);
    await drained;
  });

  it("ends what still runs when the grace is over", async () => {
    const { service, post, url } = await openService({}, { slow: "sleep 60" });
    const running = post({ tool: "slow" });
    await until(async () => (await (await fetch(`${url}/metrics`)).text()).includes("toolruntime_inflight 1"), 3000, "it runs");
    const started = performance.now();
    const drained = service.drain(300);
    expect(await problemOf(await running)).toMatchObject({ status: 503, code: "ERR_CLOSED" });
    await drained;
    expect(performance.now() - started).toBeLessThan(8000);
  });

  it("takes no work that it cannot keep, says so with 503, and goes on when it can", async () => {
    const state = { folder: join(folder, "state") };
    const { post, service } = await openService({ state });
    const kept = await post({ tool: "echo", input: { a: 1 } }, { prefer: "respond-async, wait=10" });
    expect(kept.status).toBe(200);
    // Whoever holds the file stands for a disk that takes nothing.
    using other = new DatabaseSync(join(state.folder, "state.db"));
    other.exec("BEGIN IMMEDIATE");
    for (const headers of [{}, { prefer: "respond-async" }, { "idempotency-key": "k" }]) {
      const refused = await post({ tool: "echo", input: {} }, headers);
      expect(await problemOf(refused)).toMatchObject({ status: 503, code: "ERR_BACKEND_UNAVAILABLE", started: false });
      expect(refused.headers.get("retry-after")).toMatch(/^\d+$/);
    }
    other.exec("ROLLBACK");
    const answer = await post({ tool: "echo", input: { a: 2 } }, { "idempotency-key": "k" });
    expect(await answer.json()).toMatchObject({ output: { a: 2 } });
    expect(service.lost).toEqual([]);
  });

  it("writes an audit log that the next start goes on with, over a line that a crash cut", async () => {
    const path = join(folder, "audit", "log.jsonl");
    for (let start = 0; start < 3; start++) {
      const service = await createService({
        config: parseConfig({ port: 0, security: "dev", audit: { file: path } }),
        tools: createRegistry([await echoTool()]),
        logTo: { write() {} },
      });
      const { url } = await service.listen();
      const response = await fetch(`${url}/v1/executions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '{"tool":"echo","input":{"a":"private"}}',
      });
      expect(response.status).toBe(200);
      await service.close();
      if (start === 1) writeFileSync(path, '{"v":1,"seq":', { flag: "a" });
    }
    const lines = readFileSync(path, "utf8").trimEnd().split("\n");
    expect(await verifyAudit(lines)).toMatchObject({ ok: true, records: 9 });
    expect(lines.join("")).not.toContain("private");
    expect(lines.map((line) => (JSON.parse(line) as { event: string }).event)).toEqual(
      Array.from({ length: 3 }, () => ["accepted", "started", "ended"]).flat(),
    );
  });
});
