// Started by lying.test.ts: a node in a process of its own that says what a real one says, but lies of the runs that it is sent,
// and always claims to be idle. Prints its address; the number of the runs that it was sent is at /met.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

type Line = Record<string, unknown>;
type Send = (text: string) => Promise<void>;
type Lie = (lines: readonly Line[], send: Send) => Promise<void>;

const idle = "running=0, capacity=100000, queued=0, queue=100000";
const mebibyte = "x".repeat(2 ** 20);

function isOf(type: string): (line: Line) => boolean {
  return (line) => line["type"] === type;
}

async function sendAll(lines: readonly Line[], send: Send): Promise<void> {
  for (const line of lines) await send(`${JSON.stringify(line)}\n`);
}

async function gigabyte(send: Send): Promise<void> {
  for (let sent = 0; sent < 1024; sent++) await send(mebibyte);
}

const lies: Readonly<Record<string, Lie>> = {
  "a gigabyte of result": async (lines, send) => {
    await sendAll(
      lines.filter((line) => !isOf("result")(line) && !isOf("end")(line)),
      send,
    );
    await send('{"type":"result","seq":90,"result":{"output":"');
    await gigabyte(send);
    await send('"}}\n');
  },
  "a gigabyte of output": async (lines, send) => {
    await sendAll(
      lines.filter((line) => isOf("accepted")(line) || isOf("started")(line)),
      send,
    );
    for (let seq = 2; seq < 1026; seq++) await send(`${JSON.stringify({ type: "stdout", seq, text: mebibyte })}\n`);
  },
  "another run's id": async (lines, send) => {
    const other = lines.map((line) => (isOf("result")(line) ? { ...line, result: { ...Object(line["result"]), id: "ex_other" } } : line));
    await sendAll(other, send);
  },
  "broken JSON": async (lines, send) => {
    await sendAll(
      lines.filter((line) => !isOf("result")(line) && !isOf("end")(line)),
      send,
    );
    await send('{"type":"result","seq":90,"result":{"output"\n');
  },
  "a result after an error": async (lines, send) => {
    const result = lines.find(isOf("result"));
    await sendAll(
      lines.filter((line) => !isOf("result")(line) && !isOf("end")(line)),
      send,
    );
    const problem = {
      type: "about:blank",
      title: "failed",
      status: 502,
      detail: "it failed",
      code: "ERR_BACKEND_FAILED",
      actor: "platform",
    };
    const rest = { retryable: true, started: true, details: {}, instance: "urn:x", requestId: "x" };
    await sendAll(
      [
        { type: "error", seq: 90, problem: { ...problem, ...rest } },
        { ...result, seq: 91 },
      ],
      send,
    );
  },
};

const [upstream = "", name = ""] = process.argv.slice(2);
const lie = lies[name];
if (lie === undefined) throw new Error(`There is no lie "${name}"`);
let met = 0;

async function pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await buffer(request);
  const isRun = request.method === "POST" && request.url === "/v1/executions";
  if (isRun) met++;
  const headers = new Headers();
  for (const key of ["authorization", "content-type", "accept", "idempotency-key", "toolruntime-deadline", "toolruntime-lease"]) {
    const value = request.headers[key];
    if (typeof value === "string") headers.set(key, value);
  }
  const answer = await fetch(`${upstream}${request.url}`, {
    method: request.method ?? "GET",
    headers,
    ...(body.length === 0 ? {} : { body }),
  });
  response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "", "toolruntime-load": idle });
  if (!isRun || answer.status !== 200) return void response.end(Buffer.from(await answer.arrayBuffer()));
  const lines = (await answer.text()).split("\n").flatMap((line): Line[] => (line === "" ? [] : [JSON.parse(line)]));
  const send: Send = (text) =>
    new Promise((resolve, reject) => {
      if (response.destroyed) reject(new Error("the reader has gone"));
      else response.write(text, (error) => (error ? reject(error) : resolve()));
    });
  await lie?.(lines, send);
  response.end();
}

const server = createServer((request, response) => {
  if (request.url === "/met") return void response.end(String(met));
  pass(request, response).catch(() => response.destroy());
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
