import * as fc from "fast-check";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import type { RunIo, RunReport } from "../../src/backend.ts";
import { ToolRuntimeError } from "../../src/errors.ts";
import { createRouter, type MapAnswer, type MapOptions, type Router } from "../../src/router.ts";
import { createRuntime, type Concurrency } from "../../src/runtime.ts";
import type { ManifestInput, Tool } from "../../src/tool.ts";
import { codeOf, exitedWell, fullCapability, readyProbe, scriptedBackend, toolWith, untilAborted } from "./support.ts";

setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");
const counting = { ...fullCapability, limits: { ...fullCapability.limits, fuel: { by: "counter" } } };

interface Opened {
  readonly router: Router;
  readonly tool: Tool;
  readonly inputs: () => unknown[];
  /** The most that ran at once. */
  readonly peak: () => number;
  readonly running: () => number;
  /** Lets go of what the backend has noted. */
  readonly forget: () => void;
  readonly fuelLimits: () => (number | undefined)[];
}

interface Guest {
  readonly input: { readonly n: number };
  readonly io: RunIo;
}

/** A router over a real runtime whose backend does what a test says. */
async function open(
  guest: (guest: Guest) => Promise<RunReport>,
  options: { readonly concurrency?: Concurrency; readonly manifest?: Partial<ManifestInput> } = {},
): Promise<Opened> {
  const inputs: unknown[] = [];
  let [running, peak] = [0, 0];
  const backend = scriptedBackend({
    probe: async () => readyProbe(counting),
    run: async (_plan, io) => {
      const input = JSON.parse(new TextDecoder().decode(io.stdin)) as { n: number };
      inputs.push(input);
      peak = Math.max(peak, ++running);
      try {
        return await guest({ input, io });
      } finally {
        running--;
      }
    },
  });
  const { concurrency } = options;
  const router = createRouter({
    runtimes: [createRuntime({ backend, security: "dev", ...(concurrency === undefined ? {} : { concurrency }) })],
  });
  return {
    router,
    tool: await toolWith(options.manifest),
    inputs: () => inputs,
    peak: () => peak,
    running: () => running,
    forget: () => {
      inputs.length = 0;
      backend.runs.length = 0;
      backend.plans.length = 0;
    },
    fuelLimits: () => backend.plans.map(({ limits }) => limits.find(({ limit }) => limit === "fuel")?.value),
  };
}

const well = async ({ io }: Guest): Promise<RunReport> => {
  io.started();
  return exitedWell;
};

function usingFuel(peak: number): RunReport {
  return { ...exitedWell, readings: [{ limit: "fuel", peak, hit: "no" }] };
}

function* numbers(count: number): Generator<{ n: number }> {
  for (let n = 0; n < count; n++) yield { n };
}

async function all({ router, tool }: Opened, inputs: Parameters<Router["map"]>[1], options?: MapOptions): Promise<MapAnswer[]> {
  const answers: MapAnswer[] = [];
  for await (const answer of router.map(tool, inputs, options)) answers.push(answer);
  return answers;
}

const indexesOf = (answers: readonly MapAnswer[]): number[] => answers.map(({ index }) => index).toSorted((a, b) => a - b);
const codes = (answers: readonly MapAnswer[]): string[] => answers.map((answer) => (answer.status === "error" ? answer.error.code : "OK"));
const budgets = (answers: readonly MapAnswer[]): unknown[] =>
  answers.flatMap((answer) => (answer.status === "error" ? [answer.error.details["budget"]] : []));
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test("answers come as they are ready, or in order where that is asked for", async () => {
  const slowFirst = async (guest: Guest): Promise<RunReport> => {
    if (guest.input.n === 0) await pause(50);
    return well(guest);
  };
  const asReady = await all(await open(slowFirst), numbers(6), { concurrency: 3 });
  expect(asReady[0]?.index).not.toBe(0);
  expect(indexesOf(asReady)).toEqual([0, 1, 2, 3, 4, 5]);
  const inOrder = await all(await open(slowFirst), numbers(20), { concurrency: 3, ordered: true });
  expect(inOrder.map(({ index }) => index)).toEqual([...Array(20).keys()]);
});

test("no more run at once than was asked for, and nothing is read far ahead of the reader", async () => {
  const opened = await open(async (guest) => {
    await pause(1);
    return well(guest);
  });
  let [read, taken, ahead] = [0, 0, 0];
  const source = async function* (): AsyncGenerator<{ n: number }> {
    for (const input of numbers(100)) {
      ahead = Math.max(ahead, ++read - taken);
      yield input;
    }
  };
  for await (const _ of opened.router.map(opened.tool, source(), { concurrency: 4 })) {
    taken++;
    if (taken === 10) await pause(50);
  }
  expect([taken, opened.peak()]).toEqual([100, 4]);
  expect(ahead).toBeLessThanOrEqual(9);
});

