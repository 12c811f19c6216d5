import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { Pool } from "undici";
import type { Fetch } from "../src/client.ts";
import { folderBlobStore } from "../src/adapters/executor/blobs/index.ts";
import { remote } from "../src/adapters/remote/index.ts";
import { nodeFetch } from "../src/adapters/remote/node.ts";
import { createRuntime, type ExecutionEvent, type Runtime } from "../src/index.ts";
import { wasm } from "../src/wasm/index.ts";
import { echoInput } from "./echo.ts";
import { median, toRows, type BenchTable, type Effort, type Row } from "./measure.ts";
import { openTools, passedBytes, type RemoteTools } from "./remote-tools.ts";

const token = "bench-0123456789abcdef";
const pieceBytes = 65_536;
/** Throughput takes a hundred megabytes a time. */
const mostPasses = 7;
const mostCalls = 500;
/** What each side keeps of the files that pass. */
const keptBytes = 3 * passedBytes;
const outputBytes = 110_000_000;

type Child = ChildProcessByStdio<null, Readable, null>;

interface Bench {
  readonly tools: RemoteTools;
  readonly here: Runtime;
  readonly there: Runtime;
  /** Connections to the bare routes. */
  readonly bare: Pool;
  readonly node: Child;
  readonly folder: string;
  /** What was sent to the node to run the tool "echo", and its answer. */
  readonly record: { body: string; contentType: string; answer: string };
}

async function start(name: string, args: readonly string[] = []): Promise<{ readonly child: Child; readonly url: string }> {
  const child: Child = spawn(process.execPath, [fileURLToPath(new URL(name, import.meta.url)), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line]: unknown[] = await once(child.stdout, "data");
  const { url }: { url: string } = JSON.parse(String(line));
  return { child, url };
}

function recording(fetch: Fetch, record: Bench["record"]): Fetch {
  return async (url, init) => {
    if (!url.endsWith("/v1/executions")) return fetch(url, init);
    const request = new Request(url, { ...init, signal: null });
    record.contentType = request.headers.get("content-type") ?? "";
    record.body = await request.text();
    const response = await fetch(url, init);
    record.answer = await response.clone().text();
    return response;
  };
}

async function withBench<T>(work: (bench: Bench) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "toolruntime-bench-"));
  const config = {
    port: 0,
    security: "dev",
    backends: { wasm: {}, unsafe: { acceptUnsafe: true, scratch: join(folder, "scratch"), maxOutputBytes: 2 * passedBytes } },
    tokens: [{ token, principal: "bench" }],
    limits: { maxUploadBytes: 2 * passedBytes },
    blobs: { folder: join(folder, "node-blobs"), maxBytes: keptBytes },
  };
  await writeFile(join(folder, "node.json"), JSON.stringify(config));
  const [node, floor] = await Promise.all([start("remote-node.ts", [join(folder, "node.json")]), start("remote-floor.ts")]);
  const record = { body: "", contentType: "", answer: "" };
  const tools = await openTools();
  const local = wasm();
  const { fetch, close: closeFetch } = nodeFetch();
  const nodes = [{ url: node.url, token, name: "node" }];
  const plain = remote({ nodes, fetch, maxOutputBytes: 2 * passedBytes });
  const recorded = remote({ nodes, fetch: recording(fetch, record) });
  const blobs = await folderBlobStore({ folder: join(folder, "own-blobs"), maxTotalBytes: keptBytes });
  const options = { security: "dev", blobs } as const;
  const here = createRuntime({ ...options, backend: local });
  const there = createRuntime({ ...options, backend: plain });
  const bare = new Pool(floor.url);
  try {
    await using twin = createRuntime({ ...options, backend: recorded });
    await twin.execute({ tool: tools.echo, input: echoInput });
    return await work({ tools, here, there, bare, node: node.child, folder, record });
  } finally {
    await Promise.all([here.close(), there.close()]);
    await Promise.all([local, plain, recorded].map((backend) => backend.close()));
    await Promise.all([closeFetch(), bare.close()]);
    for (const { child } of [node, floor]) child.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  }
}

async function timeOf(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

/** What remote execution adds to a local one, against one bare request with the same bodies; call by call in turn. */
async function latency({ tools, here, there, bare, record }: Bench, { rounds, calls }: Effort): Promise<BenchTable> {
  const { body, contentType, answer } = record;
  await (await bare.request({ method: "PUT", path: "/answer", body: answer })).body.dump();
  const task = { tool: tools.echo, input: echoInput };
  const floor = async (): Promise<void> => {
    const response = await bare.request({ method: "POST", path: "/", body, headers: { "content-type": contentType } });
    if ((await response.body.text()) !== answer) throw new Error("The bare route gave another answer");
  };
  const subjects = [floor, () => here.execute(task), () => there.execute(task)];
  const medians: number[][] = subjects.map(() => []);
  for (let round = -1; round < rounds; round++) {
    const times: number[][] = subjects.map(() => []);
    for (let call = 0; call < calls; call++) {
      for (const [index, run] of subjects.entries()) times[index]?.push((await timeOf(run)) * 1000);
    }
    // The first round warms up and does not count.
    if (round >= 0) for (const [index, all] of times.entries()) medians[index]?.push(median(all));
  }
  const [bareCall = [], local = [], away = []] = medians;
  return {
    title: `remote, tool "echo" warm: a request of ${body.length} and an answer of ${answer.length} characters, median call`,
    unit: "µs",
    rows: toRows([
      { name: "bare undici POST to a Hono route, the same bodies", values: bareCall },
      { name: "execute() here", values: local },
      { name: "execute() on a node", values: away },
      { name: "added by the node: the aim is at most 1.3", values: away.map((value, round) => value - (local[round] ?? 0)) },
    ]),
  };
}

/** Gives MB/s of subjects that each say how many ms it took to pass all; pass by pass in turn. */
async function runSeries(passes: number, subjects: Readonly<Record<string, () => Promise<number>>>) {
  const figures = Object.keys(subjects).map((name) => ({ name, values: [] as number[] }));
  for (let pass = -1; pass < passes; pass++) {
    for (const [index, run] of Object.values(subjects).entries()) {
      const ms = await run();
      if (pass >= 0) figures[index]?.values.push(passedBytes / 1000 / ms);
    }
  }
  return toRows(figures);
}

/** Reads lines of JSON and gives how many bytes of text they held. */
async function readBareEvents(body: AsyncIterable<Uint8Array>): Promise<number> {
  const decoder = new TextDecoder();
  let rest = "";
  let bytes = 0;
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) bytes += (JSON.parse(line) as { text: string }).text.length;
  }
  return bytes;
}

