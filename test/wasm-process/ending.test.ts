import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Call, LimitReceipt, Task, ToolRuntimeError } from "../../src/index.ts";
import { isGone, parseOwner } from "../../src/internal/node/process-owner.ts";
import { processDriver } from "../../src/wasm/process/index.ts";
import { namePrefix } from "../../src/wasm/process/reap.ts";
import { action, busiest, cgroupsOf, childrenOf, codeOf, errorOf, layout, openBench, signal, toolFrom, until } from "./support.ts";

const { runtime, pids } = openBench({ maxChildren: 2, spares: 0 });
const loop = await toolFrom("loop");

function receiptOf(error: Awaited<ReturnType<typeof errorOf>>, name: string): LimitReceipt | undefined {
  return error.partial?.limits.find(({ limit }) => limit === name);
}

/** An endless loop that has begun, and the process that runs it. */
async function startLoop(
  task: Partial<Task> = {},
  call: Call = {},
): Promise<{ readonly running: Promise<ToolRuntimeError>; readonly pid: number }> {
  const begun = Promise.withResolvers<void>();
  const running = errorOf(
    runtime.execute({ tool: loop, ...task }, { ...call, onEvent: ({ type }) => void (type === "started" && begun.resolve()) }),
  );
  await Promise.race([begun.promise, running]);
  return { running, pid: await busiest(pids()) };
}

describe("an endless loop", () => {
  it("ends with its wall time, and its process with it", async () => {
    const { running, pid } = await startLoop({ resources: { timeout: "250ms" } });
    const error = await running;
    expect(error.code).toBe("ERR_LIMIT_TIMEOUT");
    const receipt = receiptOf(error, "timeout");
    expect(receipt).toMatchObject({ applied: 250, hit: "yes" });
    expect(receipt?.peak).toBeLessThan(1000);
    expect(pids()).not.toContain(pid);
  });

  it("ends by SIGKILL where nothing in the process can end it", async () => {
    const { running, pid } = await startLoop({ resources: { timeout: "500ms" } });
    // From here on the process does not take a step: no checkpoint, no message, no signal but one.
    signal(pid, "SIGSTOP");
    const error = await running;
    expect(error.code).toBe("ERR_LIMIT_TIMEOUT");
    const receipt = receiptOf(error, "timeout");
    expect(receipt).toMatchObject({ enforcedBy: "SIGKILL", applied: 500, hit: "yes" });
    expect(receipt?.peak).toBeLessThan(1200);
    expect(pids()).not.toContain(pid);
  });

  it("ends with its processor time", async () => {
    const error = await errorOf(runtime.execute({ tool: loop, resources: { cpuTime: "150ms" } }));
    expect(error.code).toBe("ERR_LIMIT_CPU_TIME");
    const receipt = receiptOf(error, "cpuTime");
    expect(receipt).toMatchObject({ applied: 150, hit: "yes", peak: expect.any(Number) });
    expect(error.details["observed"]).toBeGreaterThanOrEqual(150);
  });

  it("ends when the caller leaves, and settles when the process is gone", async () => {
    const abort = new AbortController();
    const { running, pid } = await startLoop({}, { signal: abort.signal });
    abort.abort();
    expect((await running).code).toBe("ERR_ABORTED");
    expect(pids()).not.toContain(pid);
  });
});

describe("a process that is killed from outside in mid-run", () => {
  it("is a failure of the backend that says so, and the next run has another", async () => {
    const { running, pid } = await startLoop();
    signal(pid, "SIGKILL");
    const error = await running;
    expect([error.code, error.retryable, error.started]).toEqual(["ERR_BACKEND_FAILED", true, true]);
    expect((await runtime.execute(action({ do: "echo", text: "on" }))).exitCode).toBe(0);
  });

  it("is no loss where it only waited for a run", async () => {
    await runtime.execute(action({ do: "echo" }));
    for (const pid of pids()) signal(pid, "SIGKILL");
    const results = await Promise.all([1, 2].map(() => runtime.execute(action({ do: "echo" }))));
    expect(results.map(({ exitCode }) => exitCode)).toEqual([0, 0]);
  });
});

describe("memory", () => {
  it("is the guest's limit for a guest that asks for page after page", async () => {
    const { exitCode, limits } = await runtime.execute({ tool: await toolFrom("grow-memory"), resources: { memory: "8Mi" } });
    expect(exitCode).toBe(128);
    expect(limits.find(({ limit }) => limit === "memory")).toMatchObject({ applied: 8 * 2 ** 20, peak: 8 * 2 ** 20, hit: "yes" });
  });

  it.skipIf(layout?.some(({ controllers }) => controllers.includes("memory")) !== true)(
    "that the engine does not bound is the cgroup's to end",
    async () => {
      // Less than the engine itself needs: the kernel ends the process, and only this one.
      const { runtime: small } = openBench({ overheadBytes: 2 * 2 ** 20, spares: 0 });
      const error = await errorOf(small.execute({ ...action({ do: "allocate", bytes: 60 * 2 ** 20 }), resources: { memory: "64Mi" } }));
      expect(error.code).toBe("ERR_LIMIT_MEMORY");
      expect(receiptOf(error, "memory")).toMatchObject({ enforcedBy: "cgroup", hit: "yes", source: expect.stringContaining("memory") });
    },
  );
});

