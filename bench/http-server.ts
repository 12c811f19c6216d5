// Started by http.ts: the service with one tool, and a bare Hono route that gives the same JSON. Prints both addresses as JSON.
import { Writable } from "node:stream";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { createService, parseConfig } from "../src/adapters/executor/index.ts";
import { createRegistry } from "../src/index.ts";
import { openEcho, echoInput } from "./echo.ts";

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
serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, ({ port }) => {
  console.log(JSON.stringify({ service: `${url}/v1/executions`, floor: `http://127.0.0.1:${port}/`, body }));
});
