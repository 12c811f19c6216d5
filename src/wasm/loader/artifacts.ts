import type { Plan } from "../../backend.ts";
import { sha256 } from "../../internal/digest.ts";
import { canonicalJson } from "../../internal/json.ts";
import type { Digest, Tool } from "../../tool.ts";
import { WeightedCache } from "../cache.ts";
import type { ComponentTranspiler } from "../component/transpiler.ts";
import type { JavaScriptEngine } from "../javascript/engine.ts";
import { engineArtifactOf, type EngineArtifact } from "../agreed.ts";
import { makeArtifact, type MadeArtifact } from "../made.ts";

export interface ArtifactOptions {
  readonly maxArtifactBytes: number;
  readonly maxCacheBytes: number;
  readonly components: ComponentTranspiler | undefined;
  readonly javascript: JavaScriptEngine | undefined;
}

/** An artifact that can be loaded into an isolate. */
export interface KeptArtifact {
  readonly made: MadeArtifact;
  /** Of all that is in it. */
  readonly digest: Digest;
  readonly weight: number;
}

const headWeight = 4096;

/** Artifacts that were made of tools' bytes, by digest. */
export class Artifacts {
  readonly #options: ArtifactOptions;
  readonly #kept: WeightedCache<KeptArtifact>;
  readonly #unnamed = new WeakMap<Tool, string>();
  #lastUnnamed = 0;

  constructor(options: ArtifactOptions) {
    this.#options = options;
    this.#kept = new WeightedCache(options.maxCacheBytes);
  }

  peek(plan: Plan): KeptArtifact | undefined {
    return this.#kept.peek(this.#keyOf(plan));
  }

  /**
   * Whoever asks while it is being made makes it too: on workerd all that a request waits for dies with it, and who shared in it
   * would wait for ever.
   *
   * @throws what `makeArtifact` throws.
   */
  async get(plan: Plan): Promise<KeptArtifact> {
    const known = this.peek(plan);
    if (known !== undefined) return known;
    const { maxArtifactBytes, components, javascript } = this.#options;
    const [artifact, deterministic] = [engineArtifactOf(plan), plan.deterministic !== undefined];
    const made = await makeArtifact(plan.tool, { artifact, deterministic, maxArtifactBytes, components, javascript });
    const kept = { made, digest: await digestOf(made), weight: weightOf(made) };
    return this.#kept.get(this.#keyOf(plan), async () => kept);
  }

  /** A digest says which bytes only where the manifest names theirs; a tool without that shares nothing with another. */
  #keyOf(plan: Plan): string {
    const kind = engineArtifactOf(plan);
    return `${this.#toolKey(plan.tool, kind)} ${kind} ${plan.deterministic !== undefined}`;
  }

  #toolKey(tool: Tool, kind: EngineArtifact): string {
    if (tool.manifest.artifacts[kind]?.digest !== undefined) return tool.digest;
    const known = this.#unnamed.get(tool) ?? `tool ${++this.#lastUnnamed}`;
    this.#unnamed.set(tool, known);
    return known;
  }

  clear(): void {
    this.#kept.clear();
  }
}

async function digestOf({ modules, script = "", ...head }: MadeArtifact): Promise<Digest> {
  const digests: Record<string, string> = Object.create(null);
  for (const [name, bytes] of Object.entries(modules)) digests[name] = await sha256(bytes);
  return sha256(canonicalJson({ ...head, modules: digests, script: await sha256(script) }));
}

function weightOf({ modules, script = "" }: MadeArtifact): number {
  return Object.values(modules).reduce((sum, { length }) => sum + length, headWeight + script.length * 2);
}
