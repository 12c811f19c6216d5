import { describe, expect, it } from "vitest";
import { executionSchema, eventSchema, resultSchema } from "../../src/wire.ts";
import { ndjson, openService, problemOf, until } from "./support.ts";

describe("POST /v1/executions", () => {
  it("gives the result with its receipts, as its schema says", async () => {
    const { post } = await openService();
    const response = await post({ tool: "echo", input: { text: "hällo" } });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/json");
    const result = resultSchema.parse(await response.json());
    expect(result).toMatchObject({ output: { text: "hällo" }, exitCode: 0, backend: { name: "wasm", profile: "dev" } });
    expect(result.limits.find(({ limit }) => limit === "output")).toMatchObject({
      applied: 16 * 2 ** 20,
      enforcedBy: "runtime",
      hit: "no",
    });
  });

  it("is 200 with the exit code where the tool fails by itself", async () => {
    const { post } = await openService({}, { fails: "echo why >&2; exit 3" });
    const response = await post({ tool: "fails" });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ exitCode: 3, stderr: "why\n", output: null, backend: { name: "unsafe" } });
  });

  it("is 422 with what there was where a limit ends the run", async () => {
    const { post } = await openService({}, { slow: "echo begun; sleep 30", loud: "yes" });
    const slow = await problemOf(await post({ tool: "slow", resources: { timeout: "300ms" } }));
    expect(slow).toMatchObject({
      status: 422,
      code: "ERR_LIMIT_TIMEOUT",
      started: true,
      partial: { stdout: "begun\n" },
      details: { limit: "timeout", value: 300 },
    });
    expect(slow.id).toMatch(/^ex_[0-9a-f]{32}$/);
    const loud = await problemOf(await post({ tool: "loud", resources: { output: "10k" } }));
    expect(loud).toMatchObject({ status: 422, code: "ERR_LIMIT_OUTPUT", details: { value: 10_000 } });
  });

  it("is 409 where a limit cannot be held, 403 where policy forbids, 404 without the tool", async () => {
    const { post } = await openService();
    const refused = await problemOf(await post({ tool: "echo", resources: { cpu: "500m" } }));
    expect(refused).toMatchObject({ status: 409, code: "ERR_LIMIT_UNENFORCEABLE", started: false, backend: "wasm" });
    expect(await problemOf(await post({ tool: "echo", security: "hardened" }))).toMatchObject({
      status: 409,
      code: "ERR_PROFILE_UNSUPPORTED",
    });
    const missing = await problemOf(await post({ tool: "ecoh" }));
    expect(missing).toMatchObject({ status: 404, code: "ERR_TOOL_NOT_FOUND" });
    expect(missing.detail).toContain('did you mean "echo"');
  });

  it("refuses an unknown key and names the nearest one", async () => {
    const { post } = await openService();
    const problem = await problemOf(await post({ tool: "echo", inptu: {} }));
    expect(problem).toMatchObject({ status: 400, code: "ERR_INPUT_INVALID" });
    expect(problem.detail).toContain('unknown key "inptu"; did you mean "input"?');
    expect((await problemOf(await post({ tool: "echo", resources: { memroy: 1 } }))).detail).toContain('did you mean "memory"?');
  });

  it("finds a version and a digest", async () => {
    const { post, get } = await openService();
    const { digest } = (await (await get("/v1/tools/echo")).json()) as { digest: string };
    for (const tool of ["echo@1.0.0", `echo@${digest}`]) expect((await post({ tool })).status).toBe(200);
    expect((await post({ tool: "echo@2.0.0" })).status).toBe(404);
  });

  it("answers with the caller's request id where it is a sane one", async () => {
    const { post } = await openService();
    expect((await post({ tool: "echo" }, { "x-request-id": "abc-1.2:3" })).headers.get("x-request-id")).toBe("abc-1.2:3");
    for (const odd of ["a b", "x".repeat(65), "<script>", "ü"]) {
      const id = (await post({ tool: "echo" }, { "x-request-id": encodeURIComponent(odd) })).headers.get("x-request-id");
      expect(id).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  it("puts traceparent and ids into one log line, and neither input nor output", async () => {
    const { post, log } = await openService();
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    await post({ tool: "echo", input: { text: "private-words" } }, { traceparent });
    const lines = log.map((line) => JSON.parse(line) as Record<string, unknown>).filter(({ msg }) => msg === "request");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ traceparent, method: "POST", path: "/v1/executions", status: 200, tool: "echo", tenant: "default" });
    expect(log.join("")).not.toContain("private-words");
  });
});

