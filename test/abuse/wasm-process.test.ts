import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  createRuntime,
  ToolRuntimeError,
  type Backend,
  type Call,
  type Limit,
  type Runtime,
  type Task,
  type Tool,
} from "../../src/index.ts";
import { wasm } from "../../src/wasm/index.ts";
import { ProcessDriver } from "../../src/wasm/process/driver.ts";
import { readOptions, type ProcessOptions } from "../../src/wasm/process/options.ts";
import { echoTool } from "../edge/support.ts";
import { childrenOf } from "../wasm-process/support.ts";
import { bundleChild, type BundledChild } from "./bundled-child.ts";
import { callingModule, manyFunctions } from "./modules/binary.ts";
import { defineAttack } from "./wasm-target.ts";

/** What a process of its own holds beside what every profile does: ends that no checkpoint reaches, and runs that share one. */
interface Bench {
  readonly runtime: Runtime;
  readonly backend: Backend;
  readonly child: BundledChild;
  readonly pids: () => number[];
}

async function openBench(program: URL | undefined, options: ProcessOptions): Promise<Bench> {
  const child = await bundleChild(program);
  const driver = new ProcessDriver(readOptions({ ...options, entry: child.entry }));
  const backend = wasm({ process: driver });
  return { runtime: createRuntime({ backend, security: "standard" }), backend, child, pids: () => childrenOf(driver.childPrefix) };
}

async function closeBench({ runtime, backend, child, pids }: Bench): Promise<void> {
  await runtime.close();
  await backend.close();
  child.remove();
  expect(pids()).toEqual([]);
}

/** Runs what does not end well. */
async function errorOf({ runtime }: Bench, task: Task, call: Call = {}): Promise<ToolRuntimeError> {
  const outcome: unknown = await runtime.execute({ security: "hardened", ...task }, call).catch((error: unknown) => error);
  if (outcome instanceof ToolRuntimeError) return outcome;
  throw new Error(`it came to ${JSON.stringify(outcome)}`);
}

function receiptOf({ partial }: ToolRuntimeError, limit: Limit) {
  return partial?.limits.find((one) => one.limit === limit);
}

/** Calls of another tool, in this process and in one of its own, until the work is done; each is well and takes at most two seconds. */
async function besides(bench: Bench, victim: Tool, work: Promise<unknown>): Promise<void> {
  let isOver = false;
  const over = work.finally(() => (isOver = true)).catch(() => undefined);
  do {
    for (const security of ["standard", "hardened"] as const) {
      const before = performance.now();
      const { stdout, backend } = await bench.runtime.execute({ tool: victim, input: { security }, security });
      expect([stdout, backend.isolation]).toEqual([JSON.stringify({ security }), security === "hardened" ? "wasm-process" : "wasm"]);
      expect(performance.now() - before).toBeLessThan(2000);
    }
    await sleep(20);
  } while (!isOver);
  await over;
}

/** How many processes of these are not gone yet; a zombie has no command line. */
function alive(pids: readonly number[]): number[] {
  return pids.filter((pid) => existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`).length > 0);
}

describe("a guest in a host function that never comes back", () => {
  let bench: Bench;
  let stuck: Tool;
  let victim: Tool;
  beforeAll(async () => {
    bench = await openBench(new URL("programs/computing-child.ts", import.meta.url), { maxChildren: 3, spares: 0, idleMs: 60_000 });
    stuck = await defineAttack("stuck", callingModule([{ name: "random_get", args: [0, 16] }]));
    victim = await echoTool("victim");
    await bench.runtime.execute({ tool: victim, security: "hardened" });
  });
  afterAll(() => closeBench(bench));

  test("A1, A7: is killed by SIGKILL at its wall limit, while other tools go on", async () => {
    const running = errorOf(bench, { tool: stuck, resources: { timeout: 300 } });
    await besides(bench, victim, running);
    const error = await running;
    expect(error).toMatchObject({ code: "ERR_LIMIT_TIMEOUT", started: true, details: { limit: "timeout", value: 300 } });
    expect(receiptOf(error, "timeout")).toMatchObject({ applied: 300, enforcedBy: "SIGKILL", hit: "yes" });
    // What only the process itself could have said is not made up.
    expect(receiptOf(error, "memory")).toMatchObject({ requested: 64 * 2 ** 20 });
    expect(receiptOf(error, "memory")?.peak).toBeUndefined();
    expect(bench.pids().length).toBe(1);
  });

  test("A1, A7: is killed by SIGKILL at its limit of processor time, which the kernel counts", async () => {
    const error = await errorOf(bench, { tool: stuck, resources: { cpuTime: 150, timeout: 5000 } });
    expect(error).toMatchObject({ code: "ERR_LIMIT_CPU_TIME", started: true });
    const receipt = receiptOf(error, "cpuTime");
    expect(receipt).toMatchObject({ applied: 150, enforcedBy: "SIGKILL", hit: "yes" });
    expect(receipt?.peak).toBeGreaterThanOrEqual(150);
    expect(bench.pids().length).toBe(1);
  });

  test("A1, A7: is killed when its caller leaves, and the run settles when the process is gone", async () => {
    const before = bench.pids();
    const controller = new AbortController();
    let during: number[] = [];
    const onEvent = (): void => {
      during = bench.pids().filter((pid) => !before.includes(pid));
      setTimeout(() => controller.abort(), 50);
    };
    const error = await errorOf(bench, { tool: stuck }, { signal: controller.signal, onEvent });
    expect([error.code, during.length, alive(during)]).toEqual(["ERR_ABORTED", 1, []]);
  });
});

describe("runs that share a process, or never get one", () => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await openBench(undefined, { maxChildren: 2, spares: 1 });
  });
  afterAll(() => closeBench(bench));

  test("B11: find nothing of the run before", async () => {
    const tool = await defineAttack("leftovers", readFileSync(new URL("modules/leftovers.wasm", import.meta.url)));
    const seen = new Set<number>();
    for (let count = 0; count < 20; count++) {
      const { exitCode } = await bench.runtime.execute({ tool, security: "hardened" });
      expect(exitCode).toBe(0);
      for (const pid of bench.pids()) seen.add(pid);
    }
    // One for the tool, and the spare that waits.
    expect(seen.size).toBeLessThanOrEqual(2);
  });

  test("A11: a process that compiles is killed with its caller's deadline, while other tools go on", async () => {
    const victim = await echoTool("victim");
    const tool = await defineAttack("large", manyFunctions(4000, 400));
    // What is made of it once is kept; compiled it is in each process anew.
    await bench.runtime.execute({ tool, security: "hardened" });
    const others = [...new Set(bench.pids())];
    for (let count = 0; count < 3; count++) {
      const other = await defineAttack(`other-${count}`, callingModule([]));
      await bench.runtime.execute({ tool: other, security: "hardened" });
    }
    expect(alive(others).length).toBeLessThanOrEqual(1);
    const running = errorOf(bench, { tool }, { deadline: 80 });
    await besides(bench, victim, running);
    expect(await running).toMatchObject({ code: "ERR_DEADLINE", started: false });
    expect(bench.pids().length).toBeLessThanOrEqual(3);
  });
});
