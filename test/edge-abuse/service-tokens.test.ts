import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { findBinary } from "../../bench/engines.ts";
import { executionSchema, resultSchema } from "../../src/wire.ts";
import { bearer, openSocket, problemOf, tokens, until } from "../edge/support.ts";
import { EdgeService, modes } from "./service.ts";

/** Groups C and F of the corpus on the worker itself, through HTTP, in workerd: what callers with tokens may not do, and others. */
const found = findBinary("workerd");
const isMissing = "missing" in found;
if (isMissing) console.log(`Not run on workerd: ${found.missing}`);

const body = '{"tool":"echo"}';
const authorized = `Host: localhost\r\nAuthorization: ${bearer("alice").authorization}`;
const head = (lines: readonly string[]): string =>
  ["POST /v1/executions HTTP/1.1", authorized, "Content-Type: application/json", ...lines, "", ""].join("\r\n");
const smuggled = `GET /v1/tools HTTP/1.1\r\n${authorized}\r\n\r\n`;

/** Heads that two readers understand differently, with what comes behind them. */
const ambiguous: Readonly<Record<string, string>> = {
  "Content-Length with Transfer-Encoding": head([`Content-Length: ${body.length}`, "Transfer-Encoding: chunked"]) + `0\r\n\r\n${smuggled}`,
  "Transfer-Encoding with Content-Length": head(["Transfer-Encoding: chunked", "Content-Length: 4"]) + `0\r\n\r\n${smuggled}`,
  "Transfer-Encoding that ends in something else": head(["Transfer-Encoding: chunked, identity"]) + `0\r\n\r\n${smuggled}`,
  "Transfer-Encoding with a vertical tab": head(["Transfer-Encoding:\u000bchunked", "Content-Length: 0"]) + smuggled,
  "two Content-Lengths": head([`Content-Length: ${body.length}`, "Content-Length: 0"]) + body,
  "two equal Content-Lengths": head([`Content-Length: ${body.length}`, `Content-Length: ${body.length}`]) + body,
  "a list in Content-Length": head([`Content-Length: ${body.length}, ${body.length}`]) + body,
  "a signed Content-Length": head([`Content-Length: +${body.length}`]) + body,
  "a hexadecimal Content-Length": head(["Content-Length: 0xf"]) + body,
  "a folded header": head(["X-Folded: a", " b", `Content-Length: ${body.length}`]) + body,
  "a blank before the colon": head([`Content-Length : ${body.length}`]) + body,
  "a bare line feed": `POST /v1/executions HTTP/1.1\n${authorized.replace("\r", "")}\nContent-Length: ${body.length}\n\n${body}`,
  "a NUL in a header": head(["X-Nul: a\0b", `Content-Length: ${body.length}`]) + body,
  "two Hosts": head(["Host: evil.example", `Content-Length: ${body.length}`]) + body,
  "no Host": `POST /v1/executions HTTP/1.1\r\nAuthorization: ${bearer("alice").authorization}\r\nContent-Length: 0\r\n\r\n`,
  "a chunk with a signed size": `${head(["Transfer-Encoding: chunked"])}+f\r\n${body}\r\n0\r\n\r\n`,
  "a chunk longer than it says": `${head(["Transfer-Encoding: chunked"])}1\r\n${body}\r\n0\r\n\r\n`,
};

/** What workerd's own server, which stands before the worker, answers otherwise than with 400. Nothing in it is understood twice. */
const otherwise: Readonly<Record<string, { readonly status: number; readonly runs?: number }>> = {
  // RFC 9110 §8.6 lets a recipient take the same length twice for one.
  "two equal Content-Lengths": { status: 200, runs: 1 },
  // It puts both into the address of the request, which is none then: the worker never sees it.
  "two Hosts": { status: 500 },
  // The worker waits for a body that breaks off.
  "a chunk with a signed size": { status: 499 },
  "a chunk longer than it says": { status: 499 },
};

