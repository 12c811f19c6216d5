import type { Result, Task } from "../../runtime.ts";
import { check, same } from "../assert.ts";
import { receiptOf, type Bench } from "../bench.ts";
import { both, enforces, isDeterministic, isNotDeterministic, type ConformanceCase } from "../case.ts";
import { steps, type ProbeAction } from "../probe.ts";

const fixed: NonNullable<Task["deterministic"]> = { seed: "conformance", now: "2026-01-31T12:00:00Z" };

/** Looks at the clocks, waits, computes for a time that a clock tells, writes and leaves files. */
const input: ProbeAction = steps(
  { do: "write", text: "begin " },
  { do: "heartbeat", count: 3, everyMs: 400 },
  { do: "spin", ms: 50 },
  { do: "save", path: "out/made", text: "content" },
  { do: "list" },
);

function run(bench: Bench, deterministic: NonNullable<Task["deterministic"]>): Promise<Result> {
  return bench.succeed(input, { task: { deterministic } });
}

export const determinismCases: readonly ConformanceCase[] = [
  {
    id: "deterministic-same",
    title: "two runs with the same seed and time give the same output, the same files and the same fuel",
    requires: isDeterministic,
    async run(bench) {
      const [first, second] = [await run(bench, fixed), await run(bench, fixed)];
      same(second.stdout, first.stdout, "stdout");
      same(second.stderr, first.stderr, "stderr");
      same(second.files, first.files, "the files");
      const fuel = receiptOf(first.limits, "fuel").peak;
      check(fuel !== undefined && fuel > 0, "there is no fuel in the receipts");
      same(receiptOf(second.limits, "fuel").peak, fuel, "the fuel");
    },
  },
  {
    id: "deterministic-beside-others",
    title: "runs at once do not change each other's fuel",
    requires: isDeterministic,
    async run(bench) {
      const runtime = await bench.open();
      const tool = await bench.tool();
      const runs = Array.from({ length: 4 }, () => bench.succeed(input, { runtime, tool, task: { deterministic: fixed } }));
      const results = await Promise.all(runs);
      const seen = new Set(results.map(({ stdout, limits }) => JSON.stringify([stdout, receiptOf(limits, "fuel").peak])));
      same(seen.size, 1, "how many different outputs and amounts of fuel there were");
    },
  },
  {
    id: "deterministic-fuel-limit",
    title: "a deterministic run that has just enough fuel ends well, and with one unit less it does not",
    requires: both(isDeterministic, enforces("fuel")),
    async run(bench) {
      const { limits } = await run(bench, fixed);
      const fuel = receiptOf(limits, "fuel").peak ?? 0;
      const enough = await bench.succeed(input, { task: { deterministic: fixed, resources: { fuel } } });
      same(receiptOf(enough.limits, "fuel").hit, "no", "hit of a run with just enough");
      await bench.ended("ERR_LIMIT_FUEL", input, { task: { deterministic: fixed, resources: { fuel: fuel - 1 } }, afterMs: 3000 });
    },
  },
  {
    id: "deterministic-refused",
    title: "a deterministic run that the backend cannot give is refused",
    requires: isNotDeterministic,
    async run(bench) {
      await bench.refuse("ERR_DETERMINISM_UNSUPPORTED", { do: "echo" }, { task: { deterministic: fixed } });
    },
  },
  {
    id: "deterministic-unreadable",
    title: "a seed or a time that cannot be read is refused",
    async run(bench) {
      for (const deterministic of [
        { seed: 1.5, now: 0 },
        { seed: 1, now: "yesterday" },
        { seed: 1, now: -1 },
      ]) {
        await bench.refuse("ERR_ARGUMENT_INVALID", { do: "echo" }, { task: { deterministic } });
      }
    },
  },
];
