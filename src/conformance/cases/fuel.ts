import { ToolRuntimeError, type ErrorCode } from "../../errors.ts";
import type { LimitReceipt, Resources } from "../../limits.ts";
import { check, same, within } from "../assert.ts";
import { receiptOf, valueWithin, type Bench } from "../bench.ts";
import { both, enforces, interrupts, type ConformanceCase } from "../case.ts";
import { steps, type ProbeAction } from "../probe.ts";

async function usedBy(bench: Bench, input: ProbeAction, fuel: number): Promise<number> {
  const { limits } = await bench.succeed(input, { task: { resources: { fuel } } });
  const { peak, applied, hit } = receiptOf(limits, "fuel");
  same([applied, hit], [fuel, "no"], "applied and hit of fuel");
  check(peak !== undefined, "the receipt does not say how much fuel was used");
  return peak;
}

interface Ending {
  readonly how: string;
  readonly input: ProbeAction;
  readonly resources?: Resources;
  /** Absent where the tool ends by itself. */
  readonly code?: ErrorCode;
}

const plenty = 1e15;

const endings: readonly Ending[] = [
  { how: "returned", input: { do: "echo" } },
  { how: "ended with an exit code", input: { do: "exit", code: 3 } },
  { how: "trapped", input: steps({ do: "write", text: "before" }, { do: "trap" }) },
  { how: "used up its fuel", input: { do: "spin" }, resources: { fuel: 5_000_000 }, code: "ERR_LIMIT_FUEL" },
  { how: "was over its time", input: { do: "spin" }, resources: { timeout: 300 }, code: "ERR_LIMIT_TIMEOUT" },
  { how: "wrote too much", input: { do: "fill", bytes: 500_000, chunk: 777 }, resources: { output: 4001 }, code: "ERR_LIMIT_OUTPUT" },
];

/** The receipts of a run, however it ended. */
async function receiptsOf(bench: Bench, { how, input, resources, code }: Ending): Promise<readonly LimitReceipt[]> {
  const task = { resources: { fuel: valueWithin(bench.facts, "fuel", plenty), ...resources } };
  const run = bench.run(input, { task }).then(
    ({ limits }) => ({ code: undefined, limits }),
    (error: unknown) => {
      if (!(error instanceof ToolRuntimeError)) throw error;
      return { code: error.code, limits: error.partial?.limits ?? [] };
    },
  );
  const ended = await within(bench.promptMs + 5000, `the run that ${how}`, run);
  same(ended.code, code, `the code of the run that ${how}`);
  return ended.limits;
}

/** A process that is killed in mid-run may not have said how far it came. */
function mayBeUnread({ facts }: Bench, { code }: Ending, { source }: LimitReceipt): boolean {
  const isEndedFromOutside = code === "ERR_LIMIT_TIMEOUT" || code === "ERR_LIMIT_OUTPUT";
  return isEndedFromOutside && source === undefined && facts.capability.limits.timeout?.by === "SIGKILL";
}

export const fuelCases: readonly ConformanceCase[] = [
  {
    id: "fuel-limit",
    title: "a tool that computes is ended when its fuel is used up, and one that uses little is not",
    requires: enforces("fuel"),
    async run(bench) {
      const fuel = valueWithin(bench.facts, "fuel", 50_000_000);
      const settings = { task: { resources: { fuel } } };
      const error = await bench.ended("ERR_LIMIT_FUEL", { do: "spin" }, { ...settings, afterMs: 4000 });
      const { applied, hit, peak = 0 } = receiptOf(error.partial?.limits, "fuel");
      same([applied, hit], [fuel, "yes"], "applied and hit");
      check(peak >= fuel && peak < fuel * 1.1, `the tool was ended with ${peak} units used, the applied value is ${fuel}`);
      const { limits } = await bench.succeed({ do: "echo" }, settings);
      const used = receiptOf(limits, "fuel").peak ?? Number.NaN;
      check(used > 0 && used < fuel, `a tool that does nothing used ${used} units`);
    },
  },
  {
    id: "fuel-counted",
    title: "the fuel of a receipt is what the tool used: more for more work, and the same under another limit",
    requires: enforces("fuel"),
    async run(bench) {
      const [low, high] = [valueWithin(bench.facts, "fuel", 1e9), valueWithin(bench.facts, "fuel", 7e9)];
      const little = await usedBy(bench, { do: "fill", bytes: 1000 }, low);
      const again = await usedBy(bench, { do: "fill", bytes: 1000 }, high);
      const much = await usedBy(bench, { do: "fill", bytes: 100_000 }, high);
      check(
        little > 0 && Math.abs(again - little) <= little / 100,
        `the same work used ${little} units under one limit, ${again} under another`,
      );
      // A hundred times the bytes; what the tool does before is the same.
      check(much - again >= 90_000, `1000 bytes of output used ${again} units, 100,000 used ${much}`);
    },
  },
  {
    id: "fuel-at-every-end",
    title: "however a run ends, its receipt says how much fuel it used",
    requires: both(enforces("fuel"), interrupts),
    async run(bench) {
      for (const ending of endings) {
        const receipt = receiptOf(await receiptsOf(bench, ending), "fuel");
        const { peak, hit } = receipt;
        same(hit === "yes", ending.code === "ERR_LIMIT_FUEL", `whether the fuel of the run that ${ending.how} was used up`);
        if (peak === undefined && mayBeUnread(bench, ending, receipt)) continue;
        check(peak !== undefined && peak > 0, `the run that ${ending.how} used ${peak} units by its receipt`);
      }
    },
  },
];
