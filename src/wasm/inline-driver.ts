import type { Leftover, Plan, ReapReport } from "../backend.ts";
import { Gate } from "../internal/gate.ts";
import type { DriverProbe, WasmDriver } from "./driver.ts";
import type { Engine, EngineOptions } from "./engine.ts";
import { findJspi } from "./jspi.ts";
import type { EngineArtifact } from "./agreed.ts";
import { runArtifact } from "./run-artifact.ts";
import { inlineBudgetMs } from "./slices.ts";
import { Turns, type EventLoopTurn } from "./turns.ts";
import type { WasmIo, WasmReport } from "./run-types.ts";

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
    javascript: options.javascript,
    offload: options.offload,
    nextTurn: options.nextTurn,
  };
}

/** What makes artifacts ready: an engine, or what knows only those that were built ahead of time. */
export type ArtifactSource = Pick<Engine, "peek" | "ready" | "close">;

/** Runs modules in this process, in slices on its event loop. */
export class InlineDriver implements WasmDriver {
  readonly isolation = "wasm";
  readonly #engine: ArtifactSource;
  readonly #turns: Turns;
  readonly #gate: Gate;
  readonly #inlineMs: number;
  readonly #artifacts: readonly EngineArtifact[];

  constructor({ maxInstances, maxInlineMs, nextTurn, javascript }: InlineOptions, artifacts: ArtifactSource) {
    this.#inlineMs = maxInlineMs;
    this.#artifacts = javascript === undefined ? ["wasm"] : ["wasm", "code"];
    this.#engine = artifacts;
    this.#turns = new Turns(nextTurn);
    this.#gate = new Gate({ running: maxInstances, queued: maxInstances });
  }

  async probe(): Promise<DriverProbe> {
    if (findJspi() !== undefined) return { status: "ready", artifacts: this.#artifacts };
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

  async run(plan: Plan, io: WasmIo): Promise<WasmReport> {
    const ready = this.#engine.peek(plan) ?? (await this.#engine.ready(plan));
    const entered = this.#gate.enter(io.signal);
    if (entered !== undefined) await entered;
    try {
      const tool = plan.tool.manifest.name;
      return await runArtifact(ready, { tool, plan, io, turns: this.#turns, inlineMs: this.#inlineMs });
    } finally {
      this.#gate.leave();
    }
  }

  /** A run leaves nothing outside this process. */
  async leftovers(): Promise<readonly Leftover[]> {
    return [];
  }

  async reap(): Promise<ReapReport> {
    return { removed: [] };
  }

  async close(): Promise<void> {
    this.#engine.close();
  }
}
