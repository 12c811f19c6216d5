import {
  enforcedValue,
  type Backend,
  type Capability,
  type Plan,
  type Probe,
  type ReapReport,
  type RunIo,
  type RunReport,
} from "../backend.ts";
import { ToolRuntimeError } from "../errors.ts";
import { profiles } from "../profile.ts";
import type { ReadyArtifact } from "./artifact.ts";
import { Engine, type EngineOptions } from "./engine.ts";
import { pageBytes } from "./ingest.ts";
import { findJspi } from "./jspi.ts";

/**
 * Nothing in this capability ends a module that does not come back: `timeout` and `cpuTime` are absent, and a profile that
 * demands them is refused.
 */
const inline: Capability = {
  artifact: "wasm",
  profiles: ["dev", "standard"],
  isolation: "wasm",
  limits: {
    memory: { by: "module", min: pageBytes },
    disk: { by: "virtual file system" },
    processes: { by: "module" },
    cpu: { by: "module", min: 1 },
  },
  network: "none",
};

/** What the engine can do does not change while it runs. */
const dayMs = 86_400_000;

export class WasmBackend implements Backend {
  readonly name = "wasm";
  readonly #engine: Engine;

  constructor(options: EngineOptions) {
    this.#engine = new Engine(options);
  }

  async probe(): Promise<Probe> {
    if (findJspi() === undefined) {
      return {
        status: "unavailable",
        reason: "this engine has no JavaScript Promise Integration (WebAssembly.Suspending)",
        advice: "use Node 24 or later, Bun, Deno or workerd",
        capabilities: [],
        validForMs: dayMs,
      };
    }
    const notes = ["Nothing ends a module that loops without calling the host: wall and CPU time are not enforced"];
    return { status: "ready", capabilities: [inline], notes, validForMs: dayMs };
  }

  async #prepare(plan: Plan): Promise<void> {
    await this.#engine.ready(plan);
  }

  prepare(plan: Plan): Promise<void> | void {
    return this.#engine.peek(plan) === undefined ? this.#prepare(plan) : undefined;
  }

  async run(plan: Plan, io: RunIo): Promise<RunReport> {
    const ready: ReadyArtifact = this.#engine.peek(plan) ?? (await this.#engine.ready(plan));
    const memoryBytes = enforcedValue(plan, "memory") ?? profiles[plan.profile].defaults.memory;
    if (memoryBytes === undefined)
      throw new ToolRuntimeError("ERR_INTERNAL", 'Cannot run a task on backend "wasm": its plan has no memory limit');
    const diskBytes = enforcedValue(plan, "disk") ?? memoryBytes;
    return ready.run({ io, memoryBytes, diskBytes: Math.min(diskBytes, Math.floor(memoryBytes / 2)) });
  }

  /** A run leaves nothing outside this process. */
  async reap(): Promise<ReapReport> {
    return { removed: [] };
  }

  async close(): Promise<void> {
    this.#engine.close();
  }
}