describe("a deadline", () => {
  it.each([
    ["the header", {}, { "toolruntime-deadline": "300" }],
    ["the body", { deadline: "300ms" }, {}],
    ["the nearer of both", { deadline: "300ms" }, { "toolruntime-deadline": "20000" }],
  ])("in %s ends the run", async (_, body, headers: Record<string, string>) => {
    const { post } = await openService({}, { slow: "sleep 30" });
    const started = performance.now();
    const problem = await problemOf(await post({ tool: "slow", ...body }, headers));
    expect(problem).toMatchObject({ status: 422, code: "ERR_DEADLINE", details: { deadlineMs: 300 } });
    expect(performance.now() - started).toBeLessThan(8000);
  });

  it.each(["0", "-1", "1.5", "soon", "1e3", ""])("refuses the header %j", async (value) => {
    const { post } = await openService();
    expect(await problemOf(await post({ tool: "echo" }, { "toolruntime-deadline": value }))).toMatchObject({
      code: "ERR_ARGUMENT_INVALID",
      status: 400,
    });
  });
});

describe("a streamed answer", () => {
  it("is NDJSON, event by event, with the result at its end", async () => {
    const { post } = await openService({}, { steps: "echo one; sleep 0.3; echo two >&2; sleep 0.3; printf '\\377'" });
    const response = await post({ tool: "steps" }, { accept: "application/x-ndjson" });
    expect(response.headers.get("content-type")).toBe("application/x-ndjson");
    const events = (await ndjson(response)).map((event) => eventSchema.parse(event));
    expect(events.map(({ type }) => type)).toEqual(["accepted", "started", "stdout", "stderr", "stdout", "result", "end"]);
    const numbers = events.flatMap((event) => ("seq" in event ? [event.seq] : []));
    expect(numbers).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(events[2]).toMatchObject({ text: "one\n" });
    expect(events[4]).toMatchObject({ base64: "/w==" });
    expect(events[5]).toMatchObject({ result: { exitCode: 0, replaced: { stdout: true } } });
  });

  it("gives an event when it happens, not at the end", async () => {
    const { post } = await openService({}, { steps: "echo one; sleep 1.5; echo two" });
    const response = await post({ tool: "steps" }, { accept: "application/x-ndjson" });
    const started = performance.now();
    let text = "";
    let oneAt = 0;
    for await (const chunk of response.body ?? []) {
      text += new TextDecoder().decode(chunk);
      if (oneAt === 0 && text.includes('"one\\n"')) oneAt = performance.now() - started;
    }
    expect(oneAt).toBeGreaterThan(0);
    expect(oneAt).toBeLessThan(1000);
    expect(performance.now() - started).toBeGreaterThan(1000);
  });

  it("is SSE with ids that EventSource resumes by", async () => {
    const { post } = await openService();
    const response = await post({ tool: "echo", input: { a: 1 } }, { accept: "text/event-stream" });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const blocks = (await response.text()).split("\n\n").filter((block) => block !== "");
    expect(blocks.map((block) => /^id: (\d+)\nevent: (\w+)\ndata: \{.*\}$/.exec(block)?.slice(1, 3))).toEqual([
      ["0", "accepted"],
      ["1", "started"],
      ["2", "stdout"],
      ["3", "result"],
      ["4", "end"],
    ]);
  });

  it("ends with the error of a run that was ended, and is a plain refusal where nothing started", async () => {
    const { post } = await openService({}, { slow: "sleep 30" });
    const events = await ndjson(await post({ tool: "slow", resources: { timeout: "800ms" } }, { accept: "application/x-ndjson" }));
    expect(events.at(-2)).toMatchObject({ type: "error", problem: { code: "ERR_LIMIT_TIMEOUT", status: 422 } });
    expect(events.at(-1)).toMatchObject({ type: "end" });
    const refused = await post({ tool: "echo", resources: { cpu: "500m" } }, { accept: "application/x-ndjson" });
    expect(await problemOf(refused)).toMatchObject({ status: 409, code: "ERR_LIMIT_UNENFORCEABLE" });
  });
});

