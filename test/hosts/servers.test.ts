import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findBinary } from "../../bench/engines.ts";
import { allEvents, Caller, eventsOf } from "./calls.ts";
import { startExample, type RunningExample } from "./process.ts";
import { buildPackage, type Project } from "./project.ts";

let built: Project;

beforeAll(() => {
  built = buildPackage();
});
afterAll(() => built[Symbol.dispose]());

/** The examples for Bun and Deno, each started with its engine and called over HTTP. */
describe.each(["bun", "deno"] as const)("examples/%s", (engine) => {
  const found = findBinary(engine);
  if ("missing" in found) console.log(`Not run on ${engine}: ${found.missing}`);

  describe.skipIf("missing" in found)("serves", () => {
    let example: RunningExample;
    let caller: Caller;

    beforeAll(async () => {
      example = await startExample(engine, built);
      caller = new Caller(example.url);
    });
    afterAll(() => example[Symbol.asyncDispose]());

    test("nobody without the token", async () => {
      for (const headers of [{}, { authorization: "Bearer another-0123456789abcdef" }]) {
        const response = await caller.get("/v1/tools", headers);
        expect([response.status, response.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
        expect(await response.json()).toMatchObject({ code: "ERR_UNAUTHORIZED" });
      }
      expect((await caller.get("/livez", {})).status).toBe(200);
    });

    test("nobody who calls it by another name", async () => {
      const { port } = new URL(example.url);
      const rebound = new Caller(`http://[::ffff:127.0.0.1]:${port}`);
      await expect(rebound.get("/v1/tools").then(({ status }) => status)).resolves.toBe(403);
    });

    test("the list of its tools, and a backend that is ready", async () => {
      const { tools } = (await (await caller.get("/v1/tools")).json()) as { readonly tools: readonly { readonly name: string }[] };
      expect(tools.map(({ name }) => name)).toEqual(["endless", "hash", "markdown-to-html", "text-stats"]);
      expect(await (await caller.get("/v1/backends")).json()).toMatchObject({ security: "standard", backends: [{ status: "ready" }] });
    });

    test("a run with its receipts", async () => {
      const result = await caller.run({ tool: "hash", input: { text: "hello" }, resources: { fuel: "10M" } });
      expect(result).toMatchObject({
        exitCode: 0,
        output: { bytes: 5, digests: { sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" } },
        backend: { name: "wasm", profile: "standard", isolation: "wasm", network: "none" },
      });
      const enforced = Object.fromEntries(result.limits.map(({ limit, enforcedBy }) => [limit, enforcedBy]));
      expect(enforced).toMatchObject({ timeout: "checkpoint", memory: "module", fuel: "module", output: "runtime" });
      const fuel = result.limits.find(({ limit }) => limit === "fuel");
      expect(fuel?.peak).toBeGreaterThan(1000);
    });

    test("an Extism plug-in", async () => {
      const { output } = await caller.run({ tool: "text-stats", input: { text: "The sea is calm." } });
      expect(output).toMatchObject({ words: 4 });
    });

    test("a stream", async () => {
      const accept = { headers: { accept: "application/x-ndjson" } };
      const events = await allEvents(await caller.post({ tool: "markdown-to-html", input: { markdown: "# Hello" } }, accept));
      expect(events.map(({ type }) => type)).toEqual(["accepted", "started", "stdout", "result", "end"]);
      expect(events[2]).toMatchObject({ text: "<h1>Hello</h1>\n" });
    });

    test("an endless loop until its timeout, and others meanwhile", async () => {
      const ended: string[] = [];
      const loop = caller.problem({ tool: "endless", resources: { timeout: 2000 } }).then((problem) => {
        ended.push("endless");
        return problem;
      });
      for (let count = 0; count < 5; count++) {
        await caller.run({ tool: "hash", input: { text: String(count) } });
        ended.push("hash");
      }
      expect(await loop).toMatchObject({ status: 422, code: "ERR_LIMIT_TIMEOUT", started: true });
      expect(ended).toEqual(["hash", "hash", "hash", "hash", "hash", "endless"]);
    });

    test("ends the run of a stream whose reader goes away", async () => {
      const reader = new AbortController();
      const accept = { accept: "application/x-ndjson" };
      const response = await caller.post({ tool: "endless", resources: { timeout: "60s" } }, { headers: accept, signal: reader.signal });
      let id = "";
      for await (const event of eventsOf(response)) {
        if (event.type === "accepted") ({ id } = event);
        if (event.type === "started") break;
      }
      reader.abort();
      await expect
        .poll(async () => (await caller.get(`/v1/executions/${id}`)).json(), { timeout: 10_000 })
        .toMatchObject({ status: "ended", problem: { code: "ERR_ABORTED", started: true } });
    });

    test("ends the run of a caller who hangs up before the answer", async () => {
      const hangUp = new AbortController();
      const task = { tool: "endless", resources: { timeout: "60s" } };
      const headers = { "idempotency-key": crypto.randomUUID() };
      const first = caller.post(task, { headers, signal: hangUp.signal }).catch((error: unknown) => error);
      // Whoever comes first has the key.
      await new Promise((resolve) => setTimeout(resolve, 500));
      const isRunning = async (): Promise<number> => (await caller.post(task, { headers: { ...headers, prefer: "wait=0" } })).status;
      await expect.poll(isRunning, { timeout: 10_000 }).toBe(409);
      hangUp.abort();
      expect(await first).toMatchObject({ name: "AbortError" });
      // Asked before the host knows that the first has gone, the same key would wait in its place, and the run go on.
      await expect.poll(isRunning, { timeout: 10_000 }).not.toBe(409);
      expect(await caller.problem(task, { headers })).toMatchObject({ code: "ERR_ABORTED", started: true });
    });
  });

  test.skipIf("missing" in found)("lets what runs end when it is told to stop, and ends by itself", async () => {
    await using example = await startExample(engine, built);
    const caller = new Caller(example.url);
    const accept = { headers: { accept: "application/x-ndjson" } };
    const response = await caller.post({ tool: "endless", resources: { timeout: 1500 } }, accept);
    const exited = example.terminate();
    const events = await allEvents(response);
    expect(events.at(-2)).toMatchObject({ type: "error", problem: { code: "ERR_LIMIT_TIMEOUT" } });
    expect(events.at(-1)).toMatchObject({ type: "end" });
    expect(await exited).toBe(0);
  });
});
