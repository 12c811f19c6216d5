// Started by http.ts: the service with one tool, a bare Hono route that gives the same JSON, and one that runs the tool by hand:
// a new instance for each request, no sandbox, no limits, no books. Prints their addresses as JSON.
import { readFile } from "node:fs/promises";
import { Writable } from "node:stream";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { createService, parseConfig } from "../src/adapters/executor/index.ts";
import { createRegistry } from "../src/index.ts";
import { echoInput, openEcho } from "./echo.ts";
import { handWire } from "./floor.ts";

const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
const service = await createService({
  config: parseConfig({ port: 0, security: "dev" }),
  tools: createRegistry([await openEcho()]),
  logTo: { write: (line) => void nowhere.write(line) },
});
const { url } = await service.listen();
const body = JSON.stringify({ tool: "echo", input: echoInput });
const answer = await fetch(`${url}/v1/executions`, { method: "POST", headers: { "content-type": "application/json" }, body });
const result: object = await answer.json();

const app = new Hono();
app.post("/", (c) => c.json(result));
const byHand = handWire(await WebAssembly.compile(await readFile(new URL("guests/echo.wasm", import.meta.url))), "echo");
const encoder = new TextEncoder();
app.post("/by-hand", async (c) => {
  const { input }: { input: unknown } = await c.req.json();
  return c.json({ ...result, output: JSON.parse(byHand(encoder.encode(JSON.stringify(input)))) });
});
serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, ({ port }) => {
  console.log(
    JSON.stringify({
      service: `${url}/v1/executions`,
      floor: `http://127.0.0.1:${port}/`,
      byHand: `http://127.0.0.1:${port}/by-hand`,
      body,
    }),
  );
});