test("a slow head of an ordered batch holds back what would have to be kept for it", async () => {
  const head = Promise.withResolvers<void>();
  const opened = await open(async (guest) => {
    if (guest.input.n === 0) await head.promise;
    return well(guest);
  });
  const answers = all(opened, numbers(100), { concurrency: 4, ordered: true });
  await pause(50);
  expect(opened.inputs().length).toBeLessThanOrEqual(16);
  head.resolve();
  expect(await answers).toHaveLength(100);
});

test("items bring files and a key along", async () => {
  const opened = await open(async ({ io }) => {
    io.started();
    return exitedWell;
  });
  const items = [{ input: { n: 1 }, key: "a", files: { "a.txt": "x" } }, { key: "b" }, 3];
  const answers = await all(opened, items, { as: "items", concurrency: 1 });
  expect(answers.map(({ key, status }) => [key, status])).toEqual([
    ["a", "result"],
    ["b", "result"],
    [undefined, "error"],
  ]);
  expect(opened.inputs()).toEqual([{ n: 1 }, {}]);
  expect(codes(answers)[2]).toBe("ERR_INPUT_INVALID");
});

test("so many failures end it: what runs is let end, the rest is answered", async () => {
  const opened = await open(async ({ input, io }) => {
    io.started();
    if (input.n % 2 === 1) return { ...exitedWell, exit: { kind: "exited", code: 3 } };
    await pause(5);
    return exitedWell;
  });
  const answers = await all(opened, numbers(50), { concurrency: 2, budget: { failures: 3 } });
  expect(indexesOf(answers)).toEqual([...Array(50).keys()]);
  const spent = answers.filter(({ status }) => status === "error");
  expect(new Set(budgets(spent))).toEqual(new Set(["failures"]));
  expect(spent.length).toBe(50 - opened.inputs().length);
  expect(opened.inputs().length).toBeLessThan(10);
});

test("errors are failures, and what waits for a place when the budget is used up does not start", async () => {
  const failing = await open(async ({ io }) => {
    io.started();
    throw new ToolRuntimeError("ERR_BACKEND_FAILED", "Cannot go on", { started: true });
  });
  const errors = await all(failing, numbers(5), { concurrency: 1, budget: { failures: 2 } });
  expect(codes(errors).toSorted()).toEqual([
    ...Array<string>(2).fill("ERR_BACKEND_FAILED"),
    ...Array<string>(3).fill("ERR_BUDGET_EXHAUSTED"),
  ]);
  const exiting = async ({ io }: Guest): Promise<RunReport> => {
    io.started();
    await pause(50);
    return { ...exitedWell, exit: { kind: "exited", code: 1 } };
  };
  const crowded = await open(exiting, { concurrency: { running: 1, queued: 0 } });
  const answers = await all(crowded, numbers(4), { concurrency: 2, budget: { failures: 1 } });
  expect(codes(answers)).toEqual(["OK", ...Array<string>(3).fill("ERR_BUDGET_EXHAUSTED")]);
  expect(crowded.inputs()).toHaveLength(1);
});

test("time ends what runs, and says that it had started", async () => {
  const opened = await open(({ input, io }) => (input.n < 2 ? well({ input, io }) : untilAborted(io)));
  const answers = await all(opened, numbers(10), { concurrency: 2, budget: { timeout: 200 }, ordered: true });
  expect(codes(answers)).toEqual(["OK", "OK", ...Array<string>(8).fill("ERR_BUDGET_EXHAUSTED")]);
  expect(new Set(budgets(answers))).toEqual(new Set(["timeout"]));
  const started = answers.flatMap((answer) => (answer.status === "error" ? [answer.error.started] : []));
  expect(started).toEqual([true, true, ...Array<boolean>(6).fill(false)]);
  expect(opened.running()).toBe(0);
});

test("what is left of the fuel caps each run, and raises no limit of the tool", async () => {
  const opened = await open(async ({ io }) => {
    io.started();
    return usingFuel(40);
  });
  const answers = await all(opened, numbers(5), { concurrency: 1, budget: { fuel: 100 } });
  expect(codes(answers)).toEqual(["OK", "OK", "OK", "ERR_BUDGET_EXHAUSTED", "ERR_BUDGET_EXHAUSTED"]);
  expect(opened.fuelLimits()).toEqual([100, 60, 20]);
  const limited = await open(async ({ io }) => (io.started(), usingFuel(40)), { manifest: { resources: { fuel: 50 } } });
  await all(limited, numbers(2), { concurrency: 1, budget: { fuel: 1000 } });
  expect(limited.fuelLimits()).toEqual([50, 50]);
});

