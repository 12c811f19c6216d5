import { describe, expect, it } from "vitest";
import { executionRequestSchema, type WireResult } from "../../src/wire.ts";
import { bearer, expectHealthy, openService, problemOf, sendRaw, tokens, until, type Opened } from "../edge/support.ts";

const canary = "canary-3f9a1c";

describe("F1: no token, or a wrong one", () => {
  it.each([
    ["none", undefined],
    ["an empty one", "Bearer "],
    ["one that nobody has", "Bearer wrong-0123456789abcdef"],
    ["a prefix of a good one", `Bearer ${tokens.alice.token.slice(0, -1)}`],
    ["a good one with more behind it", `Bearer ${tokens.alice.token}x`],
    ["a good one twice", `Bearer ${tokens.alice.token}, Bearer ${tokens.alice.token}`],
    ["a good one under another scheme", `Basic ${tokens.alice.token}`],
    ["a good one without a scheme", tokens.alice.token],
    ["a JWT with alg none", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9."],
    ["a JWT signed with HS256", "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"],
    ["the name of a property that every object has", "Bearer constructor"],
    ["one of a megabyte's kind", `Bearer ${"x".repeat(12_000)}`],
  ])("F1 %s", async (_, authorization) => {
    const opened = await openService({ tokens: [tokens.alice] });
    const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
    for (const [method, path] of [
      ["POST", "/v1/executions"],
      ["GET", "/v1/executions/ex_1"],
      ["DELETE", "/v1/executions/ex_1"],
      ["GET", "/v1/executions/ex_1/events"],
      ["GET", "/v1/tools"],
      ["GET", "/v1/tools/echo"],
      ["GET", "/v1/backends"],
      ["POST", "/v1/blobs"],
      ["GET", `/v1/blobs/sha256:${"0".repeat(64)}`],
      ["GET", "/metrics"],
    ] as const) {
      const response = await fetch(`${opened.url}${path}`, { method, headers });
      expect([path, response.headers.get("www-authenticate")]).toEqual([path, "Bearer"]);
      expect(await problemOf(response)).toMatchObject({ status: 401, code: "ERR_UNAUTHORIZED" });
    }
    expect((await opened.post({ tool: "echo" }, headers)).status).toBe(401);
    expect(opened.service.executions.audit.lines()).toEqual([]);
    await expectHealthy(opened, tokens.alice.token, bearer("alice"));
  });
});

describe("F3: requests that two readers understand differently", () => {
  const body = '{"tool":"echo"}';
  const head = (lines: readonly string[]): string =>
    ["POST /v1/executions HTTP/1.1", "Host: localhost", "Content-Type: application/json", ...lines, "", ""].join("\r\n");
  const smuggled = "GET /v1/tools HTTP/1.1\r\nHost: localhost\r\n\r\n";

  it.each([
    [
      "Content-Length with Transfer-Encoding",
      head([`Content-Length: ${body.length}`, "Transfer-Encoding: chunked"]) + `0\r\n\r\n${smuggled}`,
    ],
    ["Transfer-Encoding with Content-Length", head(["Transfer-Encoding: chunked", "Content-Length: 4"]) + `0\r\n\r\n${smuggled}`],
    ["Transfer-Encoding that ends in something else", head(["Transfer-Encoding: chunked, identity"]) + `0\r\n\r\n${smuggled}`],
    ["Transfer-Encoding with a vertical tab", head(["Transfer-Encoding:\u000bchunked", "Content-Length: 0"]) + smuggled],
    ["two Content-Lengths", head([`Content-Length: ${body.length}`, "Content-Length: 0"]) + body],
    ["two equal Content-Lengths", head([`Content-Length: ${body.length}`, `Content-Length: ${body.length}`]) + body],
    ["a list in Content-Length", head([`Content-Length: ${body.length}, ${body.length}`]) + body],
    ["a signed Content-Length", head([`Content-Length: +${body.length}`]) + body],
    ["a hexadecimal Content-Length", head(["Content-Length: 0xf"]) + body],
    ["a folded header", head(["X-Folded: a", " b", `Content-Length: ${body.length}`]) + body],
    ["a blank before the colon", head([`Content-Length : ${body.length}`]) + body],
    ["a bare line feed", `POST /v1/executions HTTP/1.1\nHost: localhost\nContent-Length: ${body.length}\n\n${body}`],
    ["a NUL in a header", head(["X-Nul: a\0b", `Content-Length: ${body.length}`]) + body],
    ["two Hosts", head(["Host: evil.example", `Content-Length: ${body.length}`]) + body],
    ["no Host", `POST /v1/executions HTTP/1.1\r\nContent-Length: 0\r\n\r\n`],
    ["a chunk with a signed size", head(["Transfer-Encoding: chunked"]) + `+f\r\n${body}\r\n0\r\n\r\n`],
    ["a chunk longer than it says", head(["Transfer-Encoding: chunked"]) + `1\r\n${body}\r\n0\r\n\r\n`],
  ])("F3 %s", async (_, request) => {
    const opened = await openService();
    const { status, text } = await sendRaw(opened.port, request);
    expect(status).toBe(400);
    expect(text).toContain('"code":"ERR_ARGUMENT_INVALID"');
    expect(text.match(/HTTP\/1\.1 /g)).toHaveLength(1);
    expect(opened.service.executions.audit.lines()).toEqual([]);
    await expectHealthy(opened, canary);
  });

  it("F3 a head of over 16 KiB", async () => {
    const opened = await openService();
    expect((await sendRaw(opened.port, head([`X-Long: ${"x".repeat(20_000)}`]))).status).toBe(431);
    await expectHealthy(opened, canary);
  });
});

describe("F5: names that would be paths", () => {
  it.each([
    "/v1/tools/..%2f..%2f..%2fetc%2fpasswd",
    "/v1/tools/%2e%2e%2f%2e%2e",
    "/v1/tools/..%5c..%5cwindows",
    "/v1/tools/%00",
    "/v1/tools/%ff%fe",
    "/v1/tools/%E0%A4%A",
    "/v1/tools/echo%0d%0aX-Evil:%201",
    "/v1/tools/e%cc%81cho",
    "/v1/tools/%ef%bd%85cho",
    "/v1/tools/echo/..%2f..%2f1.0.0",
    "/v1/tools/__proto__",
    "/v1/tools/constructor",
    "/v1/blobs/..%2f..%2fetc%2fpasswd",
    "/v1/blobs/sha256:..",
    "/v1/executions/..%2f..%2fmetrics",
    "/v1/executions/%2e%2e/events",
    "/v1/executions/__proto__",
    "/../../etc/passwd",
    "/v1/../../etc/passwd",
    "/v1//tools",
    "/v1/tools/echo/1.0.0/x",
    "//evil.example/v1/tools",
    "/v1/tools\\..\\..",
  ])("F5 %s", async (path) => {
    const opened = await openService();
    // By hand: fetch would tidy the path up.
    const { text, status } = await sendRaw(opened.port, `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    expect([400, 404]).toContain(status);
    expect(text).not.toContain("root:");
    expect(text.toLowerCase()).not.toMatch(/^x-evil/m);
    expect(JSON.parse(text.slice(text.indexOf("\r\n\r\n") + 4))).toMatchObject({ code: expect.stringMatching(/^ERR_/) as string, status });
    await expectHealthy(opened, canary);
  });

  it.each([
    "../../etc/passwd",
    "..",
    "echo/../../x",
    "echo@../..",
    "__proto__",
    "constructor@1.0.0",
    "e\u0301cho",
    "\u0000",
    "echo\n",
    "ＥＣＨＯ",
  ])("F5 the tool %j in a request", async (tool) => {
    const opened = await openService();
    expect(await problemOf(await opened.post({ tool }))).toMatchObject({ status: 404, code: "ERR_TOOL_NOT_FOUND" });
    await expectHealthy(opened, canary);
  });
});

describe("F6: one Idempotency-Key", () => {
  const scripts = { once: "date +%N; sleep 0.7" };

  it("F6 a hundred at once are one run, and all get its answer", async () => {
    const opened = await openService({}, scripts);
    const responses = await Promise.all(Array.from({ length: 100 }, () => opened.post({ tool: "once" }, { "idempotency-key": "key-1" })));
    const bodies = await Promise.all(responses.map((response) => response.text()));
    expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(bodies).size).toBe(1);
    expect(acceptedCount(opened)).toBe(1);
    const later = await opened.post({ tool: "once" }, { "idempotency-key": "key-1" });
    expect(await later.text()).toBe(bodies[0]);
    const streamed = await opened.post({ tool: "once" }, { "idempotency-key": "key-1", accept: "application/x-ndjson" });
    expect(await streamed.text()).toContain(`"result":${bodies[0]}`);
    expect(acceptedCount(opened)).toBe(1);
    await expectHealthy(opened, canary);
  });

  it("F6 another body is a conflict, whether the first still runs or has ended", async () => {
    const opened = await openService({}, scripts);
    const headers = { "idempotency-key": "key-2" };
    const first = opened.post({ tool: "once" }, headers);
    await until(() => acceptedCount(opened) === 1, 5000, "the first is accepted");
    expect(await problemOf(await opened.post({ tool: "once", input: { other: 1 } }, headers))).toMatchObject({
      status: 422,
      code: "ERR_IDEMPOTENCY_CONFLICT",
    });
    expect((await first).status).toBe(200);
    expect((await opened.post({ tool: "echo" }, headers)).status).toBe(422);
    expect(acceptedCount(opened)).toBe(1);
    await expectHealthy(opened, canary);
  });

  it("F6 a caller who will not wait is told that it still runs", async () => {
    const opened = await openService({}, scripts);
    const headers = { "idempotency-key": "key-3" };
    const first = opened.post({ tool: "once" }, headers);
    await until(() => acceptedCount(opened) === 1, 5000, "the first is accepted");
    const refused = await problemOf(await opened.post({ tool: "once" }, { ...headers, prefer: "wait=0" }));
    expect(refused).toMatchObject({ status: 409, code: "ERR_IDEMPOTENCY_IN_PROGRESS", retryable: true });
    const done = (await (await first).json()) as WireResult;
    expect(refused.id).toBe(done.id);
    expect(((await (await opened.post({ tool: "once" }, { ...headers, prefer: "wait=0" })).json()) as WireResult).id).toBe(done.id);
    await expectHealthy(opened, canary);
  });

  it("F6 a key is its tenant's own", async () => {
    const opened = await openService({ tokens: [tokens.alice, tokens.bob] }, scripts);
    const send = async (who: "alice" | "bob"): Promise<string> =>
      ((await (await opened.post({ tool: "once" }, { ...bearer(who), "idempotency-key": "same" })).json()) as WireResult).id;
    expect(await send("alice")).not.toBe(await send("bob"));
    await expectHealthy(opened, canary, bearer("alice"));
  });

  it("F6 the first caller goes away: the others still get the answer of the one run", async () => {
    const opened = await openService({}, scripts);
    const headers = { "idempotency-key": "key-4" };
    const leave = new AbortController();
    const first = opened.post({ tool: "once" }, headers, leave.signal).catch(() => "left");
    await until(() => acceptedCount(opened) === 1, 5000, "the first is accepted");
    const second = opened.post({ tool: "once" }, headers);
    await new Promise((resolve) => setTimeout(resolve, 200));
    leave.abort();
    expect(await first).toBe("left");
    expect((await second).status).toBe(200);
    expect(acceptedCount(opened)).toBe(1);
    await expectHealthy(opened, canary);
  });

  it("F6 what was refused before it started does not use the key up", async () => {
    const opened = await openService({ concurrency: { running: 1, queued: 0 } }, scripts);
    const busy = opened.post({ tool: "once" });
    await until(() => acceptedCount(opened) === 1, 5000, "the first is accepted");
    await new Promise((resolve) => setTimeout(resolve, 100));
    const headers = { "idempotency-key": "key-5" };
    expect((await opened.post({ tool: "once" }, headers)).status).toBe(429);
    await busy;
    expect((await opened.post({ tool: "once" }, headers)).status).toBe(200);
    await expectHealthy(opened, canary);
  });

  it("F6 a multipart request is the same whatever its boundary", async () => {
    const opened = await openService({}, scripts);
    const send = async (content: string): Promise<Response> => {
      const data = new FormData();
      data.set("task", '{"tool":"once"}');
      data.set("a", new Blob([content]), "a");
      return fetch(`${opened.url}/v1/executions`, { method: "POST", body: data, headers: { "idempotency-key": "key-6" } });
    };
    const [first, second] = [await send("x"), await send("x")];
    expect(await second.text()).toBe(await first.text());
    expect((await send("y")).status).toBe(422);
    expect(acceptedCount(opened)).toBe(1);
    await expectHealthy(opened, canary);
  });

  it.each(["", "a b", "x".repeat(256), "ä"])("F6 the key %j is refused", async (key) => {
    const opened = await openService();
    const { status, text } = await sendRaw(
      opened.port,
      `POST /v1/executions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nIdempotency-Key: ${key}\r\nContent-Length: 15\r\n\r\n{"tool":"echo"}`,
    );
    expect(status).toBe(400);
    expect(text).toContain("ERR_ARGUMENT_INVALID");
    await expectHealthy(opened, canary);
  });
});

function acceptedCount({ service }: Opened): number {
  return service.executions.audit.lines().filter((line) => line.includes('"event":"accepted"')).length;
}

describe("F9: another tenant's execution", () => {
  it("F9 is 404 to see, to follow and to cancel, while it runs and when it has ended", async () => {
    const opened = await openService({ tokens: [tokens.alice, tokens.bob] }, { slow: `echo ${canary}; sleep 1` });
    const accepted = await opened.post({ tool: "slow" }, { ...bearer("alice"), prefer: "respond-async" });
    const path = accepted.headers.get("location") ?? "";
    const attack = async (): Promise<void> => {
      for (const [method, suffix] of [
        ["GET", ""],
        ["GET", "/events"],
        ["DELETE", ""],
      ] as const) {
        const response = await fetch(`${opened.url}${path}${suffix}`, { method, headers: bearer("bob") });
        expect(await problemOf(response)).toMatchObject({ status: 404, code: "ERR_EXECUTION_NOT_FOUND" });
      }
    };
    await attack();
    const own = async (): Promise<{ status: string; result?: WireResult }> =>
      (await opened.get(path, bearer("alice"))).json() as Promise<{ status: string }>;
    await until(async () => (await own()).status === "ended", 5000, "the run ends");
    expect((await own()).result).toMatchObject({ stdout: `${canary}\n`, exitCode: 0 });
    await attack();
    await expectHealthy(opened, canary, bearer("alice"));
  });
});

describe("F10: a weaker profile, larger limits", () => {
  it.each(["standard", "hardened"] as const)("F10 is 403 in %s", async (security) => {
    const opened = await openService({ security, tokens: [tokens.alice] });
    const headers = bearer("alice");
    for (const weaker of ["dev", "standard"].slice(0, security === "hardened" ? 2 : 1)) {
      expect(await problemOf(await opened.post({ tool: "echo", security: weaker }, headers))).toMatchObject({
        status: 403,
        code: "ERR_POLICY_DENIED",
        started: false,
      });
    }
    expect((await opened.get("/readyz")).status).toBe(200);
  });

  it.each(["standard", "hardened"] as const)("F10 larger limits are 403 in %s", async (security) => {
    const opened = await openService({ security, tokens: [tokens.alice] });
    for (const resources of [{ memory: "64Gi" }, { timeout: "1h" }, { output: "1Ti" }]) {
      const more = await problemOf(await opened.post({ tool: "echo", resources }, bearer("alice")));
      expect(more).toMatchObject({ status: 403, code: "ERR_POLICY_DENIED", started: false });
    }
  });

  it("F10 is clamped and said in dev", async () => {
    const opened = await openService();
    const result = (await (await opened.post({ tool: "echo", resources: { output: "1Ti" } })).json()) as WireResult;
    const receipt = result.limits.find(({ limit }) => limit === "output");
    expect(receipt).toMatchObject({ clampedFrom: 2 ** 40, applied: 160 * 2 ** 20 });
    await expectHealthy(opened, canary);
  });

  it("F10 bestEffort is refused where the operator says so", async () => {
    const opened = await openService({ allowsBestEffort: false });
    expect(await problemOf(await opened.post({ tool: "echo", resources: { timeout: 1 }, bestEffort: ["timeout"] }))).toMatchObject({
      status: 403,
      code: "ERR_POLICY_DENIED",
    });
    await expectHealthy(opened, canary);
  });
});

describe("F11: a foreign Host or Origin", () => {
  const ask = (host: string, extra: readonly string[] = []): string =>
    ["GET /v1/tools HTTP/1.1", `Host: ${host}`, "Connection: close", ...extra, "", ""].join("\r\n");

  it.each([
    "evil.example",
    "evil.example:8787",
    "localhost.evil.example",
    "127.0.0.1.nip.io",
    "169.254.169.254",
    "[::2]",
    "localhost:1@evil.example",
    "",
  ])("F11 Host %j", async (host) => {
    const opened = await openService();
    const { status, text } = await sendRaw(opened.port, ask(host));
    expect([400, 403]).toContain(status);
    expect(text).not.toContain("inputSchema");
    await expectHealthy(opened, canary);
  });

  it.each(["http://evil.example/v1/tools", "http://localhost:1@evil.example/v1/tools", "http://localhost@evil.example/v1/tools"])(
    "F11 the target %s",
    async (target) => {
      const opened = await openService();
      const { status } = await sendRaw(opened.port, ask("localhost").replace("/v1/tools", target));
      expect([400, 403]).toContain(status);
      await expectHealthy(opened, canary);
    },
  );

  it.each([
    "http://evil.example",
    "null",
    "http://localhost",
    "https://localhost:1",
    "http://localhost.evil.example",
    "chrome-extension://abc",
    "",
  ])("F11 Origin %j", async (origin) => {
    const opened = await openService();
    const { status, text } = await sendRaw(opened.port, ask(`localhost:${opened.port}`, [`Origin: ${origin}`]));
    expect(status).toBe(403);
    expect(text).toContain("ERR_FORBIDDEN");
    expect(text.toLowerCase()).not.toContain("access-control-allow-origin");
    await expectHealthy(opened, canary);
  });

  it("F11 a simple cross-site POST runs nothing", async () => {
    const opened = await openService();
    const body = '{"tool":"echo"}';
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/json"]) {
      const request = `POST /v1/executions HTTP/1.1\r\nHost: localhost:${opened.port}\r\nOrigin: http://evil.example\r\nConnection: close\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      expect((await sendRaw(opened.port, request)).status).toBe(403);
    }
    expect(acceptedCount(opened)).toBe(0);
    await expectHealthy(opened, canary);
  });

  it("F11 its own Host and Origin, and those of the configuration, are answered", async () => {
    const opened = await openService({ hosts: ["tools.example"], origins: ["https://app.example"] });
    for (const [host, origin] of [
      ["localhost", undefined],
      [`127.0.0.1:${opened.port}`, `http://127.0.0.1:${opened.port}`],
      ["[::1]", undefined],
      ["TOOLS.example:443", "https://app.example"],
    ] as const) {
      const { status, text } = await sendRaw(opened.port, ask(host, origin === undefined ? [] : [`Origin: ${origin}`]));
      expect(status).toBe(200);
      const allowed = /^access-control-allow-origin: (.*)\r$/im.exec(text)?.[1];
      expect(allowed).toBe(origin === "https://app.example" ? origin : undefined);
    }
    await expectHealthy(opened, canary);
  });
});

describe("C4: input that names prototypes", () => {
  const attacks = [
    '{"__proto__":{"polluted":1}}',
    '{"a":{"__proto__":{"polluted":1}}}',
    '{"constructor":{"prototype":{"polluted":1}}}',
    '[{"__proto__":[]}]',
  ];
  const isClean = (): boolean => !("polluted" in {}) && !("polluted" in Object);

  it.each(attacks.filter((input) => input.startsWith("{")))("C4 is inert in dev: %s", async (input) => {
    const opened = await openService();
    const response = await opened.post(`{"tool":"echo","input":${input}}`);
    expect(response.status).toBe(200);
    expect(await response.text()).toContain(`"output":${input}`);
    expect(isClean()).toBe(true);
    await expectHealthy(opened, canary);
  });

  it.each(["standard", "hardened"] as const)("C4 is 400 in %s", async (security) => {
    const opened = await openService({ security, tokens: [tokens.alice] });
    for (const input of attacks) {
      const problem = await problemOf(await opened.post(`{"tool":"echo","input":${input}}`, bearer("alice")));
      expect(problem).toMatchObject({ status: 400, code: "ERR_INPUT_INVALID", started: false });
    }
    expect(isClean()).toBe(true);
    expect((await opened.get("/readyz")).status).toBe(200);
  });

  it.each([
    '{"tool":"echo","__proto__":{"security":"dev"}}',
    '{"tool":"echo","files":{"__proto__":{"text":""}}}',
    '{"tool":"echo","env":{"__proto__":"x"}}',
    '{"tool":"echo","resources":{"__proto__":1}}',
    '{"tool":"echo","constructor":1}',
  ])("C4 is refused in the request itself: %s", async (body) => {
    const opened = await openService();
    expect(Object.keys(executionRequestSchema.shape)).not.toContain("constructor");
    expect(await problemOf(await opened.post(body))).toMatchObject({ status: 400, code: "ERR_INPUT_INVALID" });
    expect(isClean()).toBe(true);
    await expectHealthy(opened, canary);
  });
});

describe("C5: a body over the limit", () => {
  const limits = { maxJsonBytes: 10_000, maxUploadBytes: 20_000 };

  it("C5 by Content-Length, before it is sent", async () => {
    const opened = await openService({ limits });
    const head = `POST /v1/executions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n`;
    const { status, text, ms } = await sendRaw(opened.port, head);
    expect(status).toBe(413);
    expect(text).toContain("ERR_INPUT_TOO_LARGE");
    expect(ms).toBeLessThan(5000);
    await expectHealthy(opened, canary);
  });

  it.each([
    ["/v1/executions", "application/json", 10_001],
    ["/v1/executions", "multipart/form-data; boundary=b", 20_001],
    ["/v1/blobs", "application/octet-stream", 20_001],
  ])("C5 chunked, at %s as %s", async (path, type, size) => {
    const opened = await openService({ limits });
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        const start = type.startsWith("multipart") && sent === 0 ? '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' : "";
        const chunk = new TextEncoder().encode(start + " ".repeat(1000));
        sent += chunk.length;
        if (sent > size + 5_000_000) controller.close();
        else controller.enqueue(chunk);
      },
    });
    // The service may close while the body is still being sent: then fetch fails, and the answer was 413 on the wire.
    const response = await fetch(`${opened.url}${path}`, {
      method: "POST",
      headers: { "content-type": type },
      body,
      duplex: "half",
    } as RequestInit).catch(() => undefined);
    expect(response === undefined ? 413 : (await problemOf(response)).status).toBe(413);
    expect(sent).toBeLessThan(5_000_000);
    await until(() => opened.log.some((line) => line.includes('"status":413')), 2000, "the log has a 413");
    await expectHealthy(opened, canary);
  });

  it("C5 chunked in one raw request, whose answer is read", async () => {
    const opened = await openService({ limits });
    const head =
      "POST /v1/executions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    const { status } = await sendRaw(opened.port, head, `${(12_000).toString(16)}\r\n${" ".repeat(12_000)}\r\n`, "0\r\n\r\n");
    expect(status).toBe(413);
    await expectHealthy(opened, canary);
  });

  it("C5 just at the limit is read", async () => {
    const opened = await openService({ limits });
    const body = '{"tool":"echo"}';
    expect((await opened.post(body + " ".repeat(10_000 - body.length))).status).toBe(200);
    expect((await opened.post(body + " ".repeat(10_001 - body.length))).status).toBe(413);
    await expectHealthy(opened, canary);
  });
});
