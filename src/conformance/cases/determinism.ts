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

/** Long enough to show whether somebody really waits for it. */
const sleepMs = 5000;
/** What a run may take by its own clock besides, in ms: its work is little. */
const workMs = 1000;

const lookAtClocks: ProbeAction = steps({ do: "clock" }, { do: "write", text: "\n" }, { do: "sleep", ms: sleepMs }, { do: "clock" });

interface Clocks {
  readonly realtimeMs: number;
  readonly monotonicUs: number;
}

/** What the clocks show at the start of a run, and after a sleep of five seconds. */
async function clocksOf(bench: Bench, deterministic: NonNullable<Task["deterministic"]>): Promise<readonly [Clocks, Clocks]> {
  const { stdout } = await bench.succeed(lookAtClocks, { task: { deterministic } });
  const [first = "", second = ""] = stdout.split("\n");
  return [JSON.parse(first) as Clocks, JSON.parse(second) as Clocks];
}

async function randomOf(bench: Bench, deterministic: NonNullable<Task["deterministic"]>): Promise<string> {
  const { stdout } = await bench.succeed(steps({ do: "random" }, { do: "random" }), { task: { deterministic } });
  return stdout;
}

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
    id: "deterministic-clock",
    title: "the clocks of a deterministic run begin at the time that the task names, and are moved by what the run does alone",
    requires: isDeterministic,
    async run(bench) {
      for (const now of ["2026-01-31T12:00:00Z", "1999-12-31T23:59:59.5Z"]) {
        const startMs = Date.parse(now);
        const seen = await clocksOf(bench, { ...fixed, now });
        const [first, second] = seen;
        const beganMs = first.realtimeMs - startMs;
        check(beganMs >= 0 && beganMs < workMs, `its clock showed ${first.realtimeMs} at the start, expected about ${startMs}`);
        const realMs = second.realtimeMs - first.realtimeMs;
        const monotonicMs = (second.monotonicUs - first.monotonicUs) / 1000;
        for (const passed of [realMs, monotonicMs])
          check(passed >= sleepMs && passed < sleepMs + workMs, `a clock moved by ${passed} ms while the run slept for ${sleepMs} ms`);
        same(await clocksOf(bench, { ...fixed, now }), seen, "what the clocks of a second run show");
      }
    },
  },
  {
    id: "deterministic-seed",
    title: "random bytes come of the seed: the same from the same one, others from another",
    requires: isDeterministic,
    async run(bench) {
      const ofSeed = (seed: number | string) => randomOf(bench, { ...fixed, seed });
      const first = await ofSeed("one");
      same(await ofSeed("one"), first, "what a second run draws");
      const [half = "", other = ""] = first.split("}");
      check(half !== other, "a run draws the same bytes twice");
      const all = [first, await ofSeed("two"), await ofSeed(1), await ofSeed(2)];
      same(new Set(all).size, all.length, "how many different draws there are of four seeds");
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
      const { hit, peak } = receiptOf(enough.limits, "fuel");
      same([hit, peak], ["no", fuel], "hit and peak of a run with just enough");
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
