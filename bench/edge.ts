import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { echoInput, openEcho } from "./echo.ts";
import { bundleWorker, compiledText } from "./edge/bundle.ts";
import { findBinary, openWorker, type Worker } from "./engines.ts";
import { median, toRows, type BenchTable, type Effort } from "./measure.ts";

const folder = fileURLToPath(new URL("edge/", import.meta.url));
/** Isolates that start one after the other, in one round. */
const isolatesPerRound = 20;
/** Requests of one round, one after the other. */
const requestsPerRound = 200;

const honoMain = `import { Hono } from "hono"; const app = new Hono(); app.get("*", (c) => c.text("ok")); export default app;`;
const serviceMain = `export { default } from "../../src/edge/worker.ts"; export * from "../../src/edge/worker.ts";`;

interface Figure {
  readonly name: string;
  readonly values: number[];
}

async function ask(worker: Worker, path: string, body?: unknown): Promise<unknown> {
  const response = await fetch(`${worker.url}${path}`, body === undefined ? {} : { method: "POST", body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${path}: ${await response.text()}`);
  return response.json();
}

async function codesToStart(): Promise<Readonly<Record<string, string>>> {
  return {
    hono: await bundleWorker({ main: honoMain, folder, minify: true }),
    service: await bundleWorker({ main: serviceMain, folder, minify: true }),
  };
}

const names: Readonly<Record<string, string>> = { hono: 'Hono worker that answers "ok"', service: "toolruntime without tools, GET /livez" };

function figuresOf(codes: Readonly<Record<string, string>>): (Figure & { readonly key: string })[] {
  return Object.keys(codes).map((key) => ({ key, name: names[key] ?? key, values: [] }));
}

/** From the beginning of an isolate in a process that runs to its first answer. */
async function coldIsolates(codes: Readonly<Record<string, string>>, rounds: number): Promise<BenchTable> {
  const main = `export { default } from "./cold.ts";`;
  const code = await bundleWorker({ main, folder, virtual: { "toolruntime:codes": `export const codes = ${JSON.stringify(codes)};` } });
  await using worker = await openWorker(code, { loader: "LOADER" });
  const figures = figuresOf(codes);
  for (let round = -1; round < rounds; round++) {
    for (const { key, values } of figures) {
      const times = (await ask(worker, `/?name=${key}&path=/livez&count=${isolatesPerRound}`)) as number[];
      // The clock of a worker is coarse: a mean says more than a median.
      if (round >= 0) values.push((times.reduce((sum, time) => sum + time, 0) / times.length) * 1000);
    }
  }
  return { title: `edge, isolate start to first answer, ${isolatesPerRound} isolates a round`, unit: "µs", rows: toRows(figures) };
}

/** From the start of workerd's process to the first answer. */
async function coldProcesses(codes: Readonly<Record<string, string>>, rounds: number): Promise<BenchTable> {
  const figures = figuresOf(codes);
  const flags = ["enable_request_signal"];
  for (let round = -1; round < rounds; round++) {
    for (const { key, values } of figures) {
      const startedAt = performance.now();
      await using worker = await openWorker(codes[key] ?? "", { env: { TOOLRUNTIME_SECURITY: "dev" }, flags });
      await (await fetch(`${worker.url}/livez`, { headers: { host: "localhost" } })).text();
      if (round >= 0) values.push((performance.now() - startedAt) * 1000);
    }
  }
  return { title: "edge, process start to first answer", unit: "µs", rows: toRows(figures) };
}

/** Calls one after the other inside of one request, and requests one after the other with a call each. */
async function warmCalls({ rounds, calls }: Effort): Promise<BenchTable[]> {
  const bytes = await readFile(new URL("guests/echo.wasm", import.meta.url));
  const virtual = { "toolruntime:original": `export const original = ${compiledText(bytes)};` };
  const code = await bundleWorker({ main: `export { default } from "./warm.ts";`, folder, tools: [await openEcho()], virtual });
  await using worker = await openWorker(code, { env: { TOOLRUNTIME_SECURITY: "dev" }, flags: ["enable_request_signal"] });
  const inside = [
    { subject: "hand", name: "by hand: new Instance, call, read stdout", values: [] as number[] },
    { subject: "execute", name: "runtime.execute()", values: [] as number[] },
  ];
  const requests = [
    { path: "/hand", name: "a request that runs the tool by hand", values: [] as number[] },
    { path: "/v1/executions", name: "POST /v1/executions, warm tool", values: [] as number[] },
  ];
  for (let round = -1; round < rounds; round++) {
    for (const { subject, values } of inside) {
      const { ms, output } = (await ask(worker, "/time", { subject, calls, input: echoInput })) as {
        readonly ms: number;
        readonly output: unknown;
      };
      if (JSON.stringify(output) !== JSON.stringify(echoInput)) throw new Error(`"${subject}" does not do the work`);
      if (round >= 0) values.push((ms / calls) * 1000);
    }
    for (const { path, values } of requests) {
      const times: number[] = [];
      for (let count = 0; count < requestsPerRound; count++) times.push(await timeRequest(worker, path));
      if (round >= 0) values.push(median(times));
    }
  }
  return [
    { title: `edge, tool "echo" warm, ${calls} calls in one request, mean`, unit: "µs", rows: toRows(inside) },
    { title: 'edge, tool "echo" warm, a request for each call, median', unit: "µs", rows: toRows(requests) },
  ];
}

async function timeRequest(worker: Worker, path: string): Promise<number> {
  const body = JSON.stringify({ tool: "echo", input: echoInput });
  const startedAt = performance.now();
  const response = await fetch(`${worker.url}${path}`, { method: "POST", headers: { "content-type": "application/json" }, body });
  const { output } = (await response.json()) as { readonly output: unknown };
  const us = (performance.now() - startedAt) * 1000;
  if (JSON.stringify(output) !== JSON.stringify(echoInput)) throw new Error(`${path} does not do the work`);
  return us;
}

/** The worker in workerd: what it weighs, how fast it starts, and what a warm call costs. */
export async function benchEdge(effort: Effort): Promise<BenchTable[]> {
  const found = findBinary("workerd");
  if ("missing" in found) throw new Error(`Cannot run on workerd: ${found.missing}`);
  const codes = await codesToStart();
  const sizes = Object.entries(codes).map(([key, code]) => ({
    name: names[key] ?? key,
    values: [gzipSync(code, { level: 9 }).length / 1000],
  }));
  return [
    { title: "edge, bundle", unit: "kB gzip", rows: toRows(sizes) },
    await coldIsolates(codes, effort.rounds),
    await coldProcesses(codes, effort.rounds),
    ...(await warmCalls(effort)),
  ];
}
