import { expect, test } from "vitest";
import { check } from "./checks.ts";
import { features, freshSeed, hunt, type Judge } from "./hunt.ts";

/**
 * A module that was metered does what it did before, whatever the slices that its fuel comes in; it is charged for what it
 * executes, and ends where it has no more.
 *
 * The bits of a NaN that arithmetic gives differ from one of an engine's compilers to the next, in the original too, so the
 * modules make them canonical by themselves.
 */
const cases = [
  { what: "the same modules in each run", seed: 3, count: 400 },
  { what: "other modules in each run", seed: freshSeed(), count: 400 },
  { what: "the same loops in each run", seed: 4, count: 300, subject: "loops" },
  { what: "other loops in each run", seed: freshSeed(), count: 300, subject: "loops" },
  { what: "the same calls in each run", seed: 5, count: 300, subject: "calls" },
  { what: "other calls in each run", seed: freshSeed(), count: 300, subject: "calls" },
] as const;

for (const { what, count, ...hunted } of cases) {
  test(`${what}: metered as unmetered`, { timeout: 120_000 }, () => {
    const tally = { good: 0, skipped: 0, units: 0 };
    const judge: Judge = (generated, choices) => {
      const verdict = check(generated, choices);
      if (verdict.kind === "bad") return verdict.why;
      tally[verdict.kind]++;
      if (verdict.kind === "good" && verdict.used > 0) tally.units++;
      return undefined;
    };
    const { invalid } = hunt({ ...hunted, count, features, ends: "counted", nans: "canonical" }, judge);
    // A generator that makes little of use would find nothing.
    expect(invalid).toBeLessThan(count / 100);
    expect(tally.skipped).toBeLessThan(count / 50);
    expect(tally.units).toBeGreaterThan(count * 0.8);
  });
}
