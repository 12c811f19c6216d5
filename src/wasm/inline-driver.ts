import { enforcedValue, type Plan, type ReapReport, type RunIo, type RunReport } from "../backend.ts";
import { ToolRuntimeError } from "../errors.ts";
import { Gate } from "../internal/gate.ts";
import { profiles } from "../profile.ts";
import type { DriverProbe, WasmDriver } from "./driver.ts";
import { Engine, type EngineOptions } from "./engine.ts";
import { findJspi } from "./jspi.ts";
import { inlineBudgetMs, Slices } from "./slices.ts";
import { surroundingsOf } from "./surroundings.ts";
import { Turns, type EventLoopTurn } from "./turns.ts";

export interface InlineOptions extends EngineOptions {
  /** Instances alive at once; as many runs again may wait. An engine's address space has room for some ten thousand. */
  readonly maxInstances: number;
  /** The longest that a guest may hold the event loop where nothing can suspend it, in ms. */
  readonly maxInlineMs: number;
  /** How the event loop is given a turn, where the engine's own way is not to be used. */
  readonly nextTurn?: EventLoopTurn | undefined;
}

/** The options of the driver in this process, complete. */
export function inlineOptions(options: Partial<InlineOptions>): InlineOptions {
  return {
    maxArtifactBytes: options.maxArtifactBytes ?? 64 * 2 ** 20,
    maxCacheBytes: options.maxCacheBytes ?? 512 * 2 ** 20,
    maxPoolBytes: options.maxPoolBytes ?? 64 * 2 ** 20,
    maxCompileMs: options.maxCompileMs ?? 10_000,
    maxInstances: options.maxInstances ?? 1000,
    maxInlineMs: options.maxInlineMs ?? inlineBudgetMs,
    components: options.components,
    offload: options.offload,
    nextTurn: options.nextTurn,
  };
}

/** Runs modules in this process, in slices on its event loop. */
export class InlineDriver implements WasmDriver {
  readonly isolation = "wasm";
  readonly #engine: Engine;
  readonly #turns: Turns;
  readonly #gate: Gate;
  readonly #inlineMs: number;

  constructor({ maxInstances, maxInlineMs, nextTurn, ...options }: InlineOptions) {
    this.#inlineMs = maxInlineMs;
    this.#engine = new Engine(options);
    this.#turns = new Turns(nextTurn);
    this.#gate = new Gate({ running: maxInstances, queued: maxInstances });
  }

  async probe(): Promise<DriverProbe> {
    if (findJspi() !== undefined) return { status: "ready" };
    return {
      status: "unavailable",
      reason: "this engine has no JavaScript Promise Integration (WebAssembly.Suspending)",
      advice: "use Node 24 or later, Bun, Deno or workerd",
    };
  }

  async #prepare(plan: Plan): Promise<void> {
    await this.#engine.ready(plan);
  }

  prepare(plan: Plan): Promise<void> | void {
    return this.#engine.peek(plan) === undefined ? this.#prepare(plan) : undefined;
  }

  async run(plan: Plan, io: RunIo): Promise<RunReport> {
    const ready = this.#engine.peek(plan) ?? (await this.#engine.ready(plan));
    const found = surroundingsOf(plan);
    const surroundings = found instanceof Promise ? await found : found;
    const entered = this.#gate.enter(io.signal);
    if (entered !== undefined) await entered;
    try {
      const slices = new Slices(io, this.#turns, {
        timeoutMs: enforcedValue(plan, "timeout"),
        cpuMs: enforcedValue(plan, "cpuTime"),
        fuel: enforcedValue(plan, "fuel"),
        inlineMs: this.#inlineMs,
      });
      const report = await ready.run({
        io,
        ...bytesOf(plan),
        slices,
        surroundings,
        clock: surroundings.clockFor(() => slices.meter.used),
      });
      if (slices.end?.limit === "inline") throw inlineError(plan, slices.end.observed, this.#inlineMs);
      return slices.complete(report);
    } finally {
      this.#gate.leave();
    }
  }

  /** A run leaves nothing outside this process. */
  async reap(): Promise<ReapReport> {
    return { removed: [] };
  }

  async close(): Promise<void> {
    this.#engine.close();
  }
}

function bytesOf(plan: Plan): { readonly memoryBytes: number; readonly diskBytes: number } {
  const memoryBytes = enforcedValue(plan, "memory") ?? profiles[plan.profile].defaults.memory;
  if (memoryBytes === undefined)
    throw new ToolRuntimeError("ERR_INTERNAL", 'Cannot run a task on backend "wasm": its plan has no memory limit');
  const diskBytes = enforcedValue(plan, "disk") ?? memoryBytes;
  return { memoryBytes, diskBytes: Math.min(diskBytes, Math.floor(memoryBytes / 2)) };
}

function inlineError({ tool }: Plan, observedMs: number, mostMs: number): ToolRuntimeError {
  const { name } = tool.manifest;
  return new ToolRuntimeError(
    "ERR_LIMIT_INLINE",
    `Cannot go on with the tool "${name}" in the serving process: it held the event loop for ${Math.round(observedMs)} ms where nothing can suspend it, the most is ${mostMs} ms; run it in profile "hardened", which gives it a process of its own`,
    { started: true, details: { tool: name, limit: "inline", value: mostMs, observed: observedMs } },
  );
}
