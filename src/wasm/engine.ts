import type { Plan } from "../backend.ts";
import type { Tool } from "../tool.ts";
import { allAbis } from "./abi/all.ts";
import { readyArtifact } from "./abi/runner.ts";
import { engineArtifactOf, type EngineArtifact } from "./agreed.ts";
import type { ReadyArtifact } from "./artifact.ts";
import { WeightedCache } from "./cache.ts";
import type { ComponentTranspiler } from "./component/transpiler.ts";
import type { Offload } from "./ingest.ts";
import type { JavaScriptEngine } from "./javascript/engine.ts";
import { compileArtifact } from "./compile.ts";
import { makeArtifact, type MadeArtifact } from "./made.ts";
import { MemoryPool } from "./memory-pool.ts";
import { findBuilt } from "./find-built.ts";

export interface EngineOptions {
  /** The largest artifact, in bytes. Default 64 MiB. */
  readonly maxArtifactBytes: number;
  /** What compiled artifacts may take, in bytes by estimate. Default 512 MiB. */
  readonly maxCacheBytes: number;
  /** What memories may take that wait for the next run, in bytes. Default 64 MiB. */
  readonly maxPoolBytes: number;
  /** How long compiling one module may take, in ms. Default 10,000. */
  readonly maxCompileMs: number;
  /** Makes components ready: `jcoTranspiler()` on Node. Without it they are refused. */
  readonly components?: ComponentTranspiler | undefined;
  /** Runs snippets: `quickJs()` on Node; or `"built"` where all of them were built ahead of time. Without it they are refused. */
  readonly javascript?: JavaScriptEngine | "built" | undefined;
  /** Rewrites large modules off the event loop: `threadOffload()` on Node. Without it they are rewritten where they are. */
  readonly offload?: Offload | undefined;
}

interface Kept {
  readonly artifact: ReadyArtifact;
  /** What it costs to keep, in bytes. */
  readonly weight: number;
}

/** What an artifact costs whose modules somebody else keeps. */
const builtWeight = 4096;

/** Everything that makes artifacts ready, once per tool and digest. */
export class Engine {
  readonly #options: EngineOptions;
  readonly #ready: WeightedCache<Kept>;
  readonly #pool: MemoryPool;
  readonly #abis = allAbis();
  readonly #compiled = new WeakMap<Uint8Array, Promise<WebAssembly.Module>>();
  readonly #unnamed = new WeakMap<Tool, string>();
  #lastUnnamed = 0;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#ready = new WeightedCache(options.maxCacheBytes);
    this.#pool = new MemoryPool(options.maxPoolBytes);
  }

  peek(plan: Plan): ReadyArtifact | undefined {
    return this.#ready.peek(this.#keyOf(plan))?.artifact;
  }

  /** A digest says which bytes only where the manifest names theirs; a tool without that shares nothing with another. */
  #keyOf(plan: Plan): string {
    const kind = engineArtifactOf(plan);
    const key = `${this.#toolKey(plan.tool, kind)} ${kind}`;
    return plan.deterministic === undefined ? key : `${key} deterministic`;
  }

  #toolKey(tool: Tool, kind: EngineArtifact): string {
    if (tool.manifest.artifacts[kind]?.digest !== undefined) return tool.digest;
    const known = this.#unnamed.get(tool);
    if (known !== undefined) return known;
    const key = `tool ${++this.#lastUnnamed}`;
    this.#unnamed.set(tool, key);
    return key;
  }

  /**
   * @throws `ERR_ARTIFACT_INVALID`, `ERR_ARTIFACT_TOO_LARGE`, `ERR_ARTIFACT_UNSUPPORTED`, `ERR_DIGEST_MISMATCH`, `ERR_IMPORT_DENIED`,
   * `ERR_LIMIT_COMPILE`.
   */
  async ready(plan: Plan): Promise<ReadyArtifact> {
    const { artifact } = await this.#ready.get(this.#keyOf(plan), () => this.#make(plan));
    return artifact;
  }

  async #make(plan: Plan): Promise<Kept> {
    const { tool } = plan;
    const { name } = tool.manifest;
    const { maxCompileMs, javascript, ...options } = this.#options;
    const [artifact, deterministic] = [engineArtifactOf(plan), plan.deterministic !== undefined];
    const parts = { tool: name, pool: this.#pool };
    const built = findBuilt(tool, artifact, deterministic);
    if (built !== undefined) return { artifact: readyArtifact(this.#abis, built, parts), weight: builtWeight };
    const made = await makeArtifact(tool, {
      ...options,
      artifact,
      deterministic,
      javascript: javascript === "built" ? undefined : javascript,
    });
    const compiled = await compileArtifact(made, { tool: name, maxCompileMs, known: this.#compiled });
    return { artifact: readyArtifact(this.#abis, compiled, parts), weight: weightOf(made) };
  }

  close(): void {
    this.#ready.clear();
  }
}

/** Machine code is several times the size of the bytes it comes from; of a script there is its text and what it became. */
function weightOf({ abi, facts, modules, script = "" }: MadeArtifact): number {
  // QuickJS is there once for all snippets.
  if (abi === "javascript") return builtWeight + JSON.stringify(facts).length * 4;
  return Object.values(modules).reduce((sum, { length }) => sum + length * 4, script.length * 4);
}
