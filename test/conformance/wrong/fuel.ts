import type { Plan, RunReport } from "../../../src/backend.ts";
import type { LimitReading } from "../../../src/index.ts";
import { wrongBackend, type WrongRuntime } from "./wrap.ts";

function withoutFuel(plan: Plan): Plan {
  return { ...plan, limits: plan.limits.filter(({ limit }) => limit !== "fuel") };
}

function fuelOf({ limits }: Plan): number | undefined {
  return limits.find(({ limit }) => limit === "fuel")?.value;
}

/** The report with another reading of fuel. */
function reading(report: RunReport, fuel: Omit<LimitReading, "limit">): RunReport {
  return { ...report, readings: [...report.readings.filter(({ limit }) => limit !== "fuel"), { limit: "fuel", ...fuel }] };
}

export const wrongFuel: readonly WrongRuntime[] = [
  {
    name: "claims a fuel limit and sets none",
    base: "wasm",
    fails: ["fuel-limit", "fuel-counted", "fuel-at-every-end", "deterministic-fuel-limit"],
    open: wrongBackend(() => async (run, plan, io) => {
      const fuel = fuelOf(plan);
      if (fuel === undefined) return run(plan, io);
      return reading(await run(withoutFuel(plan), io), { applied: fuel, source: "the request", hit: "unknown" });
    }),
  },
  {
    name: "claims to count fuel and does not",
    base: "wasm",
    fails: ["fuel-limit", "fuel-counted", "fuel-at-every-end", "deterministic-same", "deterministic-fuel-limit"],
    open: wrongBackend(() => async (run, plan, io) => {
      const fuel = fuelOf(plan);
      const applied = fuel === undefined ? {} : { applied: fuel };
      return reading(await run(withoutFuel(plan), io), { ...applied, source: "fuel counter", peak: 0, hit: "no" });
    }),
  },
  {
    name: "gives the fuel that was asked for out as used",
    base: "wasm",
    fails: ["fuel-limit", "fuel-counted"],
    open: wrongBackend(() => async (run, plan, io) => {
      const report = await run(plan, io);
      const read = report.readings.find(({ limit }) => limit === "fuel");
      const fuel = fuelOf(plan);
      return read === undefined || fuel === undefined ? report : reading(report, { ...read, peak: fuel });
    }),
  },
  {
    name: "forgets the fuel of a run that did not return",
    base: "wasm",
    fails: ["fuel-limit", "fuel-at-every-end"],
    open: wrongBackend(() => async (run, plan, io) => {
      const report = await run(plan, io);
      const hasReturned = report.exit.kind === "exited" && report.limitHit === undefined && !io.signal.aborted;
      if (hasReturned || fuelOf(plan) === undefined) return report;
      const { peak: _, ...read } = report.readings.find(({ limit }) => limit === "fuel") ?? {};
      return reading(report, read);
    }),
  },
];