test("a run that the last of the fuel did not do for is the budget's, one at its own limit is not", async () => {
  const hitting = async ({ io }: Guest): Promise<RunReport> => {
    io.started();
    return { ...exitedWell, limitHit: { limit: "fuel" }, readings: [{ limit: "fuel", peak: 60, hit: "yes" }] };
  };
  const own = await all(await open(hitting, { manifest: { resources: { fuel: 60 } } }), numbers(1), { budget: { fuel: 1000 } });
  const capped = await all(await open(hitting), numbers(1), { budget: { fuel: 60 } });
  expect([codes(own), codes(capped)]).toEqual([["ERR_LIMIT_FUEL"], ["ERR_BUDGET_EXHAUSTED"]]);
  expect(capped.map((answer) => (answer.status === "error" ? answer.error.started : undefined))).toEqual([true]);
});

test("a full queue is waited out", async () => {
  const opened = await open(
    async (guest) => {
      await pause(20);
      return well(guest);
    },
    { concurrency: { running: 1, queued: 0 } },
  );
  const answers = await all(opened, numbers(3), { concurrency: 2 });
  expect(codes(answers)).toEqual(["OK", "OK", "OK"]);
}, 30_000);

test("what failed by the platform's fault is tried again only where it may be", async () => {
  const failing =
    (seen: Set<number>) =>
    async (guest: Guest): Promise<RunReport> => {
      guest.io.started();
      if (seen.has(guest.input.n)) return exitedWell;
      seen.add(guest.input.n);
      throw new ToolRuntimeError("ERR_BACKEND_FAILED", "Cannot go on: the machine is gone", { started: true });
    };
  const once = await all(await open(failing(new Set())), numbers(2));
  const twice = await all(await open(failing(new Set()), { manifest: { annotations: { idempotentHint: true } } }), numbers(2));
  expect([codes(once), codes(twice)]).toEqual([
    ["ERR_BACKEND_FAILED", "ERR_BACKEND_FAILED"],
    ["OK", "OK"],
  ]);
});

test("leaving the loop ends what runs, waits for it and lets go of the inputs", async () => {
  const opened = await open(({ input, io }) => (input.n === 0 ? well({ input, io }) : untilAborted(io)));
  let isReturned = false;
  const source = async function* (): AsyncGenerator<{ n: number }> {
    try {
      yield* numbers(1000);
    } finally {
      isReturned = true;
    }
  };
  for await (const _ of opened.router.map(opened.tool, source(), { concurrency: 5 })) break;
  expect([opened.running(), isReturned]).toEqual([0, true]);
});

test("inputs that fail end the batch after the answers of those before", async () => {
  const opened = await open(well);
  const source = async function* (): AsyncGenerator<{ n: number }> {
    yield* numbers(3);
    throw new Error("the disk is gone");
  };
  const answers: MapAnswer[] = [];
  const reading = async (): Promise<void> => {
    for await (const answer of opened.router.map(opened.tool, source())) answers.push(answer);
  };
  await expect(reading()).rejects.toThrow("the disk is gone");
  expect(indexesOf(answers)).toEqual([0, 1, 2]);
});

test("a source that never gives its next input does not hold an abort", async () => {
  const opened = await open(well);
  const ending = new AbortController();
  const source = async function* (): AsyncGenerator<{ n: number }> {
    yield* numbers(1);
    await new Promise<never>(() => undefined);
  };
  const reading = all(opened, source(), { signal: ending.signal });
  setTimeout(() => ending.abort(), 20);
  expect(await codeOf(reading)).toBe("ERR_ABORTED");
});

test("options that cannot be used are refused", async () => {
  const opened = await open(well);
  for (const options of [{ concurrency: 0 }, { concurrency: 1.5 }, { budget: { failures: 0 } }, { budget: { timeout: "soon" } }]) {
    expect(await codeOf(all(opened, numbers(1), options))).toBe("ERR_ARGUMENT_INVALID");
  }
});

const always = ["ERR_BUDGET_EXHAUSTED", "ERR_ABORTED"];
const mayEndWith = {
  well: ["OK", ...always],
  slow: ["OK", ...always],
  exits: ["OK", ...always],
  hangs: always,
  fails: ["ERR_BACKEND_FAILED", ...always],
  refused: ["ERR_BACKEND_UNAVAILABLE", ...always],
};

