import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { errorCodes } from "../../src/index.ts";
import { expectHealthy, openService, sendRaw, type Opened } from "../edge/support.ts";

const canary = "canary-f022";

/** Whether a caller can act on an answer: a success, or a problem with a code below 500. What is wrong with it otherwise. */
function verdict(status: number, text: string): string {
  if (status >= 200 && status < 400) return "fine";
  if (!(status >= 400 && status < 500)) return `${status}: ${text}`;
  const { code } = JSON.parse(text) as { code: string };
  return Object.hasOwn(errorCodes, code) ? "fine" : `${status} without a code: ${text}`;
}

async function verdictOf(response: Response): Promise<string> {
  return verdict(response.status, await response.text());
}

async function sendByHand(opened: Opened, request: string): Promise<string> {
  const answer = await sendRaw(opened.port, request);
  const text = answer.text.replace("HTTP/1.1 100 Continue\r\n\r\n", "");
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]);
  return verdict(status, text.slice(text.indexOf("\r\n\r\n") + 4));
}

async function expectQuiet(opened: Opened): Promise<void> {
  expect(opened.log.join("")).not.toContain("internal error");
  await expectHealthy(opened, canary);
}

const jsonPieces = fc.constantFrom(
  "{",
  "}",
  "[",
  "]",
  ":",
  ",",
  '"tool"',
  '"echo"',
  '"input"',
  '"files"',
  "null",
  "1e999",
  "-",
  "\\",
  '"\\ud800"',
  "\u0000",
  "\ufeff",
  "true",
  '"',
  "é",
  " ",
);
const requestLike = fc.record(
  {
    tool: fc.oneof(fc.constant("echo"), fc.anything()),
    input: fc.jsonValue(),
    files: fc.oneof(
      fc.dictionary(
        fc.string(),
        fc.oneof(fc.record({ text: fc.string() }), fc.record({ base64: fc.string() }), fc.record({ digest: fc.string() }), fc.jsonValue()),
      ),
      fc.jsonValue(),
    ),
    env: fc.oneof(fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.record({ secret: fc.string() }))), fc.jsonValue()),
    resources: fc.oneof(
      fc.dictionary(
        fc.constantFrom("memory", "output", "timeout", "cpu", "x"),
        fc.oneof(fc.double(), fc.string(), fc.constantFrom("1Mi", "-1", "1e9", "0")),
      ),
      fc.jsonValue(),
    ),
    security: fc.oneof(fc.constantFrom("dev", "standard", "hardened"), fc.jsonValue()),
    bestEffort: fc.oneof(fc.array(fc.constantFrom("timeout", "memory", "x")), fc.jsonValue()),
    deadline: fc.oneof(fc.double(), fc.string(), fc.constantFrom("1s", "0", -1), fc.jsonValue()),
    [canary]: fc.jsonValue(),
  },
  { requiredKeys: [] },
);

