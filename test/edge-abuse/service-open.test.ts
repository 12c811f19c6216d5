import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { findBinary } from "../../bench/engines.ts";
import { resultSchema } from "../../src/wire.ts";
import { openSocket, problemOf, until } from "../edge/support.ts";
import { EdgeService, hostile, limits, modes, noJson, noText } from "./service.ts";

/** Groups C and F of the corpus on the worker itself, through HTTP, in workerd: what needs no token. */
const found = findBinary("workerd");
const isMissing = "missing" in found;
if (isMissing) console.log(`Not run on workerd: ${found.missing}`);

describe.skipIf(isMissing).each(modes)("the worker, %s, in dev, for callers on this machine", (mode) => {
  let service: EdgeService;
  beforeAll(async () => {
    service = await EdgeService.open({ mode, security: "dev" });
  });
  afterAll(() => service?.[Symbol.asyncDispose]());
  afterEach(() => service.holds());

  it.each(Object.keys(noText))("C2 bytes that are no text, %s, are delivered whole, and the JSON around them is valid", async (tool) => {
    const result = resultSchema.parse(await (await service.post({ tool })).json());
    expect(result).toMatchObject({ exitCode: 0, replaced: { stdout: true, stderr: false } });
    expect(result.stdout).toMatch(/^a\ufffd+b$/);
    const streamed = await (await service.post({ tool }, { accept: "application/x-ndjson" })).text();
    const events = streamed.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line)]));
    const written = events.find(({ type }) => type === "stdout");
    expect([...Buffer.from(written.base64, "base64")]).toEqual(noText[tool]);
  });

  it("C2 a NUL is delivered as it is", async () => {
    expect(resultSchema.parse(await (await service.post({ tool: "nul" })).json())).toMatchObject({
      stdout: "a\0b",
      replaced: { stdout: false },
    });
  });

  it.each(Object.keys(noJson))("C3 output that is no JSON, %s, is a clear error", async (tool) => {
    const response = await service.post({ tool });
    const text = noJson[tool] ?? "";
    // A problem has the beginning of what was written.
    const partial = { stdout: text.slice(0, 65_536), truncated: { stdout: text.length > 65_536 } };
    expect(await problemOf(response)).toMatchObject({ code: "ERR_OUTPUT_INVALID", started: true, partial });
  });

  it.each(['{"__proto__":{"polluted":1}}', '{"constructor":{"prototype":{"polluted":1}}}'])("C4 is inert in dev: %s", async (input) => {
    const text = await (await service.post(`{"tool":"echo","input":${input}}`)).text();
    expect(text).toContain(`"output":${input}`);
  });

  it.each([
    '{"tool":"echo","__proto__":{"security":"dev"}}',
    '{"tool":"echo","files":{"__proto__":{"text":""}}}',
    '{"tool":"echo","env":{"__proto__":"x"}}',
    '{"tool":"echo","constructor":1}',
  ])("C4 is refused in the request itself: %s", async (body) => {
    expect(await problemOf(await service.post(body))).toMatchObject({ status: 400, code: "ERR_INPUT_INVALID" });
  });

  it("C5 a body over its limit is 413 by Content-Length, before it is sent", async () => {
    const head = "POST /v1/executions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n";
    const { status, text } = await service.send(head);
    expect(status).toBe(413);
    expect(text).toContain("ERR_INPUT_TOO_LARGE");
  });

  it.each([
    ["/v1/executions", "application/json", limits.maxJsonBytes],
    ["/v1/blobs", "application/octet-stream", limits.maxUploadBytes],
  ])("C5 chunked, at %s as %s", async (path, type, size) => {
    const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n`;
    // Without an end: whoever waits for it holds what has come.
    const { status } = await service.send(head, `${(size + 1000).toString(16)}\r\n${" ".repeat(size + 1000)}\r\n`);
    expect(status).toBe(413);
  });

  it("C5 just at the limit is read", async () => {
    const body = '{"tool":"echo"}';
    expect((await service.post(body.padEnd(limits.maxJsonBytes))).status).toBe(200);
    expect((await service.post(body.padEnd(limits.maxJsonBytes + 1))).status).toBe(413);
  });

  it("C7 control characters and markup are data in an answer, and escaped in the log", async () => {
    const before = service.lines().length;
    const response = await service.post({ tool: "hostile" });
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    expect(response.headers.has("x-evil")).toBe(false);
    const text = await response.text();
    expect(resultSchema.parse(JSON.parse(text)).stdout).toBe(hostile);
    const unknown = await service.post({ tool: hostile });
    expect(unknown.headers.has("x-evil")).toBe(false);
    const problem = await unknown.text();
    // oxlint-disable-next-line no-control-regex -- they are what is looked for
    for (const one of [text, problem, ...service.lines().slice(before)]) expect(one).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
    for (const line of service.lines().slice(before)) expect(() => JSON.parse(line)).not.toThrow();
  });

  // What stands before the worker has to close them on the platform; workerd's own server does so for heads alone, after 15 s.
  it.each([
    ["heads", "POST /v1/executions HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", "a", true],
    [
      "bodies by length",
      "POST /v1/executions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n",
      " ",
      false,
    ],
    [
      "bodies in chunks",
      "POST /v1/executions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
      "1\r\n \r\n",
      false,
    ],
    ["blobs", "POST /v1/blobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n", " ", false],
  ])("F4 slow %s: fifty connections that send a byte now and then hold nobody up", async (_, head, drip, isClosed) => {
    const before = service.acceptedCount();
    const sockets = await Promise.all(Array.from({ length: 50 }, () => openSocket(service.port)));
    const closed = Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once("close", resolve))));
    const timers = sockets.map((socket) => {
      socket.on("error", () => undefined);
      socket.resume();
      socket.write(head);
      return setInterval(() => socket.write(drip), 100);
    });
    for (let count = 0; count < 10; count++) {
      const started = performance.now();
      expect((await service.post({ tool: "echo", input: { count } })).status).toBe(200);
      expect(performance.now() - started).toBeLessThan(2000);
      await sleep(50);
    }
    if (!isClosed) for (const socket of sockets) socket.resetAndDestroy();
    await closed;
    for (const timer of timers) clearInterval(timer);
    expect(service.acceptedCount()).toBe(before + 10);
  });

  it.each(["application/x-ndjson", "text/event-stream"])(
    "F4 readers of %s that never read: their runs are ended, and memory is bounded",
    async (accept) => {
      const ended = () => service.audit().filter(({ event, tool }) => event === "ended" && tool.name === "flood");
      const [before, memory] = [ended().length, service.memory()];
      const body = JSON.stringify({ tool: "flood" });
      const head = `POST /v1/executions HTTP/1.1\r\nHost: localhost\r\nAccept: ${accept}\r\nContent-Type: application/json`;
      const sockets = await Promise.all(Array.from({ length: 4 }, () => openSocket(service.port)));
      for (const socket of sockets) {
        socket.on("error", () => undefined);
        socket.pause();
        socket.write(`${head}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      }
      let peak = 0;
      const haveEnded = (): boolean => {
        peak = Math.max(peak, service.memory() - memory);
        return ended().length === before + 4;
      };
      await until(haveEnded, 15_000, "all four runs are ended");
      const outcomes = ended().slice(before);
      expect(new Set(outcomes.map(({ outcome }) => outcome))).toEqual(new Set(["ERR_ABORTED"]));
      // Four readers times the output that may be kept, not times what was written and never read.
      expect(peak).toBeLessThan(200 * 2 ** 20);
      for (const socket of sockets) socket.destroy();
    },
  );

  it("F10 larger limits are clamped and said in dev", async () => {
    const result = resultSchema.parse(await (await service.post({ tool: "echo", resources: { output: "1Ti" } })).json());
    expect(result.limits.find(({ limit }) => limit === "output")).toMatchObject({ clampedFrom: 2 ** 40, applied: 160 * 2 ** 20 });
  });

  const ask = (host: string, extra: readonly string[] = []): string =>
    ["GET /v1/tools HTTP/1.1", `Host: ${host}`, ...extra, "", ""].join("\r\n");

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
    const { status, text } = await service.send(ask(host));
    expect([400, 403]).toContain(status);
    expect(text).not.toContain("inputSchema");
  });

  it.each(["http://evil.example", "null", "https://localhost:1", "http://localhost.evil.example", "chrome-extension://abc"])(
    "F11 Origin %j",
    async (origin) => {
      const { status, text } = await service.send(ask(`localhost:${service.port}`, [`Origin: ${origin}`]));
      expect(status).toBe(403);
      expect(text).toContain("ERR_FORBIDDEN");
      expect(text.toLowerCase()).not.toContain("access-control-allow-origin");
    },
  );

  it("F11 a simple cross-site POST runs nothing", async () => {
    const before = service.acceptedCount();
    const body = '{"tool":"echo"}';
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/json"]) {
      const request = `POST /v1/executions HTTP/1.1\r\nHost: localhost:${service.port}\r\nOrigin: http://evil.example\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      expect((await service.send(request)).status).toBe(403);
    }
    expect(service.acceptedCount()).toBe(before);
  });
});
