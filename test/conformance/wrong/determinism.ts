import type { Determinism, Plan } from "../../../src/backend.ts";
import { wrongBackend, type WrongRuntime } from "./wrap.ts";

/** The plan with another clock or another seed, where it has any. */
function fixedOtherwise(plan: Plan, other: Partial<Determinism>): Plan {
  const { deterministic } = plan;
  return deterministic === undefined ? plan : { ...plan, deterministic: { ...deterministic, ...other } };
}

export const wrongDeterminism: readonly WrongRuntime[] = [
  {
    name: "claims to be deterministic and lets the clocks run",
    base: "wasm",
    fails: ["deterministic-same", "deterministic-beside-others", "deterministic-clock", "deterministic-seed", "deterministic-fuel-limit"],
    open: wrongBackend(
      () =>
        (run, { deterministic, ...plan }, io) =>
          deterministic === undefined ? run(plan, io) : run({ ...plan }, io),
    ),
  },
  {
    name: "begins a deterministic run at its own time",
    base: "wasm",
    fails: ["deterministic-clock"],
    open: wrongBackend(() => (run, plan, io) => run(fixedOtherwise(plan, { nowMs: Date.now() }), io)),
  },
  {
    name: "draws a seed of its own for each run",
    base: "wasm",
    fails: ["deterministic-seed"],
    open: wrongBackend(() => (run, plan, io) => run(fixedOtherwise(plan, { seed: crypto.randomUUID() }), io)),
  },
  {
    name: "has one seed for all runs",
    base: "wasm",
    fails: ["deterministic-seed"],
    open: wrongBackend(() => (run, plan, io) => run(fixedOtherwise(plan, { seed: "always" }), io)),
  },
];
