import { createRuntime, ToolRuntimeError, type Backend, type LimitReceipt, type Task, type Tool } from "../../src/index.ts";
import { watchGaps } from "../engines/backend/program.ts";
import { endlessCases, engineCases } from "./engine-cases.ts";

/** How one task ended. */
export interface SnippetEnding {
  readonly end: string;
  readonly stdout: string;
  readonly stderr: string;
  /** The receipts that do not depend on the machine. */
  readonly limits: readonly (readonly [limit: string, applied: number | undefined, hit: string, enforcedBy: string])[];
  readonly fuel: number | undefined;
  readonly memoryPeak: number | undefined;
}

export interface SnippetReport {
  readonly same: Readonly<Record<string, readonly SnippetEnding[]>>;
  readonly endless: Readonly<Record<string, { readonly code: string; readonly overshootMs: number; readonly gapMs: number }>>;
  readonly plain: SnippetEnding;
}

export const timeoutMs = 250;
const deterministic = { seed: "seed", now: "2026-01-31T12:00:00Z" };

function endingOf(end: string, stdout: string, stderr: string, limits: readonly LimitReceipt[]): SnippetEnding {
  const peak = (name: string) => limits.find(({ limit }) => limit === name)?.peak;
  return {
    end,
    stdout,
    stderr,
    limits: limits.map(({ limit, applied, hit, enforcedBy }) => [limit, applied, hit, enforcedBy]),
    fuel: peak("fuel"),
    memoryPeak: peak("memory"),
  };
}

/** Runs all cases on this engine. */
export async function trySnippets(backend: Backend, tools: ReadonlyMap<string, Tool>): Promise<SnippetReport> {
  const runtime = createRuntime({ backend, security: "standard" });
  const run = async (name: string, task: Omit<Task, "tool">): Promise<SnippetEnding> => {
    const tool = tools.get(name);
    if (tool === undefined) throw new RangeError(`there is no tool ${name}`);
    try {
      const { exit, stdout, stderr, limits } = await runtime.execute({ ...task, tool });
      return endingOf(exit.kind === "trapped" ? `trapped: ${exit.trap}` : JSON.stringify(exit), stdout, stderr, limits);
    } catch (error) {
      if (!(error instanceof ToolRuntimeError) || error.code === "ERR_INTERNAL") throw error;
      const { stdout = "", stderr = "", limits = [] } = error.partial ?? {};
      return endingOf(error.code, stdout, stderr, limits);
    }
  };
  const same: Record<string, SnippetEnding[]> = {};
  for (const [name, { source: _, ...task }] of Object.entries(engineCases)) {
    const whole = { resources: { fuel: 20_000_000_000 }, input: {}, ...task, deterministic };
    same[name] = [await run(name, whole), await run(name, whole)];
  }
  // Makes QuickJS ready, which is no part of what is timed.
  const plain = await run("texts", { input: { t: "abc" } });
  const endless: Record<string, { code: string; overshootMs: number; gapMs: number }> = {};
  for (const name of Object.keys(endlessCases)) {
    const stop = watchGaps();
    const startedAt = performance.now();
    const { end } = await run(`endless ${name}`, { resources: { timeout: timeoutMs } });
    endless[name] = { code: end, overshootMs: performance.now() - startedAt - timeoutMs, gapMs: stop() };
  }
  return { same, endless, plain };
}
