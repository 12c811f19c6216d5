import { check, rejection, same, within } from "../assert.ts";
import type { Bench } from "../bench.ts";
import { leavesTrace, type ConformanceCase } from "../case.ts";
import type { ProbeAction } from "../probe.ts";
import { assertStill } from "./abort.ts";

/** Closes a runtime while its tool runs. */
async function closeDuring(bench: Bench, input: ProbeAction): Promise<void> {
  const runtime = await bench.open();
  const beating = Promise.withResolvers<void>();
  const run = bench.run(input, { runtime, call: { onEvent: ({ type }) => (type === "stdout" ? beating.resolve() : undefined) } });
  const ended = rejection(run, { code: "ERR_CLOSED", started: true });
  // Where the run ends early, that is what the case fails with.
  await within(10_000, "the tool's first write", Promise.race([beating.promise, ended]));
  await within(bench.promptMs, "close", runtime.close());
  await within(100, "the run, once close has settled,", ended);
}

export const lifecycleCases: readonly ConformanceCase[] = [
  {
    id: "close-ends-running",
    title: "close ends what runs with ERR_CLOSED and waits for it",
    run: (bench) => closeDuring(bench, { do: "heartbeat" }),
  },
  {
    id: "close-ends-tool",
    title: "when close has settled, no tool runs",
    requires: leavesTrace,
    async run(bench) {
      const trace = await bench.trace();
      await closeDuring(bench, { do: "heartbeat", trace: trace.path });
      await assertStill(trace);
    },
  },
  {
    id: "close-refuses-later",
    title: "a closed runtime takes no task, and can be closed again",
    async run(bench) {
      const runtime = await bench.open();
      await bench.succeed({ do: "echo" }, { runtime });
      await runtime.close();
      await bench.refuse("ERR_CLOSED", { do: "echo" }, { runtime });
      await within(1000, "the second close", runtime.close());
    },
  },
  {
    id: "close-by-disposal",
    title: "a runtime is closed when it is disposed of",
    async run(bench) {
      const runtime = await bench.open();
      await runtime[Symbol.asyncDispose]();
      await bench.refuse("ERR_CLOSED", { do: "echo" }, { runtime });
    },
  },
  {
    id: "id-given",
    title: "the id that a call gives is the result's and the error's",
    async run(bench) {
      const runtime = await bench.open();
      const { id } = await bench.succeed({ do: "echo" }, { runtime, call: { id: "my-own-1" } });
      same(id, "my-own-1", "the result's id");
      const call = { id: "my-own-2", signal: AbortSignal.abort() };
      same((await bench.refuse("ERR_ABORTED", { do: "echo" }, { runtime, call })).id, "my-own-2", "the error's id");
    },
  },
  {
    id: "id-unique",
    title: "ids that nobody gave are all different",
    async run(bench) {
      const runtime = await bench.open();
      const results = await Promise.all(Array.from({ length: 8 }, () => bench.succeed({ do: "echo" }, { runtime })));
      const ids = new Set(results.map(({ id }) => id));
      same(ids.size, 8, "how many different ids eight runs have");
      check(!ids.has(""), "an id is empty");
    },
  },
];
