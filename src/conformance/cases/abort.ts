import type { ExecutionEvent, Runtime } from "../../runtime.ts";
import { check, pause, same } from "../assert.ts";
import { EventLog, type Bench, type Trace } from "../bench.ts";
import { both, interrupts, leavesTrace, takes, type ConformanceCase } from "../case.ts";
import { steps, type ProbeAction } from "../probe.ts";

/** How long a dead tool is watched for signs of life, in ms. */
const watchMs = 300;

export async function assertStill(trace: Trace): Promise<void> {
  const before = await trace.size();
  await pause(watchMs);
  const after = await trace.size();
  same(after - before, 0, `the bytes that the tool wrote to its trace in ${watchMs} ms after its end`);
}

/** Aborts a run when its tool has written the third time, and gives what it rejected with. */
async function abortAtThirdWrite(bench: Bench, input: ProbeAction, events = new EventLog()) {
  const controller = new AbortController();
  let writes = 0;
  let abortedAt = Number.POSITIVE_INFINITY;
  const onEvent = (event: ExecutionEvent): void => {
    events.listener(event);
    if (event.type !== "stdout" || ++writes !== 3) return;
    abortedAt = performance.now();
    controller.abort();
  };
  const error = await bench.ended("ERR_ABORTED", input, { call: { signal: controller.signal, onEvent } });
  const tookMs = performance.now() - abortedAt;
  check(tookMs <= bench.promptMs, `the run settled ${Math.round(tookMs)} ms after the abort, the most is ${bench.promptMs}`);
  return error;
}

/** Aborts a run a while after its tool has started. */
export async function abortAfterStart(bench: Bench, input: ProbeAction, runtime?: Runtime): Promise<void> {
  const controller = new AbortController();
  const onEvent = ({ type }: ExecutionEvent): void => {
    if (type === "started") setTimeout(() => controller.abort(), 150);
  };
  const call = { signal: controller.signal, onEvent };
  await bench.ended("ERR_ABORTED", input, { call, afterMs: 150, ...(runtime === undefined ? {} : { runtime }) });
}

export const abortCases: readonly ConformanceCase[] = [
  {
    id: "abort-before-start",
    title: "a run whose signal is aborted already does not start",
    async run(bench) {
      await bench.refuse("ERR_ABORTED", { do: "echo" }, { call: { signal: AbortSignal.abort() } });
    },
  },
  {
    id: "abort-during-run",
    title: "an abort ends the run promptly with ERR_ABORTED and what there was, and no event comes after",
    async run(bench) {
      const events = new EventLog();
      const error = await abortAtThirdWrite(bench, { do: "heartbeat" }, events);
      const count = events.events.length;
      check(error.partial?.stdout.startsWith("beat\nbeat\nbeat\n") === true, "partial has not what the tool had written");
      check(error.partial.limits.length > 0, "partial has no receipts");
      await pause(watchMs);
      same(events.events.length - count, 0, "the events after the run was over");
    },
  },
  {
    id: "abort-sleeping",
    title: "an abort ends a tool that waits",
    run: (bench) => abortAfterStart(bench, { do: "sleep", ms: 60_000 }),
  },
  {
    id: "abort-computing",
    title: "an abort ends a tool that computes and calls nobody",
    requires: interrupts,
    run: (bench) => abortAfterStart(bench, { do: "spin" }),
  },
  {
    id: "abort-ends-tool",
    title: "when an aborted run has settled, its tool no longer runs",
    requires: leavesTrace,
    async run(bench) {
      const trace = await bench.trace();
      await abortAtThirdWrite(bench, { do: "heartbeat", trace: trace.path });
      check((await trace.size()) > 0, "the tool left no trace while it ran");
      await assertStill(trace);
    },
  },
  {
    id: "abort-after-end",
    title: "an abort after the end changes nothing",
    async run(bench) {
      const controller = new AbortController();
      const runtime = await bench.open();
      const result = await bench.succeed({ do: "write", text: "done" }, { runtime, call: { signal: controller.signal } });
      controller.abort();
      await pause(50);
      same(result.stdout, "done", "stdout");
      await bench.succeed({ do: "echo" }, { runtime });
    },
  },
  {
    id: "abort-one-of-many",
    title: "an abort ends its own run and no other",
    async run(bench) {
      const runtime = await bench.open();
      const input = steps({ do: "sleep", ms: 500 }, { do: "write", text: "whole" });
      const others = Promise.all([bench.succeed(input, { runtime }), bench.succeed(input, { runtime })]);
      const [results] = await Promise.all([others, abortAfterStart(bench, { do: "sleep", ms: 60_000 }, runtime)]);
      same(
        results.map(({ stdout }) => stdout),
        ["whole", "whole"],
        "stdout of the others",
      );
    },
  },
  {
    id: "deadline-passed",
    title: "a deadline ends the run with ERR_DEADLINE",
    async run(bench) {
      const error = await bench.ended("ERR_DEADLINE", { do: "sleep", ms: 60_000 }, { call: { deadline: "2s" }, afterMs: 2000 });
      check(error.partial !== undefined, "the error has no partial");
    },
  },
  {
    id: "deadline-kept",
    title: "a deadline that is kept changes nothing",
    async run(bench) {
      await bench.succeed({ do: "echo" }, { call: { deadline: "20s" } });
    },
  },
  {
    id: "run-leaves-nothing",
    title: "what a tool leaves behind in its process group ends with it",
    requires: both(takes("command"), leavesTrace),
    async run(bench) {
      const trace = await bench.trace();
      await bench.succeed({ do: "orphan", trace: trace.path, ms: 400 });
      check((await trace.size()) > 0, "the process that the tool started left no trace");
      await assertStill(trace);
    },
  },
];
