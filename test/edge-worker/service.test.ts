import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sha256 } from "../../src/internal/digest.ts";
import { backendListSchema, eventSchema, executionSchema, resultSchema, toolListSchema } from "../../src/wire.ts";
import { problemOf, standardVars, TestWorker } from "./support.ts";
import { guestBytes, manifestOf } from "./tools.ts";

let worker: TestWorker;

beforeAll(async () => {
  worker = await TestWorker.open();
});
afterAll(() => worker[Symbol.asyncDispose]());

const text = (words: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(words);

describe("the service in a worker", () => {
  it("is live, ready, and describes itself without the routes that it has not", async () => {
    for (const path of ["/livez", "/readyz"]) expect(await (await worker.get(path)).json()).toEqual({ status: "ok" });
    const document = (await (await worker.get("/openapi.json")).json()) as { info: { version: string }; paths: object };
    expect(document.info.version).toBe("1.2.3");
    expect(Object.keys(document.paths)).toContain("/v1/executions/{id}/events");
    expect(Object.keys(document.paths)).not.toContain("/metrics");
    expect(await problemOf(await worker.get("/nowhere"))).toMatchObject({ status: 404, code: "ERR_ROUTE_NOT_FOUND" });
    expect(await problemOf(await worker.send("PUT", "/v1/tools"))).toMatchObject({ status: 405, code: "ERR_METHOD_NOT_ALLOWED" });
  });

  it("knows its callers by their tokens, and keeps tenants apart", async () => {
    expect(await problemOf(await worker.get("/v1/tools"))).toMatchObject({ status: 401, code: "ERR_UNAUTHORIZED" });
    const wrong = await worker.get("/v1/tools", undefined, { authorization: "Bearer alice-0123456789abcdeg" });
    expect(await problemOf(wrong)).toMatchObject({ status: 401 });
    expect(await problemOf(await worker.run({ tool: "echo" }, { who: "reader" }))).toMatchObject({ status: 403, code: "ERR_FORBIDDEN" });
    const { id } = resultSchema.parse(await (await worker.run({ tool: "echo" })).json());
    expect((await worker.get(`/v1/executions/${id}`, "reader")).status).toBe(200);
    expect(await problemOf(await worker.get(`/v1/executions/${id}`, "bob"))).toMatchObject({ code: "ERR_EXECUTION_NOT_FOUND" });
  });

  it("runs what was deployed with it, and says in which mode", async () => {
    const result = resultSchema.parse(await (await worker.run({ tool: "echo", input: { text: "hello" } })).json());
    expect(result).toMatchObject({
      stdout: '{"text":"hello"}',
      exitCode: 0,
      backend: { name: "wasm", isolation: "wasm", profile: "standard" },
    });
    const { tools } = toolListSchema.parse(await (await worker.get("/v1/tools", "alice")).json());
    expect(tools.map(({ name }) => name)).toEqual(["echo", "loop", "sleep"]);
    const { backends } = backendListSchema.parse(await (await worker.get("/v1/backends", "alice")).json());
    expect(backends).toMatchObject([{ backend: "wasm", status: "ready", notes: ["Mode static: 3 tools were deployed with the worker"] }]);
  });

  it("runs deterministically", async () => {
    const task = { tool: "echo", input: [1], deterministic: { seed: 1, now: 0 } };
    const [first, second] = [await (await worker.run(task)).json(), await (await worker.run(task)).json()].map((one) =>
      resultSchema.parse(one),
    );
    expect(first?.limits.find(({ limit }) => limit === "fuel")?.peak).toBeGreaterThan(0);
    expect(first?.limits.find(({ limit }) => limit === "fuel")).toEqual(second?.limits.find(({ limit }) => limit === "fuel"));
  });

  it("ends what has no end, and serves others meanwhile", async () => {
    const endless = worker.run({ tool: "loop", resources: { timeout: 400 } });
    expect((await worker.run({ tool: "echo" }, { who: "bob" })).status).toBe(200);
    expect(await problemOf(await endless)).toMatchObject({ status: 422, code: "ERR_LIMIT_TIMEOUT", started: true });
  });

  it("streams events", async () => {
    const response = await worker.run({ tool: "echo", input: "streamed" }, { headers: { accept: "application/x-ndjson" } });
    const events = (await response.text())
      .trim()
      .split("\n")
      .map((line) => eventSchema.parse(JSON.parse(line)));
    expect(events.map(({ type }) => type)).toEqual(["accepted", "started", "stdout", "result", "end"]);
  });

  it("answers 202, keeps the events, and ends a run that is cancelled", async () => {
    const accepted = await worker.run({ tool: "sleep", resources: { timeout: 20_000 } }, { headers: { prefer: "respond-async" } });
    expect(accepted.status).toBe(202);
    const { id } = executionSchema.parse(await accepted.json());
    expect(executionSchema.parse(await (await worker.get(`/v1/executions/${id}`, "alice")).json()).status).not.toBe("ended");
    const cancelled = executionSchema.parse(await (await worker.send("DELETE", `/v1/executions/${id}`, { who: "alice" })).json());
    expect(cancelled).toMatchObject({ status: "ended", problem: { code: "ERR_ABORTED" } });
    const { events } = (await (await worker.get(`/v1/executions/${id}/events`, "alice", { accept: "application/json" })).json()) as {
      events: { type: string }[];
    };
    expect(events.map(({ type }) => type)).toEqual(["accepted", "started", "error", "end"]);
  });
});

describe("what has no place in the worker", () => {
  it("refuses profile hardened, and says who could", async () => {
    const problem = await problemOf(await worker.run({ tool: "echo", security: "hardened" }));
    expect(problem).toMatchObject({ status: 409, code: "ERR_PROFILE_UNSUPPORTED", started: false, details: { nodes: [] } });
    expect(problem.detail).toContain("TOOLRUNTIME_NODES");
  });

  it("takes tools of the bucket into its list, and says which nodes could run what it cannot", async () => {
    await using other = await TestWorker.open();
    const bytes = await guestBytes("echo");
    const manifests = [
      { ...manifestOf("stored"), artifacts: { wasm: { digest: await sha256(bytes) } } },
      { ...manifestOf("shell"), artifacts: { command: { argv: ["true"] } } },
      { ...manifestOf("nameless") },
      { ...manifestOf("echo"), description: "Another one of the same name and version" },
      { name: "broken" },
    ];
    await other.putObject("tools.json", JSON.stringify(manifests));
    const { tools } = toolListSchema.parse(await (await other.get("/v1/tools", "alice")).json());
    expect(tools.map(({ name }) => name)).toEqual(["echo", "loop", "shell", "sleep", "stored"]);
    expect(tools.find(({ name }) => name === "echo")?.description).toBe("The guest echo");
    for (const tool of ["stored", "shell"]) {
      const problem = await problemOf(await other.run({ tool }));
      expect(problem).toMatchObject({ status: 409, code: "ERR_ARTIFACT_UNSUPPORTED", started: false });
      expect(problem.detail).toContain(`takes "${tool === "shell" ? "command" : "wasm"}"`);
      expect(problem.detail).toContain("TOOLRUNTIME_NODES");
    }
  });
});

describe("what it keeps", () => {
  it("runs once for each idempotency key, also after all isolates have ended", async () => {
    const headers = { "idempotency-key": "once" };
    const first = resultSchema.parse(await (await worker.run({ tool: "echo", input: 1 }, { headers })).json());
    await worker.restart();
    const again = resultSchema.parse(await (await worker.run({ tool: "echo", input: 1 }, { headers })).json());
    expect(again).toEqual(first);
    expect(executionSchema.parse(await (await worker.get(`/v1/executions/${first.id}`, "alice")).json())).toMatchObject({
      status: "ended",
      result: first,
    });
    const other = await problemOf(await worker.run({ tool: "echo", input: 2 }, { headers }));
    expect(other).toMatchObject({ status: 422, code: "ERR_IDEMPOTENCY_CONFLICT" });
    expect(resultSchema.parse(await (await worker.run({ tool: "echo", input: 2 }, { headers, who: "bob" })).json()).id).not.toBe(first.id);
  });

  it("lets requests with one key wait for one run", async () => {
    const headers = { "idempotency-key": "together" };
    const task = { tool: "loop", resources: { timeout: 500 } };
    const answers = await Promise.all([1, 2, 3].map(() => worker.run(task, { headers })));
    const problems = await Promise.all(answers.map(problemOf));
    expect(new Set(problems.map(({ id }) => id)).size).toBe(1);
    expect(problems).toMatchObject([{ code: "ERR_LIMIT_TIMEOUT" }, { code: "ERR_LIMIT_TIMEOUT" }, { code: "ERR_LIMIT_TIMEOUT" }]);
  });

  it("keeps blobs in the bucket, for those who have had them in hand", async () => {
    const sent = { who: "alice", body: text("a blob") } as const;
    const { digest } = (await (await worker.send("POST", "/v1/blobs", sent)).json()) as { digest: string };
    expect(digest).toBe(await sha256("a blob"));
    await worker.restart();
    expect(await (await worker.get(`/v1/blobs/${digest}`, "alice")).text()).toBe("a blob");
    expect(await problemOf(await worker.get(`/v1/blobs/${digest}`, "bob"))).toMatchObject({ status: 404, code: "ERR_BLOB_NOT_FOUND" });
    const task = { tool: "echo", files: { "in.txt": { digest } } };
    expect((await worker.run(task)).status).toBe(200);
    expect(await problemOf(await worker.run(task, { who: "bob" }))).toMatchObject({ code: "ERR_BLOB_NOT_FOUND" });
  });

  it("does not hand out bytes that somebody put in the place of others", async () => {
    const sent = { who: "alice", body: text("the right bytes") } as const;
    const { digest } = (await (await worker.send("POST", "/v1/blobs", sent)).json()) as { digest: string };
    await worker.putObject(`blobs/${digest}`, "the wrong bytes");
    expect(await problemOf(await worker.get(`/v1/blobs/${digest}`, "alice"))).toMatchObject({ status: 404, code: "ERR_BLOB_NOT_FOUND" });
  });

  it("refuses a blob over its size", async () => {
    const sent = { who: "alice", body: new Uint8Array(16 * 2 ** 20 + 1) } as const;
    expect(await problemOf(await worker.send("POST", "/v1/blobs", sent))).toMatchObject({ status: 413, code: "ERR_INPUT_TOO_LARGE" });
  });
});

describe("a worker that is bound to less", () => {
  it("limits how often a principal may call", async () => {
    const ratelimits = [{ name: "RATE_LIMIT", namespace_id: "1", simple: { limit: 5, period: 60 } }];
    await using limited = await TestWorker.open({ bindings: { ratelimits } });
    const statuses: number[] = [];
    for (let count = 0; count < 8; count++) statuses.push((await limited.get("/v1/tools", "alice")).status);
    expect(statuses.slice(0, 5)).toEqual([200, 200, 200, 200, 200]);
    const refused = await limited.get("/v1/tools", "alice");
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await problemOf(refused)).toMatchObject({ status: 429, code: "ERR_RATE_LIMITED", retryable: true });
    expect((await limited.get("/v1/tools", "bob")).status).toBe(200);
    expect((await limited.get("/livez")).status).toBe(200);
  });

  it("says that it keeps things in memory only", async () => {
    await using bare = await TestWorker.open({ bindings: {}, vars: { TOOLRUNTIME_SECURITY: "dev" } });
    const { backends } = backendListSchema.parse(await (await bare.get("/v1/backends")).json());
    const notes = backends.flatMap((one) => one.notes ?? []).join("\n");
    expect(notes).toContain("ARTIFACTS");
    expect(notes).toContain("EXECUTIONS");
    const headers = { "idempotency-key": "memory" };
    const first = resultSchema.parse(await (await bare.run({ tool: "echo" }, { headers })).json());
    expect(resultSchema.parse(await (await bare.run({ tool: "echo" }, { headers })).json()).id).toBe(first.id);
  });

  it("serves nobody without a token but those who call it as localhost, in profile dev alone", async () => {
    await using open = await TestWorker.open({ bindings: {}, vars: { TOOLRUNTIME_SECURITY: "dev" } });
    expect((await open.get("/v1/tools")).status).toBe(200);
    expect(await open.statusFor("toolruntime.example.workers.dev", "/v1/tools")).toBe(403);
    await using closed = await TestWorker.open({ bindings: {}, vars: { TOOLRUNTIME_SECURITY: "standard" } });
    const refused = await problemOf(await closed.get("/v1/tools"));
    expect(refused).toMatchObject({ status: 500, code: "ERR_CONFIG_INVALID" });
    expect(refused.detail).toContain("TOOLRUNTIME_TOKENS");
  });

  it("never says what a secret holds that cannot be read", async () => {
    const vars = { ...standardVars, TOOLRUNTIME_TOKENS: '[{"token":"secret-0123456789abcdef"' };
    await using closed = await TestWorker.open({ bindings: {}, vars });
    const answer = await (await closed.get("/v1/tools")).text();
    expect(answer).toContain("ERR_CONFIG_INVALID");
    expect(answer).not.toContain("secret-");
  });
});
