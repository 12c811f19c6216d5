import type { ToolRuntimeError } from "../../errors.ts";
import type { LimitReceipt } from "../../limits.ts";
import type { Result } from "../../runtime.ts";
import { ConformanceFailure, check, rejection, same, within } from "../assert.ts";
import { receiptOf, valueWithin, type Bench, type RunSettings } from "../bench.ts";
import { both, enforces, takes, type ConformanceCase, type Requirement } from "../case.ts";
import type { ProbeAction } from "../probe.ts";
import { fuelCases } from "./fuel.ts";

const MiB = 2 ** 20;
const limitCodes = {
  memory: "ERR_LIMIT_MEMORY",
  disk: "ERR_LIMIT_DISK",
  cpuTime: "ERR_LIMIT_CPU_TIME",
  processes: "ERR_LIMIT_PROCESSES",
} as const;

interface Encounter {
  readonly stdout: string;
  readonly receipt: LimitReceipt;
  /** Absent where a limit error ended the run. */
  readonly result?: Result;
}

/** Runs a tool into a limit: a limit error ends it, or it ends by itself where the enforcer refuses it more. */
async function runInto(
  bench: Bench,
  limit: keyof typeof limitCodes,
  input: ProbeAction,
  settings: RunSettings & { withinMs: number },
): Promise<Encounter> {
  const run = bench.run(input, settings).then(
    (result) => ({ result }),
    (error: unknown) => ({ error }),
  );
  const outcome = await within(settings.withinMs + bench.promptMs, "the run", run);
  if ("result" in outcome) {
    const { result } = outcome;
    const receipt = receiptOf(result.limits, limit);
    check(receipt.hit !== "no", `the tool reached "${limit}" and its receipt says that it did not`);
    return { stdout: result.stdout, receipt, result };
  }
  if (outcome.error instanceof ConformanceFailure) throw outcome.error;
  const error: ToolRuntimeError = await rejection(Promise.reject(outcome.error), { code: limitCodes[limit], started: true });
  const receipt = receiptOf(error.partial?.limits, limit);
  same(receipt.hit, "yes", `hit of "${limit}" in ${error.code}`);
  return { stdout: error.partial?.stdout ?? "", receipt };
}

function appliedOf(receipt: LimitReceipt): number {
  check(receipt.applied !== undefined, `the receipt of "${receipt.limit}" has no applied value`);
  const { applied, requested = 0, peak, limit } = receipt;
  check(applied <= requested, `applied of "${limit}" is ${applied}, more than the ${requested} that were asked for`);
  check(peak === undefined || peak <= applied, `the peak of "${limit}" is ${peak}, over its applied value ${applied}`);
  return applied;
}

/** How much the tool says it had. */
function allocatedBytes(stdout: string): number {
  return Math.max(
    0,
    ...stdout
      .split("\n")
      .filter((line) => /^\d+$/.test(line))
      .map(Number),
  );
}

/** Mechanisms that count memory in pages and cannot hold an odd number of bytes. */
const paged: ReadonlySet<string> = new Set(["cgroup", "module"]);

const countsInPages: Requirement = ({ capability }) =>
  paged.has(capability.limits.memory?.by ?? "") ? undefined : "the enforcer of memory does not count in pages";

/** What a tool gets of its memory at least; the rest is its own start-up's. */
const minShare = 0.6;

function memoryWanted(bench: Bench): number {
  return valueWithin(bench.facts, "memory", 160 * MiB + 12_345);
}