function assertAll(bytes: number): void {
  if (bytes !== passedBytes) throw new Error(`${bytes} bytes came, not ${passedBytes}`);
}

/** The result of a tool holds all that it wrote to stdout, and the first 64 KiB of stderr: only there memory can stay flat. */
async function eventsTable({ tools, there, bare }: Bench, to: "stdout" | "stderr", passes: number): Promise<BenchTable> {
  const count = Math.ceil(passedBytes / pieceBytes);
  const tail = passedBytes - (count - 1) * pieceBytes;
  const piece = (length: number, times: number) => ({ do: "write", to, text: "x".repeat(length), count: times });
  const input = { do: "steps", steps: [piece(pieceBytes, count - 1), piece(tail, 1)] };
  const request = JSON.stringify({ bytes: passedBytes, pieceBytes });
  const rows = await runSeries(passes, {
    "bare route: a line of JSON for each 64 KiB, split and parsed": () =>
      timeOf(async () => {
        const headers = { "content-type": "application/json" };
        const response = await bare.request({ method: "POST", path: "/events", body: request, headers });
        assertAll(await readBareEvents(response.body));
      }),
    [`execute() on a node, events of ${to}: the aim is at least 0.8`]: () =>
      timeOf(async () => {
        let bytes = 0;
        const onEvent = (event: ExecutionEvent): void => {
          if (event.type !== "started") bytes += event.bytes.length;
        };
        await there.execute({ tool: tools.probe, input, resources: { output: outputBytes, timeout: "60s" } }, { onEvent });
        assertAll(bytes);
      }),
  });
  return { title: `remote, ${passedBytes / 1e6} MB of ${to} as NDJSON events`, unit: "MB/s", rows };
}

async function fileTable({ tools, there, bare, folder }: Bench, passes: number): Promise<BenchTable> {
  const path = join(folder, "big");
  await writeFile(path, Buffer.alloc(passedBytes, 7));
  const task = { tool: tools.saves, resources: { timeout: "60s" } };
  let wholeMs = 0;
  const rows = await runSeries(passes, {
    "bare route: a file as a stream": () =>
      timeOf(async () => {
        const response = await bare.request({ method: "GET", path: `/file?path=${encodeURIComponent(path)}` });
        let bytes = 0;
        for await (const chunk of response.body) bytes += (chunk as Uint8Array).length;
        assertAll(bytes);
      }),
    "execute() on a node, from the tool's end until its file is here: the aim is at least 0.8": async () => {
      const startedAt = performance.now();
      const { files, duration } = await there.execute(task);
      wholeMs = performance.now() - startedAt;
      assertAll(files[0]?.size ?? 0);
      return wholeMs - duration;
    },
    "the same with the tool's own time": async () => wholeMs,
  });
  return { title: `remote, ${passedBytes / 1e6} MB of output as a file`, unit: "MB/s", rows };
}

function residentMiB(pid: number | "self"): number {
  // proc_pid_status(5), in kB.
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
}

/** Takes the resident memory of this process and the node's while work goes on. */
async function watchMemory(node: number, work: () => Promise<unknown>): Promise<Readonly<Record<"node" | "self", readonly number[]>>> {
  const samples = { node: [residentMiB(node)], self: [residentMiB("self")] };
  const timer = setInterval(() => {
    samples.node.push(residentMiB(node));
    samples.self.push(residentMiB("self"));
  }, 50);
  await work();
  clearInterval(timer);
  return samples;
}

function memoryRows(name: string, samples: readonly number[]): Row[] {
  const half = samples.length >> 1;
  const row = (part: string, values: readonly number[]): Row => ({
    name: `${name}, ${part}`,
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
    ratio: median(values) / median(samples.slice(0, half)),
  });
  return [row("first half", samples.slice(0, half)), row("second half", samples.slice(half))];
}

/** Added latency, throughput of output as events and as a file, and memory, of a node in a process of its own. */
export async function benchRemote(effort: Effort): Promise<BenchTable[]> {
  return withBench(async (bench) => {
    const passes = Math.min(effort.rounds, mostPasses);
    const tables = [await latency(bench, { ...effort, calls: Math.min(effort.calls, mostCalls) })];
    for (const [kind, table] of [
      ["events of stdout", () => eventsTable(bench, "stdout", passes)],
      ["events of stderr", () => eventsTable(bench, "stderr", passes)],
      ["a file", () => fileTable(bench, passes)],
    ] as const) {
      const samples = await watchMemory(bench.node.pid ?? 0, async () => tables.push(await table()));
      const title = `remote, resident memory while ${(passes + 1) * (passedBytes / 1e6)} MB pass as ${kind}`;
      tables.push({ title, unit: "MiB", rows: [...memoryRows("node", samples.node), ...memoryRows("caller", samples.self)] });
    }
    return tables;
  });
}
