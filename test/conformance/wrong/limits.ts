import type { Plan, RunReport } from "../../../src/backend.ts";
import {
  createRuntime,
  limitNames,
  parseQuantity,
  ToolRuntimeError,
  type Limit,
  type LimitReceipt,
  type Task,
} from "../../../src/index.ts";
import { wrongBackend, wrongCalls, type WrongRuntime } from "./wrap.ts";

/** The plan with another value for one limit. */
function plannedAs(plan: Plan, limit: Limit, change: (value: number) => number): Plan {
  return { ...plan, limits: plan.limits.map((one) => (one.limit === limit ? { ...one, value: change(one.value) } : one)) };
}

/** The report with a receipt that says what was asked for. */
function claiming(report: RunReport, plan: Plan, limit: Limit): RunReport {
  const value = plan.limits.find((one) => one.limit === limit)?.value ?? 0;
  const claim = { limit, applied: value, source: "the request", hit: "unknown" } as const;
  return { ...report, readings: [...report.readings.filter((one) => one.limit !== limit), claim] };
}

/** Asks the right runtime for another timeout, and says that it was the one asked for. */
function otherTimeout(change: (ms: number) => number) {
  return wrongCalls((right, task, call) => {
    const asked = task.resources?.timeout;
    if (asked === undefined) return right.execute(task, call);
    const ms = parseQuantity("timeout", asked);
    const forge = (limits: readonly LimitReceipt[]): LimitReceipt[] =>
      limits.map((one) => (one.limit === "timeout" ? { ...one, requested: ms, applied: ms } : one));
    return right.execute({ ...task, resources: { ...task.resources, timeout: change(ms) } }, call).then(
      (result) => ({ ...result, limits: forge(result.limits) }),
      (error: unknown) => {
        if (!(error instanceof ToolRuntimeError) || error.partial === undefined) throw error;
        const { code, message, started, id = "", backend = "", details, cause, partial } = error;
        throw new ToolRuntimeError(code, message, {
          started, id, backend, details, cause, partial: { ...partial, limits: forge(partial.limits) },
        }); // prettier-ignore
      },
    );
  });
}

function withoutKey<K extends keyof Task>(task: Task, key: K): Omit<Task, K> {
  const { [key]: _left, ...rest } = task;
  return rest;
}

/** The cases that the end of a run and its receipts are about. */
const isOfTimeout = (id: string): boolean => /^(abort|deadline|timeout|close|limit|output-limit|exit|result|secret|id|run|fresh)-/.test(id);

export const wrongLimits: readonly WrongRuntime[] = [
  {
    name: "claims a timeout and sets none",
    base: "unsafe",
    only: isOfTimeout,
    fails: ["secret-not-in-limit-error", "timeout-sleeping", "timeout-computing", "timeout-ends-tool"],
    open: otherTimeout(() => 60_000),
  },
  {
    name: "ends a tool before its timeout",
    base: "unsafe",
    only: isOfTimeout,
    fails: ["timeout-sleeping", "timeout-computing", "timeout-ends-tool"],
    open: otherTimeout((ms) => ms / 3),
  },
  {
    name: "claims a memory limit and sets none",
    base: "wasm",
    fails: ["memory-limit", "memory-receipt-measured"],
    open: wrongBackend(
      () => async (run, plan, io) =>
        claiming(
          await run(
            plannedAs(plan, "memory", () => 2 ** 30),
            io,
          ),
          plan,
          "memory",
        ),
    ),
  },
  {
    name: "gives half of the memory and says all of it",
    base: "wasm",
    fails: ["memory-limit", "memory-receipt-measured"],
    open: wrongBackend(
      () => async (run, plan, io) =>
        claiming(
          await run(
            plannedAs(plan, "memory", (value) => value / 2),
            io,
          ),
          plan,
          "memory",
        ),
    ),
  },
  {
    name: "cuts output at twice its limit",
    base: "wasm",
    fails: ["limit-receipts", "output-limit", "output-limit-exact", "maximum-clamps", "explain-agrees"],
    open: wrongCalls((right, task, call) => {
      const asked = task.resources?.output;
      if (typeof asked !== "number" || asked <= 0 || asked > 2 ** 30) return right.execute(task, call);
      return right.execute({ ...task, resources: { ...task.resources, output: 2 * asked } }, call);
    }),
  },
  {
    name: "runs a task without the limits that nothing enforces",
    base: "unsafe",
    only: (id) => id === "limit-undeclared-refused" || id === "explain-agrees" || isOfTimeout(id),
    fails: ["limit-undeclared-refused", "explain-agrees"],
    open: wrongCalls((right, task, call) => {
      const isDev = right.security === "dev" && (task.security ?? "dev") === "dev";
      return right.execute(isDev ? { ...task, bestEffort: limitNames } : task, call);
    }),
  },
  {
    name: "runs a task under its own profile where the task wants a stricter one",
    base: "wasm",
    fails: ["profile-floor", "best-effort-of-demand", "explain-agrees"],
    open: wrongCalls((right, task, call) => right.execute(withoutKey(task, "security"), call)),
  },
  {
    name: "runs everything in dev",
    base: "wasm",
    fails: ["profile-of-runtime"],
    open: (backend, options) => createRuntime({ ...options, security: "dev", backend }),
  },
];