describe("malformed requests are 4xx with a code, and the service goes on", () => {
  it("JSON that is none, and JSON that is not text", { timeout: 120_000 }, async () => {
    const opened = await openService();
    const send = async (body: Uint8Array): Promise<void> => {
      const response = await fetch(`${opened.url}/v1/executions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: body as Uint8Array<ArrayBuffer>,
      });
      expect(await verdictOf(response)).toBe("fine");
    };
    await fc.assert(
      fc.asyncProperty(
        fc.array(jsonPieces, { maxLength: 20 }).map((pieces) => new TextEncoder().encode(pieces.join(""))),
        send,
      ),
      { numRuns: 300 },
    );
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), send), { numRuns: 200 });
    for (const text of [
      "",
      "[".repeat(100_000),
      '{"a":'.repeat(100_000),
      '{"tool":"echo","tool":"echo"}',
      '{"tool":"echo","input":1e999}',
      "\ufeff{}",
      "null",
      '"echo"',
      "[]",
    ]) {
      await send(new TextEncoder().encode(text));
    }
    await expectQuiet(opened);
  });

  it("requests of the right shape with wrong things in them", { timeout: 120_000 }, async () => {
    const opened = await openService();
    await fc.assert(
      fc.asyncProperty(requestLike, async (request) => {
        let body: string;
        try {
          body = JSON.stringify(request) ?? "";
        } catch {
          return;
        }
        const response = await opened.post(body);
        expect(await verdictOf(response)).toBe("fine");
      }),
      { numRuns: 600 },
    );
    await expectQuiet(opened);
  });

  it("odd headers", { timeout: 120_000 }, async () => {
    const opened = await openService();
    const name = fc.constantFrom(
      "Accept",
      "Prefer",
      "Idempotency-Key",
      "Toolruntime-Deadline",
      "X-Request-Id",
      "Traceparent",
      "Authorization",
      "Content-Type",
      "Origin",
      "Last-Event-Id",
      "Expect",
      "Upgrade",
      "Content-Encoding",
      "Accept-Encoding",
      "Cookie",
      "X-Odd",
    );
    const piece = fc.constantFrom(
      "a",
      "*/*",
      "application/json",
      "text/event-stream",
      ";q=",
      "9e9",
      ",",
      '"',
      "=",
      "wait=",
      "respond-async",
      "-1",
      " ",
      "\t",
      "é",
      "\u0000",
      "\u007f",
      "x".repeat(300),
      "100-continue",
      "gzip",
      "websocket",
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(name, fc.array(piece, { maxLength: 6 })), { maxLength: 4 }), async (headers) => {
        const body = '{"tool":"echo"}';
        const lines = headers.map(([key, pieces]) => `${key}: ${pieces.join("")}`);
        const answer = await sendByHand(
          opened,
          [
            "POST /v1/executions HTTP/1.1",
            "Host: localhost",
            "Connection: close",
            "Content-Type: application/json",
            `Content-Length: ${body.length}`,
            ...lines,
            "",
            body,
          ].join("\r\n"),
        );
        expect(answer).toBe("fine");
      }),
      { numRuns: 500 },
    );
    await expectQuiet(opened);
  });

  it("odd targets and methods", { timeout: 120_000 }, async () => {
    const opened = await openService();
    const method = fc.constantFrom(
      "GET",
      "POST",
      "PUT",
      "DELETE",
      "PATCH",
      "OPTIONS",
      "TRACE",
      "CONNECT",
      "QUERY",
      "PROPFIND",
      "get",
      "G ET",
      "",
    );
    const piece = fc.constantFrom(
      "/",
      "v1",
      "executions",
      "tools",
      "blobs",
      "events",
      "echo",
      "..",
      "%",
      "%2f",
      "%00",
      "%ff",
      "?",
      "after=",
      "1",
      "&",
      "#",
      "[]",
      "{}",
      "é",
      "\\",
      "http://",
      "localhost",
      "@",
      "*",
      ";",
      "//",
    );
    await fc.assert(
      fc.asyncProperty(method, fc.array(piece, { maxLength: 8 }), async (verb, pieces) => {
        const answer = await sendByHand(
          opened,
          `${verb} /${pieces.join("")} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
        );
        expect(answer).toBe("fine");
      }),
      { numRuns: 500 },
    );
    await expectQuiet(opened);
  });

  it("multipart that is cut, doubled and mixed up", { timeout: 120_000 }, async () => {
    const opened = await openService();
    const piece = fc.constantFrom(
      "--b",
      "--b--",
      "\r\n",
      'Content-Disposition: form-data; name="task"',
      'Content-Disposition: form-data; name="a/b"',
      'Content-Disposition: form-data; name="../x"',
      "\r\n\r\n",
      '{"tool":"echo"}',
      "x",
      "\0",
      "-",
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 24 }), async (pieces) => {
        const response = await fetch(`${opened.url}/v1/executions`, {
          method: "POST",
          headers: { "content-type": "multipart/form-data; boundary=b" },
          body: pieces.join(""),
        });
        expect(await verdictOf(response)).toBe("fine");
      }),
      { numRuns: 500 },
    );
    await expectQuiet(opened);
  });
});
