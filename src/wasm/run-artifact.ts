import { enforcedValue, type Plan } from "../backend.ts";
import { ToolRuntimeError } from "../errors.ts";
import { profiles } from "../profile.ts";
import type { ReadyArtifact } from "./artifact.ts";
import { Slices } from "./slices.ts";
import { surroundingsOf } from "./surroundings.ts";
import type { Turns } from "./turns.ts";
import type { WasmIo, WasmReport } from "./run-types.ts";

/** What an artifact is run with, and by whom. */
export interface ArtifactRun {
  /** The tool's name, for messages. */
  readonly tool: string;
  readonly plan: Omit<Plan, "tool">;
  readonly io: WasmIo;
  /** Those of the event loop that this is on. */
  readonly turns: Turns;
  /** The longest that a guest may hold the event loop where nothing can suspend the guest, in ms. */
  readonly inlineMs: number;
}

/** Runs an artifact that is ready on this event loop, under the limits of a plan. @throws `ERR_LIMIT_INLINE`. */
export async function runArtifact(ready: ReadyArtifact, { tool, plan, io, turns, inlineMs }: ArtifactRun): Promise<WasmReport> {
  const found = surroundingsOf(plan);
  const surroundings = found instanceof Promise ? await found : found;
  const slices = new Slices(io, turns, {
    timeoutMs: enforcedValue(plan, "timeout"),
    cpuMs: enforcedValue(plan, "cpuTime"),
    fuel: enforcedValue(plan, "fuel"),
    inlineMs,
  });
  const report = await ready.run({
    io,
    ...bytesOf(plan),
    slices,
    surroundings,
    clock: surroundings.clockFor(() => slices.meter.used),
  });
  if (slices.end?.limit === "inline") throw inlineError(tool, slices.end.observed, inlineMs);
  return slices.complete(report);
}

function bytesOf(plan: Omit<Plan, "tool">): { readonly memoryBytes: number; readonly diskBytes: number } {
  const memoryBytes = enforcedValue(plan, "memory") ?? profiles[plan.profile].defaults.memory;
  if (memoryBytes === undefined)
    throw new ToolRuntimeError("ERR_INTERNAL", 'Cannot run a task on backend "wasm": its plan has no memory limit');
  const diskBytes = enforcedValue(plan, "disk") ?? memoryBytes;
  return { memoryBytes, diskBytes: Math.min(diskBytes, Math.floor(memoryBytes / 2)) };
}

function inlineError(tool: string, observedMs: number, mostMs: number): ToolRuntimeError {
  return new ToolRuntimeError(
    "ERR_LIMIT_INLINE",
    `Cannot go on with the tool "${tool}" in the serving process: it held the event loop for ${Math.round(observedMs)} ms where nothing can suspend it, the most is ${mostMs} ms; run it in profile "hardened", which gives it a process of its own`,
    { started: true, details: { tool, limit: "inline", value: mostMs, observed: observedMs } },
  );
}
