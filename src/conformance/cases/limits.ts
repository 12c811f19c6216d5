import { limitNames, limitUnits, type Limit, type LimitReceipt } from "../../limits.ts";
import type { ExecutionEvent } from "../../runtime.ts";
import { check, same } from "../assert.ts";
import { receiptOf, valueWithin, type Bench } from "../bench.ts";
import { both, enforces, interrupts, leavesLimitsOpen, leavesTrace, undeclaredLimits, type ConformanceCase, type Facts } from "../case.ts";
import { pattern, steps, type ProbeAction } from "../probe.ts";
import { assertStill } from "./abort.ts";

/** Odd values, which an enforcer that counts in pages or ticks cannot hold exactly. */
const oddValues: Readonly<Record<Limit, number>> = {
  timeout: 20_011,
  cpuTime: 15_013,
  cpu: 1,
  fuel: 5_000_000_003,
  memory: 200 * 2 ** 20 + 12_345,
  output: 100_003,
  disk: 20 * 2 ** 20 + 4321,
  processes: 61,
};

/** Timers may fire a little early by the other clock. */
const clockSlackMs = 15;

function declaredLimits({ capability }: Facts): Limit[] {
  return limitNames.filter((limit) => limit === "output" || capability.limits[limit] !== undefined);
}

function assertMeasured(receipt: LimitReceipt, requested: number): void {
  const { limit, applied, unit, source, hit, enforcedBy, peak } = receipt;
  same(receipt.requested, requested, `requested of "${limit}"`);
  same(unit, limitUnits[limit], `the unit of "${limit}"`);
  check(enforcedBy !== "none" && enforcedBy !== "", `"${limit}" is declared and enforced by "${enforcedBy}"`);
  check(applied !== undefined && applied > 0, `"${limit}" is declared and its receipt has no applied value`);
  check(applied <= requested, `applied of "${limit}" is ${applied}, more than the ${requested} that were asked for`);
  check(typeof source === "string" && source !== "", `"${limit}" does not say where its applied value was read`);
  check(hit !== "yes", `"${limit}" is said to be hit by a tool that does nothing`);
  check(peak === undefined || peak <= applied, `the peak of "${limit}" is ${peak}, over its applied value ${applied}`);
}

/** Runs a tool that would go on for long under a short timeout, and gives its error and how long it ran. */
async function runIntoTimeout(bench: Bench, input: ProbeAction) {
  const timeout = valueWithin(bench.facts, "timeout", 700);
  let startedAt = 0;
  const onEvent = ({ type }: ExecutionEvent): void => {
    if (type === "started") startedAt = performance.now();
  };
  const error = await bench.ended("ERR_LIMIT_TIMEOUT", input, { task: { resources: { timeout } }, call: { onEvent }, afterMs: timeout });
  const tookMs = performance.now() - startedAt;
  const receipt = receiptOf(error.partial?.limits, "timeout");
  const { applied = Number.NaN, hit } = receipt;
  same([receipt.requested, receipt.unit, hit], [timeout, "ms", "yes"], "requested, unit and hit");
  // Of a start that is told late the tool's time is seen to be shorter.
  const earliest = applied - clockSlackMs - (bench.settings.eventDelayMs ?? 0);
  check(tookMs >= earliest, `the run was ended after ${Math.round(tookMs)} ms, before the applied ${applied} ms`);
  check(tookMs <= applied + bench.promptMs, `the run was ended after ${Math.round(tookMs)} ms, the applied value is ${applied} ms`);
  return error;
}

const timeoutCases: readonly ConformanceCase[] = [
  {
    id: "timeout-sleeping",
    title: "a tool that waits is ended at its timeout, with what it had written and receipts",
    requires: enforces("timeout"),
    async run(bench) {
      const error = await runIntoTimeout(bench, steps({ do: "write", text: "before" }, { do: "sleep", ms: 60_000 }));
      same(error.partial?.stdout, "before", "stdout in partial");
      same(error.details["limit"], "timeout", "the limit in details");
    },
  },
  {
    id: "timeout-computing",
    title: "a tool that computes is ended at its timeout",
    requires: interrupts,
    async run(bench) {
      await runIntoTimeout(bench, { do: "spin" });
    },
  },
  {
    id: "timeout-ends-tool",
    title: "when a run has ended by its timeout, its tool no longer runs",
    requires: both(enforces("timeout"), leavesTrace),
    async run(bench) {
      const trace = await bench.trace();
      await runIntoTimeout(bench, { do: "heartbeat", trace: trace.path });
      check((await trace.size()) > 0, "the tool left no trace while it ran");
      await assertStill(trace);
    },
  },
];

