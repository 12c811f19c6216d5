import type { Backend, Capability, Plan, Probe, RunIo, RunReport } from "../../src/backend.ts";
import { ToolRuntimeError, type ErrorCode } from "../../src/errors.ts";
import { defineTool, type ManifestInput, type Tool } from "../../src/tool.ts";

/** A manifest that is right, with some keys changed. */
export function manifestWith(changes: Partial<ManifestInput> = {}): ManifestInput {
  return { name: "sample", version: "1.0.0", description: "Does nothing", inputSchema: true, artifacts: { wasm: {} }, ...changes };
}

export function toolWith(changes: Partial<ManifestInput> = {}): Promise<Tool> {
  return defineTool(manifestWith(changes));
}

/** Settles with the error that the work ends with; fails where it ends well, or with another kind of error. */
export async function errorOf(work: Promise<unknown> | (() => unknown)): Promise<ToolRuntimeError> {
  try {
    await (typeof work === "function" ? work() : work);
  } catch (error) {
    if (error instanceof ToolRuntimeError) return error;
    throw new Error("the work ended with an error of another kind", { cause: error });
  }
  throw new Error("the work ended well");
}

export async function codeOf(work: Promise<unknown> | (() => unknown)): Promise<ErrorCode> {
  return (await errorOf(work)).code;
}

export const fullCapability: Capability = {
  artifact: "wasm",
  profiles: ["dev", "standard", "hardened"],
  isolation: "vm",
  limits: {
    timeout: { by: "host" },
    cpuTime: { by: "host" },
    cpu: { by: "host" },
    memory: { by: "host" },
    disk: { by: "host" },
    processes: { by: "host" },
  },
  network: "none",
};

export function readyProbe(...capabilities: Capability[]): Probe {
  return { status: "ready", capabilities, validForMs: Number.POSITIVE_INFINITY };
}

export const exitedWell: RunReport = { exit: { kind: "exited", code: 0 }, readings: [] };

interface Script {
  readonly probe?: () => Promise<Probe>;
  readonly prepare?: (plan: Plan, signal: AbortSignal) => Promise<void> | void;
  readonly run?: (plan: Plan, io: RunIo) => Promise<RunReport>;
}

/** A backend that does what a test says: it stands at the contract, so that the runtime above it is the thing under test. */
export function scriptedBackend({ probe, prepare, run }: Script = {}): Backend & { readonly runs: RunIo[]; readonly plans: Plan[] } {
  const runs: RunIo[] = [];
  const plans: Plan[] = [];
  return {
    name: "scripted",
    runs,
    plans,
    probe: probe ?? (async () => readyProbe(fullCapability)),
    prepare: prepare ?? (() => undefined),
    run: async (plan, io) => {
      runs.push(io);
      plans.push(plan);
      if (run !== undefined) return run(plan, io);
      io.started();
      return exitedWell;
    },
    leftovers: async () => [],
    reap: async () => ({ removed: [] }),
    close: async () => undefined,
  };
}

/** Waits for the run to be ended from outside, then settles as a backend must. */
export function untilAborted(io: RunIo): Promise<RunReport> {
  io.started();
  return new Promise((resolve) => io.signal.addEventListener("abort", () => resolve(exitedWell), { once: true }));
}

export function textStream(...chunks: string[]): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(encoder.encode(chunk));
      controller.close();
    },
  });
}
