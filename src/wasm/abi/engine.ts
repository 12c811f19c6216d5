import type { Backend, Plan } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import type { Tool } from "../../tool.ts";
import { engineArtifactOf } from "../agreed.ts";
import type { ReadyArtifact } from "../artifact.ts";
import { WasmBackend } from "../backend.ts";
import { findBuilt } from "../find-built.ts";
import { InlineDriver, inlineOptions, type ArtifactSource, type InlineOptions } from "../inline-driver.ts";
import { MemoryPool } from "../memory-pool.ts";
import { readyArtifact, type AbiRunner } from "./runner.ts";

export type BuiltWasmOptions = Partial<Pick<InlineOptions, "maxInlineMs" | "maxInstances" | "maxPoolBytes" | "nextTurn">>;

/** The engine with the ABIs that it is given, for tools that were built with it. Takes no bytes, and has nothing that checks and meters them. */
export function builtEngine(abis: readonly AbiRunner[], options: BuiltWasmOptions = {}): Backend {
  const runsSnippets = abis.some(({ abi }) => abi === "javascript");
  const complete = inlineOptions({ ...options, ...(runsSnippets ? { javascript: "built" } : {}) });
  return new WasmBackend([new InlineDriver(complete, new BuiltArtifacts(abis, complete.maxPoolBytes))]);
}

/** Finds what was built of a tool. */
class BuiltArtifacts implements ArtifactSource {
  readonly #abis: readonly AbiRunner[];
  readonly #pool: MemoryPool;
  #ready = new WeakMap<Tool, Map<string, ReadyArtifact>>();

  constructor(abis: readonly AbiRunner[], maxPoolBytes: number) {
    this.#abis = abis;
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
    const ready = readyArtifact(this.#abis, built, { tool: name, pool: this.#pool });
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