describe.skipIf(isMissing).each(modes)("the worker, %s, in standard, for callers with tokens", (mode) => {
  let service: EdgeService;
  beforeAll(async () => {
    service = await EdgeService.open({ mode, security: "standard" });
  });
  afterAll(() => service?.[Symbol.asyncDispose]());
  afterEach(() => service.holds());

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
    ["the name of a property that every object has", "Bearer constructor"],
  ])("F1 %s", async (_, authorization) => {
    const before = service.acceptedCount();
    const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
    for (const [method, path] of [
      ["POST", "/v1/executions"],
      ["GET", "/v1/executions/ex_1"],
      ["DELETE", "/v1/executions/ex_1"],
      ["GET", "/v1/executions/ex_1/events"],
      ["GET", "/v1/tools"],
      ["GET", "/v1/backends"],
      ["POST", "/v1/blobs"],
      ["GET", `/v1/blobs/sha256:${"0".repeat(64)}`],
    ] as const) {
      const response = await fetch(`${service.url}${path}`, { method, headers });
      expect([path, response.headers.get("www-authenticate")]).toEqual([path, "Bearer"]);
      expect(await problemOf(response)).toMatchObject({ status: 401, code: "ERR_UNAUTHORIZED" });
    }
    expect(service.acceptedCount()).toBe(before);
  });

  it.each(['{"__proto__":{"polluted":1}}', '{"a":{"__proto__":{}}}', '{"constructor":{"prototype":{}}}', '[{"__proto__":[]}]'])(
    "C4 is 400 in standard: %s",
    async (input) => {
      const problem = await problemOf(await service.post(`{"tool":"echo","input":${input}}`));
      expect(problem).toMatchObject({ status: 400, code: "ERR_INPUT_INVALID", started: false });
    },
  );

  it.each([
    "/v1/tools/..%2f..%2f..%2fetc%2fpasswd",
    "/v1/tools/%2e%2e%2f%2e%2e",
    "/v1/tools/%00",
    "/v1/tools/%ff%fe",
    "/v1/tools/%E0%A4%A",
    "/v1/tools/echo%0d%0aX-Evil:%201",
    "/v1/tools/e%cc%81cho",
    "/v1/tools/__proto__",
    "/v1/tools/constructor",
    "/v1/blobs/..%2f..%2fetc%2fpasswd",
    "/v1/blobs/sha256:..",
    "/v1/executions/..%2f..%2fmetrics",
    "/v1/executions/__proto__",
    "/v1/../../etc/passwd",
    "/v1//tools",
    "/v1/tools/echo/1.0.0/x",
  ])("F5 %s", async (path) => {
    const { text, status } = await service.send(
      `GET ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${bearer("alice").authorization}\r\n\r\n`,
    );
    expect([400, 404]).toContain(status);
    expect(text).not.toContain("root:");
    expect(text.toLowerCase()).not.toMatch(/^x-evil/m);
  });

  it.each(["../../etc/passwd", "echo@../..", "__proto__", "constructor@1.0.0", "e\u0301cho", "\u0000", "echo\n", "ＥＣＨＯ"])(
    "F5 the tool %j in a request",
    async (tool) => {
      expect(await problemOf(await service.post({ tool }))).toMatchObject({ status: 404, code: "ERR_TOOL_NOT_FOUND" });
    },
  );

  it("F6 a hundred at once with one key are one run, and all get its answer; another body is a conflict", async () => {
    const before = service.acceptedCount();
    const headers = { "idempotency-key": "key-1" };
    const responses = await Promise.all(Array.from({ length: 100 }, () => service.post({ tool: "slow" }, headers)));
    const bodies = await Promise.all(responses.map((response) => response.text()));
    expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(bodies).size).toBe(1);
    expect(await (await service.post({ tool: "slow" }, headers)).text()).toBe(bodies[0]);
    expect(await problemOf(await service.post({ tool: "slow", input: 1 }, headers))).toMatchObject({
      status: 422,
      code: "ERR_IDEMPOTENCY_CONFLICT",
    });
    expect(service.acceptedCount()).toBe(before + 1);
  });

  it("F6 who will not wait is told that it still runs, and a key is its tenant's own", async () => {
    const before = service.acceptedCount();
    const headers = { "idempotency-key": "key-2" };
    const first = service.post({ tool: "slow" }, headers);
    await until(() => service.acceptedCount() === before + 1, 5000, "the first is accepted");
    const refused = await problemOf(await service.post({ tool: "slow" }, { ...headers, prefer: "wait=0" }));
    const { id } = resultSchema.parse(await (await first).json());
    expect(refused).toMatchObject({ status: 409, code: "ERR_IDEMPOTENCY_IN_PROGRESS", retryable: true, id });
    const other = resultSchema.parse(await (await service.post({ tool: "slow" }, { ...headers, ...bearer("bob") })).json());
    expect(other.id).not.toBe(id);
  });

  it.each(["", "a b", "x".repeat(256)])("F6 the key %j is refused", async (key) => {
    const head = `POST /v1/executions HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${bearer("alice").authorization}\r\nContent-Type: application/json`;
    const { status, text } = await service.send(`${head}\r\nIdempotency-Key: ${key}\r\nContent-Length: 15\r\n\r\n{"tool":"echo"}`);
    expect(status).toBe(400);
    expect(text).toContain("ERR_ARGUMENT_INVALID");
  });

  it.each([
    ["that wait for the answer", "*/*"],
    ["that read the stream", "application/x-ndjson"],
  ])("F8 two hundred clients %s reset in mid-run: every run ends, and nothing is left", async (_, accept) => {
    const ended = () => service.audit().filter(({ event }) => event === "ended");
    const started = () => service.audit().filter(({ event }) => event === "started");
    const body = JSON.stringify({ tool: "sleep" });
    const head = `POST /v1/executions HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${bearer("alice").authorization}\r\nAccept: ${accept}`;
    const request = `${head}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const before = ended().length;
    const batch = 20;
    for (let done = 0; done < 200; done += batch) {
      const running = started().length;
      const sockets = await Promise.all(Array.from({ length: batch }, () => openSocket(service.port)));
      for (const socket of sockets) {
        socket.on("error", () => undefined);
        socket.write(request);
      }
      await until(() => started().length === running + batch, 10_000, "all have started");
      for (const socket of sockets) socket.resetAndDestroy();
      await until(() => ended().length === before + done + batch, 5000, "all have ended");
    }
    expect(
      new Set(
        ended()
          .slice(before)
          .map(({ outcome }) => outcome),
      ),
    ).toEqual(new Set(["ERR_ABORTED"]));
  });

  // workerd takes a connection that is only closed for a half-closed one, and learns of it when it writes: then a run has its limits.
  it("F8 twenty clients that close without a reset: their runs end at their timeout and keep no place", async () => {
    const of = (event: string) => service.audit().filter((one) => one.event === event && one.tool.name === "sleep");
    const [started, ended] = [of("started").length, of("ended").length];
    const body = JSON.stringify({ tool: "sleep", resources: { timeout: 700 } });
    const head = `POST /v1/executions HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${bearer("alice").authorization}`;
    const sockets = await Promise.all(Array.from({ length: 20 }, () => openSocket(service.port)));
    for (const socket of sockets)
      socket.write(`${head}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await until(() => of("started").length === started + 20, 10_000, "all have started");
    for (const socket of sockets) socket.destroy();
    await until(() => of("ended").length === ended + 20, 5000, "all have ended");
    for (const { outcome } of of("ended").slice(ended)) expect(outcome).toMatch(/^ERR_(?:LIMIT_TIMEOUT|ABORTED)$/);
  });

  it("F9 another tenant's execution is 404 to see, to follow and to cancel", async () => {
    const accepted = await service.post({ tool: "slow" }, { prefer: "respond-async" });
    const path = accepted.headers.get("location") ?? "";
    const attack = async (): Promise<void> => {
      for (const [method, suffix] of [
        ["GET", ""],
        ["GET", "/events"],
        ["DELETE", ""],
      ] as const) {
        const response = await fetch(`${service.url}${path}${suffix}`, { method, headers: bearer("bob") });
        expect(await problemOf(response)).toMatchObject({ status: 404, code: "ERR_EXECUTION_NOT_FOUND" });
      }
    };
    await attack();
    const own = async () => executionSchema.parse(await (await service.get(path)).json());
    await until(async () => (await own()).status === "ended", 5000, "the run ends");
    expect((await own()).result).toMatchObject({ exitCode: 0 });
    await attack();
  });

  it("F10 a weaker profile and larger limits are 403, and hardened has no place here", async () => {
    const { memory, timeout, output } = { memory: { memory: "64Gi" }, timeout: { timeout: "1h" }, output: { output: "1Ti" } };
    for (const request of [{ security: "dev" }, { resources: memory }, { resources: timeout }, { resources: output }]) {
      const problem = await problemOf(await service.post({ tool: "echo", ...request }));
      expect(problem).toMatchObject({ status: 403, code: "ERR_POLICY_DENIED", started: false });
    }
    const hardened = await problemOf(await service.post({ tool: "echo", security: "hardened" }));
    expect(hardened).toMatchObject({ code: "ERR_PROFILE_UNSUPPORTED", started: false });
  });

  // On the platform the name that a request comes by is one of the worker's own routes: what a foreign one lacks is the token.
  it("F11 a foreign Host or Origin gets nothing without a token", async () => {
    for (const [host, origin] of [
      ["evil.example", undefined],
      ["localhost", "http://evil.example"],
    ] as const) {
      const extra = origin === undefined ? "" : `Origin: ${origin}\r\n`;
      const { status, text } = await service.send(`GET /v1/tools HTTP/1.1\r\nHost: ${host}\r\n${extra}\r\n`);
      expect([401, 403]).toContain(status);
      expect(text).not.toContain("inputSchema");
      expect(text.toLowerCase()).not.toContain("access-control-allow-origin");
    }
  });

  it.each(Object.keys(ambiguous))("F3 %s", async (name) => {
    const before = service.acceptedCount();
    const { status, text } = await service.send(ambiguous[name] ?? "");
    expect([status, text.match(/HTTP\/1\.1 /g)?.length]).toEqual([otherwise[name]?.status ?? 400, 1]);
    expect(text).not.toContain("inputSchema");
    expect(service.acceptedCount()).toBe(before + (otherwise[name]?.runs ?? 0));
  });
});
