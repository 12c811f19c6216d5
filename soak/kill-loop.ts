import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ServiceConfigInput } from "../src/adapters/executor/index.ts";
import { findDaemons } from "../test/conformance/containers.ts";
import { processesWith } from "../test/containerd/support.ts";
import { fleetToken, NodeProcess } from "../test/fleet/node-process.ts";
import { leftBehind, type Places } from "./left-behind.ts";

export interface KillLoopOptions {
  readonly runs: number;
  /** Runs between two kills. */
  readonly killEvery: number;
}

export interface KillLoopReport {
  readonly runs: number;
  readonly kills: number;
  /** How runs ended, by backend. */
  readonly outcomes: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** What there was of a killed service's at the moment of the kill; the least over all kills. */
  readonly leastAtKill: number;
  /** What was left when the next start listened and what still ended had a moment, by kill. */
  readonly left: readonly (readonly string[])[];
  /** What was left at the end, and reapers that still waited. */
  readonly leftAtEnd: readonly string[];
  readonly holds: boolean;
}

/** How a run is to end. `$0` is the marker. */
const acts = {
  "exits 0": { script: "exit 0" },
  "exits 3": { script: "exit 3" },
  signalled: { script: "kill -9 $$" },
  "leaves a child": { script: "sleep $0 & exit 0" },
  "over its time": { script: "sleep $0", resources: { timeout: "300ms" } },
  "over its memory": { script: "head -c 200000000 /dev/zero | tail", resources: { memory: "32Mi" } },
  "over its output": { script: "yes", resources: { output: "64Ki" } },
  "caller leaves": { script: "sleep $0" },
  "cut off": { script: "sleep $0" },
} as const;
type Act = keyof typeof acts;
const actNames = Object.keys(acts) as Act[];
/** Those that end before their service is killed. */
const ordinaryActs = actNames.filter((name) => name !== "cut off");
const atOnce = 6;
const sleepers = 3;
/** For the daemons and the kernel to end what they were told to. */
const settleMs = 15_000;

type Writable<T> = { -readonly [K in keyof T]: T[K] };

interface Served {
  readonly name: string;
  readonly node: NodeProcess;
  readonly config: Writable<ServiceConfigInput>;
  readonly scratch: string;
}

async function writeTools(folder: string, artifacts: (script: string) => object): Promise<void> {
  for (const [index, name] of actNames.entries()) {
    const path = join(folder, `act-${index}`);
    await mkdir(path, { recursive: true });
    const about = { name: `act-${index}`, version: "1.0.0", description: name, inputSchema: { type: "object" } };
    await writeFile(join(path, "tool.json"), JSON.stringify({ ...about, artifacts: artifacts(acts[name].script) }));
  }
}

async function serve(root: string, name: "unsafe" | "docker" | "containerd", marker: string): Promise<Served> {
  const daemons = findDaemons();
  if (typeof daemons === "string") throw new Error(daemons);
  const { sockets, images } = daemons;
  const folder = join(root, name);
  const scratch = join(folder, "runs");
  const reference = images["busybox"]?.reference ?? "";
  const argv = (script: string): string[] => ["/bin/sh", "-c", script, marker];
  await writeTools(join(folder, "tools"), (script) =>
    name === "unsafe" ? { command: { argv: argv(script) } } : { image: { reference, argv: argv(script) } },
  );
  const options = name === "unsafe" ? { acceptUnsafe: true } : { socketPath: sockets[name], acceptEngines: ["runc@1.1.5"] };
  const config: Writable<ServiceConfigInput> = { backends: { [name]: { ...options, scratch } }, log: { level: "error" } };
  const node = await NodeProcess.start({ name, folder, tools: join(folder, "tools"), config });
  return { name, node, config, scratch };
}

type Tally = Record<string, Record<string, number>>;

function count(outcomes: Tally, { name }: Served, outcome: string): void {
  const own = (outcomes[name] ??= {});
  own[outcome] = (own[outcome] ?? 0) + 1;
}

