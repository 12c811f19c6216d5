import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, expect, onTestFinished } from "vitest";
import { unsafe, type UnsafeOptions } from "../../src/backends/unsafe/index.ts";
import {
  createRuntime,
  defineTool,
  ToolRuntimeError,
  type Backend,
  type Runtime,
  type RuntimeOptions,
  type Tool,
} from "../../src/index.ts";
import { findCgroups } from "../../src/internal/node/cgroup-layout.ts";

/** Node's own folder comes first, so that `node` is the one that runs the tests. */
export const searchPath = `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`;

export const layout = findCgroups(`toolruntime-test-${process.pid}`);
if (layout === undefined) console.log("The limits of a cgroup are not tested: none can be made below this process's own");

export interface Bench {
  readonly scratch: string;
  readonly backend: Backend;
  readonly runtime: Runtime;
}

/** A backend with a scratch folder of its own, closed and checked for leftovers when the test or the file that opened it is over. */
export function openBench(options: Partial<UnsafeOptions> = {}, runtimeOptions: Partial<RuntimeOptions> = {}): Bench {
  const scratch = mkdtempSync(join(tmpdir(), "toolruntime-test-"));
  const backend = unsafe({ acceptUnsafe: true, warn: () => undefined, path: searchPath, scratch, ...options });
  const runtime = createRuntime({ backend, security: "dev", ...runtimeOptions });
  const whenOver = expect.getState().currentTestName === undefined ? afterAll : onTestFinished;
  whenOver(async () => {
    await runtime.close();
    await backend.close();
    const left = readdirSync(scratch);
    rmSync(scratch, { recursive: true });
    if (left.length > 0) throw new Error(`the backend left ${left.join(", ")}`);
  });
  return { scratch, backend, runtime };
}

export function commandTool(argv: readonly string[], folder?: string): Promise<Tool> {
  const manifest = { name: "probe", version: "1.0.0", description: "A command for a test", inputSchema: true };
  return defineTool({ ...manifest, artifacts: { command: { argv: [...argv] } } }, folder === undefined ? {} : { folder });
}

export const shell = (script: string): Promise<Tool> => commandTool(["/bin/sh", "-c", script]);
export const nodeScript = (script: string): Promise<Tool> => commandTool(["node", "-e", script]);

export async function codeOf(promise: Promise<unknown>): Promise<string> {
  return (await errorOf(promise)).code;
}

export async function errorOf(promise: Promise<unknown>): Promise<ToolRuntimeError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof ToolRuntimeError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

/** The command lines of the processes that have `marker` in theirs; zombies have none. */
export function processesWith(marker: string): string[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const line = readFileSync(`/proc/${name}/cmdline`, "latin1").replaceAll("\0", " ");
      return line.includes(marker) ? [`${name} ${line}`] : [];
    } catch {
      return [];
    }
  });
}

/** Waits until so many processes are no more than `sleep <seconds>`: what starts them has the words in its command line too. */
export async function awaitSleepers(seconds: string, count: number): Promise<void> {
  const until = performance.now() + 10_000;
  const sleepers = (): string[] => processesWith(`sleep ${seconds}`).filter((line) => /^\d+ (?:\/\S+\/)?sleep /.test(line));
  while (sleepers().length < count && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(sleepers().length).toBeGreaterThanOrEqual(count);
}

/** The cgroups in `layout` that a backend of this process has made. */
export function cgroupsHere(): string[] {
  return (layout ?? []).flatMap(({ parent }) => readdirSync(parent).filter((name) => name.startsWith(`toolruntime-${process.pid}-`)));
}

export function openFds(): number {
  return readdirSync("/proc/self/fd").length;
}
