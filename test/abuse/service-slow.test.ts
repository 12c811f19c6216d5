import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { bearer, expectHealthy, openService, openSocket, sendRaw, tokens, until, type Opened } from "../edge/support.ts";

const canary = "canary-77b2";
const limits = { requestMs: 1000, stalledReaderMs: 1000 };

function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

/** Connections to a port that the service holds open, as the kernel lists them: those that it accepted. */
function establishedTo(port: number): number {
  const local = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const lines = readFileSync("/proc/net/tcp", "utf8").split("\n").slice(1);
  return lines.filter((line) => {
    const [, address = "", , state] = line.trim().split(/\s+/);
    return address.endsWith(local) && state === "01";
  }).length;
}

function post(tool: string, extra: readonly string[] = []): string {
  const body = JSON.stringify({ tool });
  return [
    "POST /v1/executions HTTP/1.1",
    "Host: localhost",
    "Content-Type: application/json",
    `Content-Length: ${body.length}`,
    ...extra,
    "",
    body,
  ].join("\r\n");
}

async function ended({ service }: Opened, code: string): Promise<void> {
  await until(() => service.executions.audit.lines().some((line) => line.includes(`"outcome":"${code}"`)), 8000, `a run ends with ${code}`);
}

describe("F4: slow heads and bodies", () => {
  it.each([
    ["headers", "POST /v1/executions HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", "a"],
    [
      "body by length",
      "POST /v1/executions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n",
      " ",
    ],
    [
      "body in chunks",
      "POST /v1/executions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
      "1\r\n \r\n",
    ],
    [
      "multipart",
      "POST /v1/executions HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nTransfer-Encoding: chunked\r\n\r\n",
      "1\r\n-\r\n",
    ],
    ["blob", "POST /v1/blobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n", " "],
  ])("F4 slow %s: fifty connections that send a byte now and then are closed in time", async (_, head, drip) => {
    const opened = await openService({ limits });
    const before = openDescriptors();
    const started = performance.now();
    const sockets = await Promise.all(Array.from({ length: 50 }, () => openSocket(opened.port)));
    const timers = sockets.map((socket) => {
      socket.on("error", () => undefined);
      socket.resume();
      socket.write(head);
      return setInterval(() => socket.write(drip), 100);
    });
    const closed = Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once("close", resolve))));
    // A well-behaved caller is served all the while.
    expect((await opened.post({ tool: "echo" })).status).toBe(200);
    await closed;
    for (const timer of timers) clearInterval(timer);
    expect(performance.now() - started).toBeLessThan(6000);
    await until(() => openDescriptors() <= before + 4, 2000, "the sockets are gone");
    expect(opened.log.join("")).not.toContain("internal error");
    await expectHealthy(opened, canary);
  });

  it("F4 the default of hardened is 5 s", async () => {
    const opened = await openService({ security: "hardened", tokens: [tokens.alice] });
    const [head, body] = await Promise.all([
      sendRaw(opened.port, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "),
      sendRaw(
        opened.port,
        `POST /v1/executions HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${bearer("alice").authorization}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n`,
      ),
    ]);
    for (const { ms } of [head, body]) {
      expect(ms).toBeGreaterThan(4000);
      expect(ms).toBeLessThan(9000);
    }
    expect((await opened.get("/readyz")).status).toBe(200);
  });
});

describe("F4: readers that never read", () => {
  const megabytes = "head -c 15000000 /dev/zero | tr '\\0' x; echo over >&2; sleep 60";

  it.each([
    ["NDJSON", ["Accept: application/x-ndjson"]],
    ["SSE", ["Accept: text/event-stream"]],
  ])("F4 a stream of %s: the run is ended, its memory bounded, its connection closed", async (_, accept) => {
    const opened = await openService({ limits }, { flood: megabytes });
    const before = process.memoryUsage().rss;
    const sockets = await Promise.all(Array.from({ length: 4 }, () => openSocket(opened.port)));
    const started = performance.now();
    let peak = 0;
    for (const socket of sockets) {
      socket.on("error", () => undefined);
      socket.pause();
      socket.write(post("flood", accept));
    }
    const count = (): number => opened.service.executions.audit.lines().filter((line) => line.includes('"event":"ended"')).length;
    await until(
      () => {
        peak = Math.max(peak, process.memoryUsage().rss - before);
        return count() === 4;
      },
      15_000,
      "all four runs are ended",
    );
    expect(performance.now() - started).toBeLessThan(15_000);
    for (const line of opened.audit().filter((line) => line.includes('"event":"ended"'))) expect(line).toContain('"outcome":"ERR_ABORTED"');
    // Four readers times the output that the capture may keep, not times what was written and never read.
    expect(peak).toBeLessThan(200 * 2 ** 20);
    await until(() => establishedTo(opened.port) === 0, 5000, "the service has closed the connections");
    for (const socket of sockets) socket.destroy();
    await expectHealthy(opened, canary);
  });

  it("F4 a blocking answer that nobody takes is closed", async () => {
    const opened = await openService({ limits: { stalledReaderMs: 1000 } });
    const blob = await fetch(`${opened.url}/v1/blobs`, { method: "POST", body: new Uint8Array(32 * 2 ** 20) });
    const { digest } = (await blob.json()) as { digest: string };
    const socket = await openSocket(opened.port);
    socket.on("error", () => undefined);
    socket.pause();
    socket.write(`GET /v1/blobs/${digest} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(opened.log.join("")).toContain(digest);
    await until(() => establishedTo(opened.port) === 0, 5000, "the service has closed the connection");
    socket.destroy();
    await expectHealthy(opened, canary);
  });

  it("F4 a slow reader that does read gets everything", async () => {
    const opened = await openService({ limits }, { lines: "head -c 6000000 /dev/zero | tr '\\0' x" });
    const response = await opened.post({ tool: "lines" }, { accept: "application/x-ndjson" });
    let bytes = 0;
    let tail = "";
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length;
      tail = (tail + new TextDecoder().decode(chunk)).slice(-100);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(bytes).toBeGreaterThan(6_000_000);
    expect(tail).toMatch(/\{"type":"end","seq":\d+\}\n$/);
    await expectHealthy(opened, canary);
  });

  it("F4 a silent tool is no stalled reader", async () => {
    const opened = await openService({ limits }, { silent: "sleep 3; echo done" });
    const [blocking, streaming] = await Promise.all([
      opened.post({ tool: "silent" }),
      opened.post({ tool: "silent" }, { accept: "application/x-ndjson" }),
    ]);
    expect(await blocking.text()).toContain("done");
    expect(await streaming.text()).toContain('"type":"end"');
    await ended(opened, "OK");
    await expectHealthy(opened, canary);
  });
});
