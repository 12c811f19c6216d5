import { describe, expect, it } from "vitest";
import type { Plan, RunIo, RunReport } from "../../src/backend.ts";
import { createRuntime, ToolRuntimeError, type Backend, type LimitReceipt, type RuntimeOptions } from "../../src/index.ts";
import { errorOf, exitedWell, scriptedBackend, toolWith } from "../unit/support.ts";

const receipts: readonly LimitReceipt[] = [
  { limit: "timeout", requested: 100, applied: 99, unit: "ms", enforcedBy: "there", source: "its timer", peak: 5, hit: "no" },
  { limit: "output", requested: 2000, applied: 1999, unit: "bytes", enforcedBy: "there", hit: "no" },
];
const delegated = {
  limits: receipts,
  backend: { name: "theirs", version: "9", artifact: "wasm", profile: "hardened", isolation: "vm", network: "none", via: "a" },
  durationMs: 4321,
} as const;

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A runtime over a backend that delegates and does with each run what a test says. */
function open(run: (plan: Plan, io: RunIo) => Promise<RunReport>, options: Partial<RuntimeOptions> = {}) {
  const backend: Backend = { ...scriptedBackend({ run }), delegates: true };
  return createRuntime({ security: "dev", ...options, backend });
}

async function finish(_plan: Plan, io: RunIo): Promise<RunReport> {
  io.started();
  return { ...exitedWell, delegated };
}

describe("a runtime over a backend that delegates", () => {
  it("shows what the other runtime says of limits, backend and time as it came", async () => {
    const result = await open(finish).execute({ tool: await toolWith() }, { id: "mine" });
    expect(result).toMatchObject({ id: "mine", duration: 4321, backend: delegated.backend });
    expect(result.limits).toEqual(receipts);
  });

  it("adds what was cut before the task was sent", async () => {
    const task = { tool: await toolWith(), resources: { output: 9000 } };
    const { limits } = await open(finish, { maxima: { output: 2000 } }).execute(task);
    expect(limits).toEqual([receipts[0], { ...receipts[1], clampedFrom: 9000 }]);
  });

  it("waits beyond the timeout, which is held elsewhere, and not for ever", async () => {
    const slow = async (plan: Plan, io: RunIo): Promise<RunReport> => {
      io.started();
      await new Promise((resolve) => setTimeout(resolve, 300));
      return finish(plan, io);
    };
    const task = { tool: await toolWith(), resources: { timeout: 100 } };
    expect((await open(slow).execute(task)).exitCode).toBe(0);
    const never = async (_plan: Plan, io: RunIo): Promise<RunReport> => {
      io.started();
      await new Promise((resolve) => io.signal.addEventListener("abort", resolve));
      throw new ToolRuntimeError("ERR_BACKEND_FAILED", "Cannot", { partial: { ...written, limits: receipts } });
    };
    const error = await errorOf(open(never).execute(task));
    expect(error).toMatchObject({ code: "ERR_LIMIT_TIMEOUT", details: { value: 100 } });
    // What ended it here is said from here, all else from there.
    expect(error.partial?.limits.map(({ limit, source, hit }) => [limit, source, hit])).toEqual([
      ["timeout", "timer", "yes"],
      ["output", undefined, "no"],
    ]);
  });

  const written = { stdout: "theirs", stderr: "theirs", truncated: { stdout: true, stderr: true } };

  it("joins an error's receipts with what was written here", async () => {
    const over: readonly LimitReceipt[] = [{ limit: "output", requested: 5, applied: 5, unit: "bytes", enforcedBy: "there", hit: "yes" }];
    for (const [limits, isCut] of [
      [receipts, false],
      [over, true],
    ] as const) {
      const run = async (_plan: Plan, io: RunIo): Promise<RunReport> => {
        io.started();
        await io.stdout(bytes("ours"));
        const details = { limit: "fuel" };
        throw new ToolRuntimeError("ERR_LIMIT_FUEL", "Cannot", { started: true, details, partial: { ...written, limits } });
      };
      const error = await errorOf(open(run).execute({ tool: await toolWith() }, { id: "mine" }));
      expect(error).toMatchObject({ code: "ERR_LIMIT_FUEL", id: "mine", backend: "scripted", details: { limit: "fuel" } });
      expect(error.partial).toEqual({ stdout: "ours", stderr: "", truncated: { stdout: isCut, stderr: isCut }, limits });
    }
  });

  it("says that a tool may have started where the backend says so", async () => {
    const lost = async (): Promise<RunReport> => {
      throw new ToolRuntimeError("ERR_CONNECTION_FAILED", "Cannot", { started: true });
    };
    expect(await errorOf(open(lost).execute({ tool: await toolWith() }))).toMatchObject({ code: "ERR_CONNECTION_FAILED", started: true });
    const controller = new AbortController();
    const aborted = async (): Promise<RunReport> => {
      controller.abort();
      return lost();
    };
    const call = { signal: controller.signal };
    expect(await errorOf(open(aborted).execute({ tool: await toolWith() }, call))).toMatchObject({ code: "ERR_ABORTED", started: true });
  });

  it("hands on the names of secrets and asks nobody for them", async () => {
    let seen: Pick<RunIo, "env" | "secretNames"> | undefined;
    const asked: string[] = [];
    const runtime = open((plan, io) => finish(plan, (seen = io) && io), { secrets: (name) => `${asked.push(name)}` });
    const tool = await toolWith({ permissions: { secrets: ["key"] } });
    await runtime.execute({ tool, env: { PLAIN: "1", KEY: { secret: "key" } } });
    expect(seen).toMatchObject({ env: { PLAIN: "1" }, secretNames: { KEY: "key" } });
    expect(Object.keys(seen?.env ?? {})).toEqual(["PLAIN"]);
    expect(asked).toEqual([]);
    expect((await errorOf(runtime.execute({ tool, env: { KEY: { secret: "other" } } }))).code).toBe("ERR_POLICY_DENIED");
    expect((await errorOf(runtime.execute({ tool, env: { "K Y": { secret: "key" } } }))).code).toBe("ERR_INPUT_INVALID");
  });

  it("tells what is left of the deadline", async () => {
    const left: (number | undefined)[] = [];
    const runtime = open((plan, io) => finish(plan, io).finally(() => left.push(io.remainingMs?.())));
    await runtime.execute({ tool: await toolWith() }, { deadline: "10s" });
    await runtime.execute({ tool: await toolWith() });
    expect(left[0]).toBeLessThanOrEqual(10_000);
    expect(left[0]).toBeGreaterThan(0);
    expect(left[1]).toBeUndefined();
  });
});