/** One run; where the service is killed meanwhile it has no answer. */
async function perform(served: Served, act: Act, outcomes: Tally): Promise<void> {
  const { node } = served;
  const spec = acts[act];
  const body = { tool: `act-${actNames.indexOf(act)}`, ...("resources" in spec ? { resources: spec.resources } : {}) };
  const headers = { "content-type": "application/json", authorization: `Bearer ${fleetToken}` };
  const signal = AbortSignal.timeout(act === "caller leaves" ? 250 : 60_000);
  try {
    const answer = await fetch(`${node.url}/v1/executions`, { method: "POST", headers, body: JSON.stringify(body), signal });
    const { code, exitCode } = (await answer.json()) as { code?: string; exitCode?: number };
    count(outcomes, served, code ?? `exit ${exitCode}`);
  } catch {
    count(outcomes, served, signal.aborted ? "caller left" : "cut off");
  }
}

/** Runs from a list, some at once. */
async function performAll(work: readonly (() => Promise<void>)[]): Promise<void> {
  const left = [...work];
  const worker = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) await next();
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

async function settled(places: Places): Promise<string[]> {
  const until = performance.now() + settleMs;
  for (;;) {
    const left = leftBehind(places);
    if (left.length === 0 || performance.now() > until) return left;
    await sleep(250);
  }
}

/** Kills all services at once in mid-run, and starts each again as soon as its process is gone. */
async function killAll(all: readonly Served[], places: () => Places, withReaper: boolean): Promise<number> {
  const until = performance.now() + 30_000;
  while (processesWith(places().marker).length < sleepers * all.length && performance.now() < until) await sleep(50);
  for (const { node } of all) node.signal("SIGKILL");
  await sleep(50);
  const atKill = leftBehind(places()).length;
  for (const { config } of all) config.reaper = withReaper;
  await Promise.all(all.map(({ node }) => node.start()));
  return atKill;
}

/**
 * Runs of mixed outcomes on unsafe, docker and containerd, whose services are killed by SIGKILL with runs in the middle, again and
 * again: alternately with a reaper, which then races with the next start, and without. After each start nothing must be left.
 */
export async function soakKills({ runs, killEvery }: KillLoopOptions, say: (line: string) => void): Promise<KillLoopReport> {
  const root = mkdtempSync(join(tmpdir(), "toolruntime-kills-"));
  const marker = `8${process.pid}.125`;
  const daemons = findDaemons();
  if (typeof daemons === "string") throw new Error(daemons);
  const all: Served[] = [];
  try {
    for (const name of ["unsafe", "docker", "containerd"] as const) all.push(await serve(root, name, marker));
    const pids = all.map(({ node }) => node.pid);
    const places = (): Places => ({ sockets: daemons.sockets, scratches: all.map(({ scratch }) => scratch), marker, pids });
    const outcomes: Tally = {};
    const left: string[][] = [];
    let leastAtKill = Number.POSITIVE_INFINITY;
    let turn = 0;
    for (let done = 0; done < runs; done += killEvery) {
      const batch = Math.min(killEvery, runs - done);
      const ordinary = Math.max(0, batch - sleepers * all.length);
      const work = Array.from({ length: ordinary }, () => {
        const served = all[turn % all.length];
        const act = ordinaryActs[Math.floor(turn++ / all.length) % ordinaryActs.length];
        return async () => (served === undefined || act === undefined ? undefined : perform(served, act, outcomes));
      });
      await performAll(work);
      const cut = all.flatMap((served) => Array.from({ length: sleepers }, () => perform(served, "cut off", outcomes)));
      leastAtKill = Math.min(leastAtKill, await killAll(all, places, left.length % 2 === 0));
      await Promise.all(cut);
      pids.push(...all.map(({ node }) => node.pid));
      left.push(await settled(places()));
      say(`${done + batch} runs, ${left.length} kills, left: ${left.at(-1)?.length}`);
    }
    await Promise.all(all.map(({ node }) => node.stop()));
    const reapers = processesWith(root).map((pid) => `reaper ${pid}`);
    const leftAtEnd = [...(await settled(places())), ...reapers];
    const holds = leftAtEnd.length === 0 && left.every((one) => one.length === 0) && leastAtKill > 0;
    return { runs, kills: left.length, outcomes, leastAtKill, left, leftAtEnd, holds };
  } finally {
    await Promise.all(all.map(({ node }) => node.kill()));
    rmSync(root, { recursive: true, force: true });
  }
}