test("each input that is read has exactly one terminal answer, whatever happens", async () => {
  const script = fc.record({
    behaviours: fc.array(
      fc.constantFrom("well" as const, "fails" as const, "exits" as const, "hangs" as const, "slow" as const, "refused" as const),
      { maxLength: 30 },
    ),
    concurrency: fc.integer({ min: 1, max: 6 }),
    ordered: fc.boolean(),
    isAsync: fc.boolean(),
    failures: fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined }),
    fuel: fc.option(fc.integer({ min: 1, max: 60 }), { nil: undefined }),
    timeout: fc.integer({ min: 1, max: 30 }),
    abortAfter: fc.option(fc.integer({ min: 0, max: 20 }), { nil: undefined }),
  });
  await fc.assert(
    fc.asyncProperty(script, async ({ behaviours, concurrency, ordered, isAsync, failures, fuel, timeout, abortAfter }) => {
      const runs = new Map<number, number>();
      const opened = await open(async ({ input, io }) => {
        runs.set(input.n, (runs.get(input.n) ?? 0) + 1);
        const behaviour = behaviours[input.n];
        if (behaviour === "refused") throw new ToolRuntimeError("ERR_BACKEND_UNAVAILABLE", "Cannot start it");
        io.started();
        if (behaviour === "fails") throw new ToolRuntimeError("ERR_BACKEND_FAILED", "Cannot go on", { started: true });
        if (behaviour === "hangs") return untilAborted(io);
        if (behaviour === "slow") await pause(3);
        return behaviour === "exits" ? { ...usingFuel(5), exit: { kind: "exited", code: 1 } } : usingFuel(5);
      });
      let read = 0;
      const source = function* (): Generator<{ n: number }> {
        for (const input of numbers(behaviours.length)) {
          read++;
          yield input;
        }
      };
      const later = async function* (): AsyncGenerator<{ n: number }> {
        yield* source();
      };
      const ending = new AbortController();
      const timer = abortAfter === undefined ? undefined : setTimeout(() => ending.abort(), abortAfter);
      const budget = { timeout, ...(failures === undefined ? {} : { failures }), ...(fuel === undefined ? {} : { fuel }) };
      const answers: MapAnswer[] = [];
      let thrown: unknown;
      try {
        const options = { concurrency, ordered, budget, retries: 0, signal: ending.signal };
        for await (const answer of opened.router.map(opened.tool, isAsync ? later() : source(), options)) answers.push(answer);
      } catch (error) {
        thrown = error;
      }
      clearTimeout(timer);
      expect(opened.running()).toBe(0);
      expect(indexesOf(answers)).toEqual([...Array(answers.length).keys()]);
      expect([...runs.values()].every((times) => times === 1)).toBe(true);
      // What began has an answer, and what was read has one too: an abort may leave one input on its way.
      for (const index of runs.keys()) expect(answers.some((answer) => answer.index === index)).toBe(true);
      const isAborted = thrown instanceof ToolRuntimeError && thrown.code === "ERR_ABORTED" && ending.signal.aborted;
      expect(thrown === undefined ? [answers.length, read] : isAborted).toEqual(
        thrown === undefined ? [behaviours.length, behaviours.length] : true,
      );
      const order = answers.map(({ index }) => index);
      expect(order).toEqual(ordered ? indexesOf(answers) : order);
      for (const answer of answers)
        expect(mayEndWith[behaviours[answer.index] ?? "well"]).toContain(answer.status === "result" ? "OK" : answer.error.code);
    }),
    { numRuns: 150 },
  );
}, 60_000);

test("a hundred thousand inputs take no memory that lasts", async () => {
  const opened = await open(well);
  const seen = new Uint8Array(100_000);
  const source = async function* (): AsyncGenerator<{ n: number; text: string }> {
    for (const { n } of numbers(100_000)) yield { n, text: "x".repeat(100) };
  };
  const heap: number[] = [];
  let count = 0;
  for await (const { index } of opened.router.map(opened.tool, source())) {
    seen[index] = (seen[index] ?? 0) + 1;
    if (++count % 20_000 !== 0) continue;
    opened.forget();
    collectGarbage();
    heap.push(process.memoryUsage().heapUsed / 2 ** 20);
  }
  expect(seen.every((times) => times === 1)).toBe(true);
  const [first = 0] = heap;
  console.log(`The heap at each 20,000 inputs: ${heap.map((size) => size.toFixed(0)).join(", ")} MiB`);
  expect(Math.max(...heap) - first).toBeLessThan(16);
}, 120_000);
