import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { inlineBudgetMs } from "../../src/wasm/slices.ts";
import { endedByHost, ready, runOnce } from "./support.ts";

const exited = (code: number): object => ({ kind: "exited", code });

/** How often the event loop had a turn while the work went on. */
async function turnsDuring(work: Promise<unknown>): Promise<number> {
  const progress = { turns: 0, isDone: false };
  const settle = (): void => {
    progress.isDone = true;
  };
  void work.then(settle, settle);
  for (; !progress.isDone; progress.turns++) await nextTurn();
  return progress.turns;
}

describe("a component", () => {
  test("that computes lets the event loop have its turns, and ends well", async () => {
    const artifact = await ready("loops", "work");
    const run = runOnce(artifact);
    expect(await turnsDuring(run)).toBeGreaterThan(5);
    const { outcome, slices } = await run;
    expect([outcome.exit, slices.end]).toEqual([exited(0), undefined]);
    expect(slices.meter.used).toBeGreaterThan(2 ** 27);
  });

  test("that computes without end is ended at its timeout, and the event loop goes on meanwhile", async () => {
    const artifact = await ready("loops", "spin");
    const before = performance.now();
    const run = runOnce(artifact, { timeoutMs: 200 });
    expect(await turnsDuring(run)).toBeGreaterThan(5);
    const { outcome, slices } = await run;
    expect(performance.now() - before).toBeLessThan(2000);
    expect([outcome.exit, slices.end?.limit]).toEqual([endedByHost, "timeout"]);
  });

  // An engine suspends no guest across JavaScript, and none while it is made.
  test.each([
    ["loops", "in-realloc", inlineBudgetMs],
    ["loops", "in-post-return", inlineBudgetMs],
    // Its function has no name that says who calls it: the engine's refusal to suspend it comes first.
    ["loops", "in-other", 0],
    ["loop-start", "run", inlineBudgetMs],
  ])("%s that runs without end %s, where nothing can suspend it, is ended after its budget", async (name, entry, leastMs) => {
    const artifact = await ready(name, entry);
    const before = performance.now();
    const { outcome, slices } = await runOnce(artifact, { input: "text", timeoutMs: 60_000 });
    expect(performance.now() - before).toBeLessThan(2000);
    expect([outcome.exit, slices.end?.limit]).toEqual([endedByHost, "inline"]);
    expect(slices.end?.observed).toBeGreaterThanOrEqual(leastMs);
  });
});