const memoryCases: readonly ConformanceCase[] = [
  {
    id: "memory-limit",
    title: "a tool gets no more memory than the receipt says",
    requires: enforces("memory"),
    async run(bench) {
      const memory = memoryWanted(bench);
      const encounter = await runInto(
        bench,
        "memory",
        { do: "allocate", bytes: memory * 2 },
        { task: { resources: { memory } }, withinMs: 10_000 },
      );
      const { stdout, receipt, result } = encounter;
      const applied = appliedOf(receipt);
      const allocated = allocatedBytes(stdout);
      check(result === undefined || result.exitCode !== 0, "the tool took twice its memory");
      check(allocated <= applied, `the tool took ${allocated} bytes, the applied value is ${applied}`);
      check(allocated >= applied * minShare, `the tool was stopped at ${allocated} bytes, the applied value is ${applied}`);
    },
  },
  {
    id: "memory-within-limit",
    title: "memory within the limit can be had, and the peak shows it",
    requires: enforces("memory"),
    async run(bench) {
      const memory = memoryWanted(bench);
      const bytes = Math.floor(memory / 4 / MiB / 4) * 4 * MiB;
      const { stdout, limits } = await bench.succeed({ do: "allocate", bytes }, { task: { resources: { memory } } });
      check(stdout.endsWith("done\n"), "the tool did not get a quarter of its memory");
      const { hit, peak, applied = 0 } = receiptOf(limits, "memory");
      check(hit !== "yes", "the receipt says that the limit was reached");
      check(peak === undefined || (peak >= bytes && peak <= applied), `the peak is ${peak}, the tool took ${bytes} of ${applied} bytes`);
    },
  },
  {
    id: "memory-receipt-measured",
    title: "an odd number of bytes comes back as the whole pages that the enforcer holds",
    requires: both(enforces("memory"), countsInPages),
    async run(bench) {
      const memory = memoryWanted(bench);
      const { limits } = await bench.succeed({ do: "echo" }, { task: { resources: { memory } } });
      const applied = appliedOf(receiptOf(limits, "memory"));
      same(applied % 4096, 0, `what applied (${applied}) has beyond whole pages`);
      check(memory - applied < 2 * 65_536, `applied is ${applied}, far below the ${memory} that were asked for`);
    },
  },
];

export const resourceCases: readonly ConformanceCase[] = [
  ...memoryCases,
  {
    id: "disk-limit",
    title: "a tool writes no more to files than the receipt says",
    requires: enforces("disk"),
    async run(bench) {
      const disk = valueWithin(bench.facts, "disk", 3 * MiB + 4321);
      const input: ProbeAction = { do: "save", path: "tmp/big", bytes: disk * 3 };
      const { stdout, receipt } = await runInto(bench, "disk", input, { task: { resources: { disk } }, withinMs: 10_000 });
      appliedOf(receipt);
      check(!stdout.includes('"ok":true'), "the tool wrote three times its limit");
      const half: ProbeAction = { do: "save", path: "tmp/half", bytes: Math.floor(disk / 2) };
      same((await bench.succeed(half, { task: { resources: { disk } } })).stdout, '{"ok":true}', "what writing half of it answers");
    },
  },
  {
    id: "cpu-time-limit",
    title: "a tool that computes is ended when its processor time is used up, and one that waits is not",
    requires: enforces("cpuTime"),
    async run(bench) {
      const cpuTime = valueWithin(bench.facts, "cpuTime", 1000);
      const startedAt = performance.now();
      const { receipt } = await runInto(
        bench,
        "cpuTime",
        { do: "spin", ms: 20_000 },
        { task: { resources: { cpuTime } }, withinMs: 15_000 },
      );
      check(performance.now() - startedAt < 15_000, "the tool computed for fifteen times its limit");
      check(receipt.applied !== undefined && receipt.applied <= cpuTime, `applied of "cpuTime" is ${receipt.applied}`);
      await bench.succeed({ do: "sleep", ms: cpuTime + 200 }, { task: { resources: { cpuTime } } });
    },
  },
  ...fuelCases,
  {
    id: "processes-limit",
    title: "a tool starts no more processes than the receipt says",
    requires: both(enforces("processes"), takes("command")),
    async run(bench) {
      const processes = valueWithin(bench.facts, "processes", 25);
      const { stdout, receipt, result } = await runInto(
        bench,
        "processes",
        { do: "spawn", count: processes },
        { task: { resources: { processes } }, withinMs: 10_000 },
      );
      const applied = appliedOf(receipt);
      if (result?.exitCode !== 0) return;
      const { started, refused } = JSON.parse(stdout) as { started: number; refused: number };
      check(refused > 0 && started < applied, `the tool started ${started} processes besides itself, the applied value is ${applied}`);
    },
  },
];
