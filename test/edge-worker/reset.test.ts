import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findBinary, openWorker, type Worker } from "../../bench/engines.ts";
import { resultSchema } from "../../src/wire.ts";
import { bundleWorker } from "../../bench/edge/bundle.ts";
import { guestNames, guestTool } from "./tools.ts";

const found = findBinary("workerd");
const isMissing = "missing" in found;
if (isMissing) console.log(`Not run on workerd: ${found.missing}`);

const maxInstances = 3;
const resets = 10;
let worker: Worker;

/** Sends a request and resets its connection. */
async function reset(headers: Readonly<Record<string, string>>, body: string, afterMs: number): Promise<void> {
  const socket = connect(Number(new URL(worker.url).port), "127.0.0.1");
  socket.on("error", () => undefined);
  const lines = Object.entries({
    host: "localhost",
    "content-type": "application/json",
    "content-length": String(body.length),
    ...headers,
  });
  socket.write(`POST /v1/executions HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${body}`);
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  socket.resetAndDestroy();
}

async function run(task: object, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
  return fetch(`${worker.url}/v1/executions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(task),
    signal: AbortSignal.timeout(20_000),
  });
}

/** As many calls at once as there are places; what was reset may take a moment to end. */
async function servesAgain(): Promise<void> {
  const statuses = async (): Promise<number[]> => {
    const answers = await Promise.all([1, 2, 3].map((input) => run({ tool: "echo", input })));
    return answers.map(({ status }) => status);
  };
  await expect.poll(statuses, { timeout: 10_000 }).toEqual([200, 200, 200]);
}

describe.skipIf(isMissing).each([
  ["in memory", {}],
  ["in a Durable Object", { objects: { EXECUTIONS: "Executions" } }],
] as const)("callers that reset their connections, executions %s", (_, bindings) => {
  beforeAll(async () => {
    const main = `import { createWorker } from "../../src/edge/worker.ts";
      import { openEngine as engine } from "toolruntime:engine";
      import { tools } from "toolruntime:tools";
      export { Executions } from "../../src/edge/worker.ts";
      const concurrency = { running: ${maxInstances}, queued: 0 };
      export default createWorker({ tools, engine, wasm: { maxInstances: ${maxInstances} }, concurrency, limits: { maxExecutions: ${maxInstances} } });`;
    const folder = fileURLToPath(new URL(".", import.meta.url));
    const code = await bundleWorker({ main, folder, tools: await Promise.all(guestNames.map(guestTool)) });
    worker = await openWorker(code, { ...bindings, env: { TOOLRUNTIME_SECURITY: "dev" }, flags: ["enable_request_signal"] });
  });
  afterAll(() => worker?.[Symbol.asyncDispose]());

  test("the first request of an isolate", async () => {
    for (let count = 0; count < resets; count++) await reset({}, JSON.stringify({ tool: "echo" }), 0);
    await servesAgain();
  });

  test.each([
    ["loop", {}],
    ["sleep", {}],
    ["loop", { accept: "application/x-ndjson" }],
    ["sleep", { accept: "text/event-stream" }],
  ])("their runs of %s keep no place, %j", async (tool, headers) => {
    const body = JSON.stringify({ tool, resources: { timeout: 60_000 } });
    for (let count = 0; count < resets; count++) await reset(headers, body, 60);
    await servesAgain();
  });

  test("a body that is cut, and a run that somebody else waits for", async () => {
    for (let count = 0; count < resets; count++) await reset({ "content-length": "100" }, "{", 20);
    await servesAgain();
    const headers = { "idempotency-key": "shared" };
    const task = { tool: "loop", resources: { timeout: 1500 } };
    const [, answer] = await Promise.all([reset(headers, JSON.stringify(task), 300), later(100).then(() => run(task, headers))]);
    expect(await answer.json()).toMatchObject({ code: "ERR_LIMIT_TIMEOUT" });
    expect(resultSchema.parse(await (await run({ tool: "echo", input: 1 })).json()).stdout).toBe("1");
  });

  test("the log has an end for each beginning", async () => {
    // A run whose caller has gone ends a little later.
    await expect.poll(() => ends("ended").filter((id) => id !== ""), { timeout: 10_000 }).toEqual(ends("accepted"));
    expect(ends("accepted").length).toBeGreaterThan(3 * resets);
  });
});

function later(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The executions of which the audit log has such a record, in order. */
function ends(event: string): string[] {
  const records = worker.logged().matchAll(/"executionId":"(ex_\w+)"[^\n]*"event":"(\w+)"/g);
  return Array.from(records, ([, id = "", name]) => (name === event ? id : ""))
    .filter((id) => id !== "")
    .toSorted();
}
