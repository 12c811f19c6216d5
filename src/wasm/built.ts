import type { Backend, Plan } from "../backend.ts";
import { ToolRuntimeError } from "../errors.ts";
import type { Tool } from "../tool.ts";
import type { ReadyArtifact } from "./artifact.ts";
import { WasmBackend } from "./backend.ts";
import { InlineDriver, inlineOptions, type ArtifactSource, type InlineOptions } from "./inline-driver.ts";
import { QuickJsImages } from "./javascript/image.ts";
import { engineArtifactOf } from "./agreed.ts";
import { MemoryPool } from "./memory-pool.ts";
import { findBuilt, readyArtifact } from "./ready.ts";

export type BuiltWasmOptions = Partial<Pick<InlineOptions, "maxInlineMs" | "maxInstances" | "maxPoolBytes" | "nextTurn">>;

/**
 * WebAssembly that `toolruntime build` made ready, run as `wasm()` runs it. Takes no bytes, and so carries nothing of what
 * checks and meters them: for platforms that compile nothing inside a request.
 */
export function builtWasm(options: BuiltWasmOptions = {}): Backend {
  const complete = inlineOptions({ ...options, javascript: "built" });
  return new WasmBackend([new InlineDriver(complete, new BuiltArtifacts(complete.maxPoolBytes))]);
}

/** Finds what was built of a tool. */
class BuiltArtifacts implements ArtifactSource {
  readonly #pool: MemoryPool;
  readonly #images = new QuickJsImages();
  #ready = new WeakMap<Tool, Map<string, ReadyArtifact>>();

  constructor(maxPoolBytes: number) {
    this.#pool = new MemoryPool(maxPoolBytes);
  }

  peek(plan: Plan): ReadyArtifact | undefined {
    return this.#ready.get(plan.tool)?.get(keyOf(plan));
  }

  /** @throws `ERR_ARTIFACT_UNSUPPORTED`, `ERR_DIGEST_MISMATCH`. */
  async ready(plan: Plan): Promise<ReadyArtifact> {
    const { tool, deterministic } = plan;
    const { name } = tool.manifest;
    const built = findBuilt(tool, engineArtifactOf(plan), deterministic !== undefined);
    if (built === undefined) {
      throw new ToolRuntimeError(
        "ERR_ARTIFACT_UNSUPPORTED",
        `Cannot run the tool "${name}": it was not built; build it with toolruntime build`,
        {
          details: { tool: name },
        },
      );
    }
    const ready = readyArtifact(built, { tool: name, pool: this.#pool, images: this.#images });
    const known = this.#ready.get(tool) ?? new Map<string, ReadyArtifact>();
    this.#ready.set(tool, known.set(keyOf(plan), ready));
    return ready;
  }

  close(): void {
    this.#ready = new WeakMap();
  }
}

function keyOf(plan: Plan): string {
  return `${engineArtifactOf(plan)} ${plan.deterministic === undefined ? "plain" : "deterministic"}`;
}
