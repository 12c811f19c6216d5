import { ToolRuntimeError } from "../errors.ts";
import type { Bounds } from "./binary.ts";

/**
 * Reads what was found out of an artifact when it was made: plain JSON that came from wherever the artifact did.
 *
 * @throws `ERR_ARTIFACT_UNSUPPORTED` for what is not there.
 */
export class FactReader {
  readonly #facts: Readonly<Record<string, unknown>>;
  readonly #tool: string;

  constructor(facts: Readonly<Record<string, unknown>>, tool: string) {
    this.#facts = facts;
    this.#tool = tool;
  }

  /** The error for a part of the artifact that is not there. */
  missing(part: string): ToolRuntimeError {
    return new ToolRuntimeError(
      "ERR_ARTIFACT_UNSUPPORTED",
      `Cannot use the built artifact of the tool "${this.#tool}": its part "${part}" is missing or of another kind; build it again with toolruntime build`,
      { details: { tool: this.#tool, part } },
    );
  }

  #refuse(key: string): never {
    throw this.missing(key);
  }

  text(key: string): string {
    const value = this.#facts[key];
    return typeof value === "string" ? value : this.#refuse(key);
  }

  flag(key: string): boolean {
    const value = this.#facts[key];
    return typeof value === "boolean" ? value : this.#refuse(key);
  }

  texts(key: string): readonly string[] {
    const value = this.#facts[key];
    return Array.isArray(value) && value.every((item) => typeof item === "string") ? value : this.#refuse(key);
  }

  /** Of a memory, in pages; `null` is none. */
  bounds(key: string): Bounds | undefined {
    const value = this.#facts[key];
    if (value === null) return undefined;
    return isBounds(value) ? value : this.#refuse(key);
  }

  /** Bounds by name. */
  boundsByName(key: string): ReadonlyMap<string, Bounds> {
    const value = this.#facts[key];
    const found = new Map<string, Bounds>();
    if (typeof value !== "object" || value === null) return this.#refuse(key);
    for (const [name, bounds] of Object.entries(value)) found.set(name, isBounds(bounds) ? bounds : this.#refuse(key));
    return found;
  }
}

function isBounds(value: unknown): value is Bounds {
  if (typeof value !== "object" || value === null || !("min" in value) || !isPages(value.min)) return false;
  return !("max" in value) || isPages(value.max);
}

function isPages(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 65_536;
}
