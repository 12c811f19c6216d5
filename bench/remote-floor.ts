// Started by remote.ts: bare Hono routes that pass the same bytes as an executor node, and do nothing else. Prints its address.
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { serve } from "@hono/node-server";
import { Hono } from "hono";

let answer = "";

/** Events as a node frames them: a line of JSON for each piece of text. */
function events(bytes: number, pieceBytes: number): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const text = "x".repeat(pieceBytes);
  let left = bytes;
  let seq = 2;
  return new ReadableStream({
    pull(controller) {
      const piece = left < pieceBytes ? text.slice(0, left) : text;
      left -= piece.length;
      controller.enqueue(encoder.encode(`${JSON.stringify({ type: "stdout", seq: seq++, text: piece })}\n`));
      if (left === 0) controller.close();
    },
  });
}

const app = new Hono();
app.put("/answer", async (c) => {
  answer = await c.req.text();
  return c.body(null, 204);
});
app.post("/", async (c) => {
  await c.req.text();
  return c.body(answer, 200, { "content-type": "application/x-ndjson" });
});
app.post("/events", async (c) => {
  const { bytes, pieceBytes }: { bytes: number; pieceBytes: number } = await c.req.json();
  return c.body(events(bytes, pieceBytes), 200, { "content-type": "application/x-ndjson" });
});
app.get("/file", (c) => {
  const stream = Readable.toWeb(createReadStream(c.req.query("path") ?? "", { highWaterMark: 65_536 }));
  return c.body(stream as ReadableStream<Uint8Array>, 200, { "content-type": "application/octet-stream" });
});
serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, ({ port }) => {
  console.log(JSON.stringify({ url: `http://127.0.0.1:${port}` }));
});
