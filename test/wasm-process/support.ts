import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, onTestFinished } from "vitest";
import { defineProbe, type ProbeAction } from "../../src/conformance/probe.ts";
import { createRuntime, defineTool, ToolRuntimeError, type Runtime, type RuntimeOptions, type Tool } from "../../src/index.ts";
import { findCgroups } from "../../src/internal/node/cgroup-layout.ts";
import { signalProcess } from "../../src/internal/node/signal-process.ts";
import { wasm } from "../../src/wasm/index.ts";
import { ProcessDriver } from "../../src/wasm/process/driver.ts";
import { readOptions, type ProcessOptions } from "../../src/wasm/process/options.ts";

export const layout = findCgroups(`toolruntime-wasm-trial-${process.pid}`);
if (layout === undefined) console.log("The cgroups of children are not tested: none can be made below this process's own");

export interface Bench {
  readonly driver: ProcessDriver;
  readonly runtime: Runtime;
  /** Its children that are alive. */
  readonly pids: () => number[];
}

export interface BenchOptions extends ProcessOptions {
  /** Another program for the children, in `fakes`. */
  readonly fake?: string;
  readonly runtime?: Partial<RuntimeOptions>;
}

/** A driver and a runtime with it, closed and looked after when the test or the file that opened it is over. */
export function openBench({ fake, runtime: runtimeOptions, ...options }: BenchOptions = {}): Bench {
  const settings = readOptions(options);
  const entry = fake === undefined ? settings.entry : new URL(`fakes/${fake}.ts`, import.meta.url);
  const driver = new ProcessDriver({ ...settings, entry });
  const runtime = createRuntime({ backend: wasm({ process: driver }), security: "hardened", ...runtimeOptions });
  const pids = (): number[] => childrenOf(driver.childPrefix);
  const whenOver = expect.getState().currentTestName === undefined ? afterAll : onTestFinished;
  whenOver(async () => {
    await runtime.close();
    await driver.close();
    expect(pids()).toEqual([]);
    expect(cgroupsOf(driver.childPrefix)).toEqual([]);
  });
  return { driver, runtime, pids };
}

export const probeBytes = readFileSync(new URL("../../src/conformance/guests/probe.wasm", import.meta.url));
/** Does what its input says; see `ProbeAction`. */
export const probe: Tool = await defineProbe({ wasm: probeBytes });

export function action(input: ProbeAction): { readonly tool: Tool; readonly input: ProbeAction } {
  return { tool: probe, input };
}

export function toolOf(bytes: Uint8Array, name = "sample"): Promise<Tool> {
  return defineTool(
    { name, version: "1.0.0", description: "A module for a test", inputSchema: true, artifacts: { wasm: {} } },
    { wasm: bytes },
  );
}

export function toolFrom(name: string): Promise<Tool> {
  return toolOf(readFileSync(new URL(`../abuse/modules/${name}.wasm`, import.meta.url)), name);
}

export async function errorOf(work: Promise<unknown>): Promise<ToolRuntimeError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof ToolRuntimeError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

export async function codeOf(work: Promise<unknown>): Promise<string> {
  return (await errorOf(work)).code;
}

/** The processes the last word of whose command lines begins so; zombies have none. */
export function childrenOf(prefix: string): number[] {
  return readdirSync("/proc").flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0");
      return words.at(-2)?.startsWith(prefix) === true ? [Number(pid)] : [];
    } catch {
      return [];
    }
  });
}

export function cgroupsOf(prefix: string): string[] {
  return (layout ?? []).flatMap(({ parent }) => readdirSync(parent).filter((name) => name.startsWith(prefix)));
}

export async function until(what: string, holds: () => boolean, timeoutMs = 8000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`it did not come about that ${what}`);
    await sleep(5);
  }
}

/** The processor time of a process, in ticks. */
function ticksOf(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ").at(-1)?.split(" ") ?? [];
    return Number(fields[11]) + Number(fields[12]);
  } catch {
    return 0;
  }
}

/** The one that is busy: the one whose processor time grows the most. */
export async function busiest(pids: readonly number[]): Promise<number> {
  const before = pids.map((pid) => [pid, ticksOf(pid)] as const);
  await sleep(120);
  const [most] = before.map(([pid, was]) => [pid, ticksOf(pid) - was] as const).sort((a, b) => b[1] - a[1]);
  if (most === undefined) throw new Error("there is no process");
  return most[0];
}

export function signal(pid: number, name: NodeJS.Signals): void {
  if (!signalProcess(pid, name)) throw new Error(`process ${pid} is not there`);
}
