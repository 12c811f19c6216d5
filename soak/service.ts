import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** What a caller of the mix does, how often, and which answer it asks for. */
interface Call {
  readonly name: string;
  readonly weight: number;
  readonly expected: number | "disconnected";
  readonly body: () => string;
}

const oversize = JSON.stringify({ tool: "echo", input: { text: "x".repeat(300 * 1024) } });
const mix: readonly Call[] = [
  { name: "good", weight: 80, expected: 200, body: () => JSON.stringify({ tool: "echo", input: { text: crypto.randomUUID() } }) },
  { name: "exit code 3", weight: 2, expected: 200, body: () => JSON.stringify({ tool: "fails", input: {} }) },
  { name: "bad input", weight: 6, expected: 400, body: () => JSON.stringify({ tool: "echo", input: "no object" }) },
  { name: "malformed", weight: 4, expected: 400, body: () => '{"tool": "echo", ' },
  { name: "unknown tool", weight: 3, expected: 404, body: () => JSON.stringify({ tool: "ecco" }) },
  { name: "oversize", weight: 3, expected: 413, body: () => oversize },
  { name: "disconnects", weight: 2, expected: "disconnected", body: () => JSON.stringify({ tool: "sleeps" }) },
];

export interface ServiceReport {
  readonly requests: number;
  readonly seconds: number;
  /** By name of the call: how many, how many were not answered as asked for, and the latency in ms. */
  readonly calls: Readonly<Record<string, { count: number; wrong: number; p50: number; p99: number }>>;
  readonly serverErrors: number;
  readonly residentMiB: { readonly first: number; readonly last: number; readonly max: number };
  /** Processes of the tools that were still there two seconds after the last call. */
  readonly leftProcesses: number;
}

function pick(): Call {
  let at = Math.random() * mix.reduce((sum, { weight }) => sum + weight, 0);
  for (const call of mix) if ((at -= call.weight) < 0) return call;
  throw new Error("the weights do not add up");
}

class Tally {
  readonly latencies: number[] = [];
  wrong = 0;
}

async function perform(url: string, call: Call, tally: Tally): Promise<number> {
  const start = performance.now();
  const signal = call.expected === "disconnected" ? AbortSignal.timeout(50 + Math.floor(Math.random() * 200)) : AbortSignal.timeout(30_000);
  let status = 0;
  try {
    const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: call.body(), signal });
    status = response.status;
    await response.arrayBuffer();
  } catch {
    // Neither an oversize body that is refused while it is sent nor a disconnect has an answer.
    status = call.expected === "disconnected" && signal.aborted ? -1 : call.name === "oversize" ? 413 : 0;
  }
  tally.latencies.push(performance.now() - start);
  if (call.expected === "disconnected" ? status !== -1 : status !== call.expected) tally.wrong++;
  return status;
}

function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;
}

function childrenOf(pid: number | undefined): Promise<number> {
  const ps = spawn("ps", ["--no-headers", "--ppid", String(pid), "-o", "pid"], { stdio: ["ignore", "pipe", "ignore"] });
  return new Promise((resolve) => {
    let text = "";
    ps.stdout.on("data", (chunk) => (text += String(chunk)));
    ps.once("close", () => resolve(text.split("\n").filter((line) => line.trim() !== "").length));
  });
}

/** Many callers at once with a bad mix of calls, over real HTTP. */
export async function soakService({ callers, seconds }: { callers: number; seconds: number }): Promise<ServiceReport> {
  const file = fileURLToPath(new URL("service-server.ts", import.meta.url));
  const server = spawn(process.execPath, ["--expose-gc", file], { stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface({ input: server.stdout });
  const resident: number[] = [];
  const url = await new Promise<string>((resolve) => {
    lines.on("line", (line) => {
      const told: { url?: string; residentMiB?: number } = JSON.parse(line);
      if (told.url !== undefined) resolve(`${told.url}/v1/executions`);
      if (told.residentMiB !== undefined) resident.push(told.residentMiB);
    });
  });
  const tallies = new Map(mix.map(({ name }) => [name, new Tally()]));
  let serverErrors = 0;
  const until = performance.now() + seconds * 1000;
  const caller = async (): Promise<void> => {
    while (performance.now() < until) {
      const call = pick();
      const status = await perform(url, call, tallies.get(call.name) ?? new Tally());
      if (status >= 500) serverErrors++;
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const leftProcesses = await childrenOf(server.pid);
  server.kill("SIGTERM");
  const calls = Object.fromEntries(
    [...tallies].map(([name, { latencies, wrong }]) => [
      name,
      { count: latencies.length, wrong, p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) },
    ]),
  );
  return {
    requests: [...tallies.values()].reduce((sum, { latencies }) => sum + latencies.length, 0),
    seconds,
    calls,
    serverErrors,
    residentMiB: { first: resident[4] ?? 0, last: resident.at(-1) ?? 0, max: Math.max(...resident) },
    leftProcesses,
  };
}