describe("close", () => {
  it("ends what runs and what waits, and leaves nothing", async () => {
    const fds = readdirSync("/proc/self/fd").length;
    const { driver, runtime: own, pids: ownPids } = openBench({ maxChildren: 1 });
    const begun = Promise.withResolvers<void>();
    const onEvent = (): void => begun.resolve();
    const running = [1, 2, 3].map(() => codeOf(own.execute({ tool: loop }, { onEvent })));
    await Promise.race([begun.promise, ...running]);
    await driver.close();
    expect(ownPids()).toEqual([]);
    expect(cgroupsOf(driver.childPrefix)).toEqual([]);
    const codes = await Promise.all(running);
    expect(codes).toEqual(["ERR_CLOSED", "ERR_CLOSED", "ERR_CLOSED"]);
    expect(await codeOf(own.execute({ tool: loop }))).toBe("ERR_CLOSED");
    await until("every descriptor is closed", () => readdirSync("/proc/self/fd").length <= fds);
  });
});

/** Starts a service that runs an endless loop, and waits until it does. */
async function startService(cgroup: "auto" | "none"): Promise<{ readonly service: ChildProcess; readonly prefix: string }> {
  const service = spawn(
    process.execPath,
    [new URL("service.ts", import.meta.url).pathname, new URL("../abuse/modules/loop.wasm", import.meta.url).pathname, cgroup],
    // As a service that was started with descriptors that nobody closed.
    { stdio: ["ignore", "pipe", "inherit", "pipe", "pipe", "pipe", "pipe", "pipe", "pipe", "pipe", "pipe", "pipe", "pipe"] },
  );
  onTestFinished(() => void service.kill("SIGKILL"));
  let text = "";
  service.stdout?.on("data", (chunk: Buffer) => (text += String(chunk)));
  await until("the service runs its tool", () => text.includes("\n"), 15_000);
  const [, prefix] = /^started (\S+)\n/.exec(text) ?? [];
  if (prefix === undefined) throw new Error(text);
  return { service, prefix };
}

describe("a service that has nothing more to do", () => {
  it("ends though it has not closed its driver, and its children with it", async () => {
    const file = new URL("../cli/guests/exit.wasm", import.meta.url).pathname;
    const service = spawn(process.execPath, [new URL("service.ts", import.meta.url).pathname, file], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    onTestFinished(() => void service.kill("SIGKILL"));
    let text = "";
    service.stdout.on("data", (chunk: Buffer) => (text += String(chunk)));
    const [code] = await once(service, "close");
    expect([code, text]).toEqual([0, expect.stringMatching(/^started /)]);
    const prefix = text.split(/\s/)[1] ?? "";
    await until("its children are gone", () => childrenOf(prefix).length === 0);
    await processDriver().reap();
    expect(cgroupsOf(prefix)).toEqual([]);
  });
});

describe("a service that is killed", () => {
  it("leaves no process behind, and its next start finds the cgroups", async () => {
    const { service, prefix } = await startService("auto");
    const children = childrenOf(prefix);
    expect(children.length).toBeGreaterThanOrEqual(1);
    // Two sockets of ours, its own pipes, and none of those that the service had inherited.
    for (const pid of children) {
      const open = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
      expect(open.filter((target) => target.startsWith("socket:"))).toHaveLength(2);
    }
    service.kill("SIGKILL");
    await once(service, "exit");
    const owner = parseOwner(prefix.slice(namePrefix.length));
    expect(owner === undefined || isGone(owner)).toBe(true);
    const driver = processDriver();
    onTestFinished(() => driver.close());
    const { removed } = await driver.reap();
    expect(childrenOf(prefix)).toEqual([]);
    expect(cgroupsOf(prefix)).toEqual([]);
    expect(removed.some((one) => one.startsWith(`cgroup ${prefix}`))).toBe(layout !== undefined);
  });

  it("has its children end by themselves where the kernel can be asked for it", async () => {
    const { service, prefix } = await startService("none");
    service.kill("SIGKILL");
    await once(service, "exit");
    const found = await openBench({ cgroup: "none", spares: 0 }).driver.probe();
    const notes = found.status === "ready" ? (found.notes ?? []).join() : "";
    const mayStay = notes.includes("it may outlive");
    if (!mayStay) await until("they are gone", () => childrenOf(prefix).length === 0);
    await processDriver().reap();
    expect(childrenOf(prefix)).toEqual([]);
  });
});