const outputCases: readonly ConformanceCase[] = [
  {
    id: "output-limit",
    title: "output over its limit ends the run; the first bytes are kept and the receipt is exact",
    async run(bench) {
      const error = await bench.ended(
        "ERR_LIMIT_OUTPUT",
        { do: "fill", bytes: 500_000, chunk: 777 },
        { task: { resources: { output: 4001 } } },
      );
      const receipt = receiptOf(error.partial?.limits, "output");
      same([receipt.requested, receipt.applied, receipt.unit, receipt.hit], [4001, 4001, "bytes", "yes"], "the receipt");
      same(error.partial?.stdout, new TextDecoder().decode(pattern(4001)), "stdout in partial");
      same(error.partial?.truncated.stdout, true, "truncated");
      same([error.details["limit"], error.details["value"]], ["output", 4001], "limit and value in details");
    },
  },
  {
    id: "output-limit-exact",
    title: "output of exactly the limit is no violation, and stdout and stderr count together",
    async run(bench) {
      const runtime = await bench.open();
      const task = { resources: { output: 1000 } };
      const halves = (second: number): ProbeAction => steps({ do: "fill", bytes: 600 }, { do: "fill", to: "stderr", bytes: second });
      const { limits } = await bench.succeed(halves(400), { runtime, task });
      const { hit, peak } = receiptOf(limits, "output");
      same([hit, peak], ["no", 1000], "hit and peak");
      await bench.ended("ERR_LIMIT_OUTPUT", halves(401), { runtime, task });
    },
  },
  {
    id: "output-limit-endless",
    title: "endless output is ended",
    async run(bench) {
      const input: ProbeAction = { do: "write", text: "endless ", count: 1_000_000_000 };
      await bench.ended("ERR_LIMIT_OUTPUT", input, { task: { resources: { output: 50_000 } }, afterMs: 3000 });
      await bench.ended("ERR_LIMIT_OUTPUT", { ...input, to: "stderr" }, { task: { resources: { output: 50_000 } }, afterMs: 3000 });
    },
  },
];

export const limitCases: readonly ConformanceCase[] = [
  {
    id: "limit-receipts",
    title: "every declared limit has a receipt with what its enforcer says",
    async run(bench) {
      for (const limit of declaredLimits(bench.facts)) {
        const wanted = valueWithin(bench.facts, limit, oddValues[limit]);
        const { limits } = await bench.succeed({ do: "sleep", ms: 20 }, { task: { resources: { [limit]: wanted } } });
        assertMeasured(receiptOf(limits, limit), wanted);
      }
    },
  },
  {
    id: "limit-receipts-once",
    title: "there is one receipt for each limit of the plan, and of others only what was counted",
    async run(bench) {
      const runtime = await bench.open();
      const tool = await bench.tool();
      const { limits } = await bench.succeed({ do: "echo" }, { runtime, tool });
      const [explanation] = await runtime.explain({ tool });
      const planned = (explanation?.limits ?? []).map(({ limit }) => limit);
      check(planned.length > 0, "the plan has no limits");
      const held = limits.filter(({ requested }) => requested !== undefined);
      same(held.map(({ limit }) => limit).toSorted(), planned.toSorted(), "the limits with a receipt");
      const counted = limits.filter((receipt) => !held.includes(receipt));
      for (const { limit, applied, enforcedBy, hit } of counted) {
        check(!planned.includes(limit), `there are two receipts of "${limit}"`);
        same([applied, enforcedBy, hit], [undefined, "none", "no"], `applied, enforcedBy and hit of "${limit}", which nobody limited`);
      }
    },
  },
  {
    id: "limit-undeclared-refused",
    title: "a limit that somebody asks for and nothing enforces refuses the task",
    requires: leavesLimitsOpen,
    async run(bench) {
      for (const limit of undeclaredLimits(bench.facts)) {
        const resources = { [limit]: oddValues[limit] };
        await bench.refuse("ERR_LIMIT_UNENFORCEABLE", { do: "echo" }, { task: { resources } });
        await bench.refuse("ERR_LIMIT_UNENFORCEABLE", { do: "echo" }, { options: { resources } });
      }
    },
  },
  {
    id: "limit-undeclared-best-effort",
    title: "as best effort it lets the task run, and the receipt says that nothing enforces it",
    requires: leavesLimitsOpen,
    async run(bench) {
      for (const limit of undeclaredLimits(bench.facts)) {
        const task = { resources: { [limit]: oddValues[limit] }, bestEffort: [limit] };
        const { limits } = await bench.succeed({ do: "echo" }, { task });
        const receipt = receiptOf(limits, limit);
        same([receipt.requested, receipt.enforcedBy], [oddValues[limit], "none"], "requested and enforcedBy");
        check(!("applied" in receipt), `"${limit}" is enforced by nothing and its receipt has an applied value`);
        check(receipt.hit !== "yes", `"${limit}" is enforced by nothing and said to be hit`);
      }
    },
  },
  ...timeoutCases,
  ...outputCases,
];