describe("Prefer: respond-async", () => {
  it("answers 202, and the state says how it went", async () => {
    const { post, get } = await openService({}, { steps: "echo one; sleep 0.5; echo two" });
    const response = await post({ tool: "steps" }, { prefer: "respond-async" });
    expect(response.status).toBe(202);
    expect(response.headers.get("preference-applied")).toBe("respond-async");
    const path = response.headers.get("location") ?? "";
    const accepted = executionSchema.parse(await response.json());
    expect(path).toBe(`/v1/executions/${accepted.id}`);
    expect(accepted.status).toBe("accepted");
    await until(async () => ((await (await get(path)).json()) as { status: string }).status === "ended", 5000, "the run ends");
    const ended = executionSchema.parse(await (await get(path)).json());
    expect(ended).toMatchObject({ id: accepted.id, status: "ended", tool: { name: "steps" }, result: { stdout: "one\ntwo\n" } });
  });

  it("keeps the events: all, after a number, and those to come", async () => {
    const { post, get } = await openService({}, { steps: "echo one; sleep 1; echo two" });
    const path = (await post({ tool: "steps" }, { prefer: "respond-async" })).headers.get("location") ?? "";
    const live = await ndjson(await get(`${path}/events`));
    expect(live.map(({ type }) => type)).toEqual(["accepted", "started", "stdout", "stdout", "result", "end"]);
    const after = (await (await get(`${path}/events?after=2`, { accept: "application/json" })).json()) as { events: { seq: number }[] };
    expect(after.events.map(({ seq }) => seq)).toEqual([3, 4, 5]);
    const resumed = await ndjson(await get(`${path}/events`, { "last-event-id": "4" }));
    expect(resumed).toEqual([{ type: "end", seq: 5 }]);
    for (const odd of ["x", "1.5", "-2", "1e9", "9".repeat(20)]) {
      expect(await problemOf(await get(`${path}/events?after=${odd}`))).toMatchObject({ status: 400, code: "ERR_ARGUMENT_INVALID" });
    }
  });

  it("waits as long as the caller would", async () => {
    const { post } = await openService({}, { short: "sleep 0.2; echo done", long: "sleep 30" });
    expect(await (await post({ tool: "short" }, { prefer: "respond-async, wait=10" })).json()).toMatchObject({ stdout: "done\n" });
    const started = performance.now();
    expect((await post({ tool: "long" }, { prefer: "respond-async, wait=1" })).status).toBe(202);
    expect(performance.now() - started).toBeLessThan(4000);
  });

  it("goes on when the caller has gone", async () => {
    const { post, get } = await openService({}, { steps: "sleep 0.5; echo done" });
    const leave = new AbortController();
    const response = await post({ tool: "steps" }, { prefer: "respond-async" }, leave.signal);
    const path = response.headers.get("location") ?? "";
    leave.abort();
    const state = async (): Promise<{ status: string }> => (await get(path)).json() as Promise<{ status: string }>;
    await until(async () => (await state()).status === "ended", 5000, "the run ends by itself");
    expect(await state()).toMatchObject({ result: { stdout: "done\n" } });
  });
});

describe("DELETE /v1/executions/{id}", () => {
  it("ends the run and says how it ended, however often it is sent", async () => {
    const { service, post, url } = await openService({}, { slow: "echo begun; sleep 60" });
    const path = (await post({ tool: "slow" }, { prefer: "respond-async" })).headers.get("location") ?? "";
    await until(() => service.executions.audit.lines().some((line) => line.includes('"event":"started"')), 5000, "the tool starts");
    for (let times = 0; times < 2; times++) {
      const response = await fetch(`${url}${path}`, { method: "DELETE" });
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({ status: "ended", problem: { code: "ERR_ABORTED", started: true } });
    }
    const other = await fetch(`${url}/v1/executions/ex_none`, { method: "DELETE" });
    expect(await problemOf(other)).toMatchObject({ status: 404, code: "ERR_EXECUTION_NOT_FOUND" });
  });

  it("gives the caller that still waits a problem", async () => {
    const { service, post, url } = await openService({}, { slow: "sleep 60" });
    const waiting = post({ tool: "slow" });
    const idOf = (): string | undefined =>
      /"executionId":"(ex_\w+)"[^\n]*"event":"started"/.exec(service.executions.audit.lines().join("\n"))?.[1];
    await until(() => idOf() !== undefined, 5000, "the tool starts");
    await fetch(`${url}/v1/executions/${idOf()}`, { method: "DELETE" });
    expect(await problemOf(await waiting)).toMatchObject({ status: 499, code: "ERR_ABORTED" });
  });
});

describe("a service with more work than places", () => {
  it("is 429 with Retry-After beyond the queue, and serves all that it took", async () => {
    const { post } = await openService({ concurrency: { running: 2, queued: 2 } }, { slow: "sleep 1; echo done" });
    const responses = await Promise.all(Array.from({ length: 8 }, () => post({ tool: "slow" })));
    const byStatus = (status: number) => responses.filter((response) => response.status === status);
    expect(byStatus(200)).toHaveLength(4);
    expect(byStatus(429)).toHaveLength(4);
    for (const refused of byStatus(429)) {
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
      expect(await problemOf(refused)).toMatchObject({ code: "ERR_QUEUE_FULL", retryable: true, started: false });
    }
  });

  it("is 429 beyond the most executions that the app takes at all", async () => {
    const { post } = await openService({ limits: { maxExecutions: 1 } }, { slow: "sleep 2" });
    const first = post({ tool: "slow" });
    await until(async () => (await post({ tool: "echo" })).status === 429, 2000, "the second is refused");
    expect((await first).status).toBe(200);
    expect((await post({ tool: "echo" })).status).toBe(200);
  });
});
