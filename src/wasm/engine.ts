import type { Plan } from "../backend.ts";
import { ToolRuntimeError } from "../errors.ts";
import { sha256 } from "../internal/digest.ts";
import { assertDigest, type Tool, type WasmAbi } from "../tool.ts";
import type { ReadyArtifact } from "./artifact.ts";
import type { Making, Offload } from "./ingest.ts";
import { layerOf } from "./binary.ts";
import { WeightedCache } from "./cache.ts";
import { MemoryPool } from "./memory-pool.ts";
import { readyComponent } from "./component/component.ts";
import type { ComponentTranspiler } from "./component/transpiler.ts";
import { looksLikeExtism } from "./extism/detect.ts";
import { readyExtism } from "./extism/plugin.ts";
import { readyWasiCommand } from "./wasi-command.ts";

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
  /** Rewrites large modules off the event loop: `threadOffload()` on Node. Without it they are rewritten where they are. */
  readonly offload?: Offload | undefined;
}

/** Everything that makes artifacts ready, once per tool and digest. */
export class Engine {
  readonly #options: EngineOptions;
  readonly #ready: WeightedCache<ReadyArtifact>;
  readonly #pool: MemoryPool;
  readonly #unnamed = new WeakMap<Tool, string>();
  #lastUnnamed = 0;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#ready = new WeightedCache(options.maxCacheBytes);
    this.#pool = new MemoryPool(options.maxPoolBytes);
  }

  peek(plan: Plan): ReadyArtifact | undefined {
    return this.#ready.peek(this.#keyOf(plan));
  }

  /** A digest says which bytes only where the manifest names theirs; a tool without that shares nothing with another. */
  #keyOf({ tool, deterministic }: Plan): string {
    return deterministic === undefined ? this.#toolKey(tool) : `${this.#toolKey(tool)} deterministic`;
  }

  #toolKey(tool: Tool): string {
    if (tool.manifest.artifacts.wasm?.digest !== undefined) return tool.digest;
    const known = this.#unnamed.get(tool);
    if (known !== undefined) return known;
    const key = `tool ${++this.#lastUnnamed}`;
    this.#unnamed.set(tool, key);
    return key;
  }

  /** @throws `ERR_ARTIFACT_INVALID`, `ERR_ARTIFACT_TOO_LARGE`, `ERR_DIGEST_MISMATCH`, `ERR_IMPORT_DENIED`, `ERR_LIMIT_COMPILE`. */
  ready(plan: Plan): Promise<ReadyArtifact> {
    return this.#ready.get(this.#keyOf(plan), async () => this.#make(plan, await this.#load(plan.tool)));
  }

  async #load(tool: Tool): Promise<Uint8Array> {
    const { manifest, sources } = tool;
    const { maxArtifactBytes } = this.#options;
    if (sources.wasm === undefined)
      throw new ToolRuntimeError(
        "ERR_ARTIFACT_INVALID",
        `Cannot load the WebAssembly of the tool "${manifest.name}": its bytes were not given`,
      );
    const bytes = sources.wasm instanceof Uint8Array ? sources.wasm : await sources.wasm();
    if (bytes.length > maxArtifactBytes) {
      throw new ToolRuntimeError(
        "ERR_ARTIFACT_TOO_LARGE",
        `Cannot load the WebAssembly of the tool "${manifest.name}": it is ${bytes.length} bytes, the most is ${maxArtifactBytes}`,
        {
          details: { tool: manifest.name, size: bytes.length, maxArtifactBytes },
        },
      );
    }
    assertDigest(manifest.name, manifest.artifacts.wasm?.digest, await sha256(bytes));
    return bytes;
  }

  async #make({ tool, deterministic }: Plan, bytes: Uint8Array): Promise<ReadyArtifact> {
    const { name, artifacts } = tool.manifest;
    const { offload, maxCompileMs } = this.#options;
    const making: Making = { tool: name, deterministic: deterministic !== undefined, offload, maxCompileMs };
    const abi = artifacts.wasm?.abi ?? detectAbi(bytes);
    const entry = artifacts.wasm?.entry === undefined ? {} : { entry: artifacts.wasm.entry };
    if (abi === "extism") return readyExtism(bytes, making, entry);
    if (abi === "component") return readyComponent(bytes, making, { transpiler: this.#options.components, ...entry });
    return readyWasiCommand(bytes, making, this.#pool);
  }

  close(): void {
    this.#ready.clear();
  }
}

/** For manifests that do not say: a component by its first bytes, a plug-in by what it imports. */
function detectAbi(bytes: Uint8Array): WasmAbi {
  if (layerOf(bytes) === "component") return "component";
  return looksLikeExtism(bytes) ? "extism" : "wasi-p1";
}
