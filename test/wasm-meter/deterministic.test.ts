import { expect, test } from "vitest";
import { check, meter } from "./checks.ts";
import { runFueled } from "./fueled.ts";
import { features, freshSeed, hunt, type Judge } from "./hunt.ts";

/** Deterministic mode over generated modules: `nans.test.ts` and the tests of depth have what it does besides. */
const strict = { ...features, relaxedSimd: false };

const cases = [
  { what: "the same modules in each run", seed: 7, count: 200 },
  { what: "other modules in each run", seed: freshSeed(), count: 200 },
  { what: "other loops in each run", seed: freshSeed(), count: 100, subject: "loops" },
  { what: "other calls in each run", seed: freshSeed(), count: 100, subject: "calls" },
] as const;

for (const { what, count, ...hunted } of cases) {
  test(`${what}: what makes its NaNs canonical by itself does what it did`, { timeout: 120_000 }, () => {
    let good = 0;
    const judge: Judge = (generated, choices) => {
      const verdict = check(generated, choices, { deterministic: true });
      if (verdict.kind === "good") good++;
      return verdict.kind === "bad" ? verdict.why : undefined;
    };
    hunt({ ...hunted, count, features: strict, ends: "counted", nans: "canonical" }, judge);
    // Some skip because a stack ends, of "calls" about one in a hundred.
    expect(good).toBeGreaterThan(count * 0.8);
  });

  test(`${what}: no engine's stack ends, and two runs are the same to the last unit`, { timeout: 120_000 }, () => {
    const judge: Judge = (generated) => {
      const metered = meter(generated, { memory: 4 * 2 ** 20, initialFuel: 0, deterministic: true });
      const [first, second] = [0, 1].map(() => runFueled(metered, (checkpoint) => (checkpoint < 20 ? 100_000 : -1)));
      if (first === undefined || second === undefined) return "nothing was run";
      if (first.isExhausted) return `the stack ended: ${first.events.at(-1)}`;
      return first.used === second.used && first.events.join() === second.events.join() ? undefined : "two runs differ";
    };
    hunt({ ...hunted, count: count / 2, features: strict, ends: "maybe never", nans: "any" }, judge);
  });
}
