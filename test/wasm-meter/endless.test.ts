import { expect, test } from "vitest";
import { meter } from "./checks.ts";
import { runFueled } from "./fueled.ts";
import { features, freshSeed, hunt, type Judge } from "./hunt.ts";
import { mostMs, processorMs } from "./ingesting.ts";

/** Modules of which nothing says that they end: metered, each does. */
const count = 250;
const limit = 400_000;
const slice = 20_000;

for (const [what, seed] of [
  ["the same modules in each run", 5],
  ["other modules in each run", freshSeed()],
] as const) {
  test(`${what}: what may never end does at its limit`, { timeout: 120_000 }, () => {
    let cut = 0;
    const judge: Judge = (generated) => {
      const metered = meter(generated, { memory: 4 * 2 ** 20, initialFuel: 0 });
      const before = processorMs();
      const ended = runFueled(metered, (checkpoint) => (checkpoint < limit / slice ? slice : -1));
      const ms = processorMs() - before;
      if (ms > mostMs) return `took ${ms} ms`;
      if (ended.late > 0) return `came to ${ended.late} checkpoints after its end`;
      if (ended.granted > limit) return `was granted ${ended.granted}`;
      if (ended.isDenied) cut++;
      const last = ended.events.at(-1);
      return ended.isDenied && last?.endsWith("RuntimeError: unreachable") !== true ? `ended with ${last}` : undefined;
    };
    hunt({ count, seed, features, ends: "maybe never", nans: "any" }, judge);
    expect(cut).toBeGreaterThan(count / 5);
  });
}
