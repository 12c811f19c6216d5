import type { Plan } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { engineArtifactOf } from "../agreed.ts";
import { WeightedCache } from "../cache.ts";
import type { ComponentTranspiler } from "../component/transpiler.ts";
import type { Offload } from "../ingest.ts";
import type { JavaScriptEngine } from "../javascript/engine.ts";
import { makeArtifact, type MadeArtifact } from "../made.ts";

export interface MakingSettings {
  readonly maxArtifactBytes: number;
  /** What made artifacts may take that wait for the next child, in bytes. */
  readonly maxMadeBytes: number;
  readonly components: ComponentTranspiler | undefined;
  readonly javascript: JavaScriptEngine;
  readonly offload: Offload | undefined;
  readonly prepareTimeoutMs: number;
}

interface Kept {
  readonly made: MadeArtifact;
  readonly weight: number;
}

/** Makes artifacts once, for every child that is to have them. */
export class Makings {
  readonly #settings: MakingSettings;
  readonly #kept: WeightedCache<Kept>;

  constructor(settings: MakingSettings) {
    this.#settings = settings;
    this.#kept = new WeightedCache(settings.maxMadeBytes);
  }

  /**
   * @param key of the tool and the kind of artifact
   * @throws what `makeArtifact` throws, `ERR_LIMIT_COMPILE` where it takes too long: it goes on for whoever asks next.
   */
  async get(key: string, plan: Plan, signal: AbortSignal): Promise<MadeArtifact> {
    const { prepareTimeoutMs } = this.#settings;
    const own = `${key} ${plan.deterministic === undefined ? "plain" : "deterministic"}`;
    const making = this.#kept.get(own, () => this.#make(plan));
    const stop = Promise.withResolvers<never>();
    const onAbort = (): void => stop.reject(signal.reason);
    const timer = setTimeout(() => stop.reject(prepareError(plan.tool.manifest.name, prepareTimeoutMs)), prepareTimeoutMs);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      signal.throwIfAborted();
      return (await Promise.race([making, stop.promise])).made;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      // Whoever gave up does not hear of how it ends.
      making.catch(() => undefined);
    }
  }

  async #make({ tool, artifact, deterministic }: Plan): Promise<Kept> {
    const { maxArtifactBytes, components, javascript, offload } = this.#settings;
    const options = { maxArtifactBytes, components, javascript, offload };
    const made = await makeArtifact(tool, {
      ...options,
      artifact: engineArtifactOf({ artifact }),
      deterministic: deterministic !== undefined,
    });
    const { modules, script = "" } = made;
    return { made, weight: Object.values(modules).reduce((sum, { length }) => sum + length, script.length * 2) };
  }

  clear(): void {
    this.#kept.clear();
  }
}

export function prepareError(tool: string, timeoutMs: number): ToolRuntimeError {
  return new ToolRuntimeError(
    "ERR_LIMIT_COMPILE",
    `Cannot get the WebAssembly of the tool "${tool}" ready: it takes longer than ${timeoutMs} ms`,
    { details: { limit: "compile", value: timeoutMs } },
  );
}
