import type { Attacker } from "../wasm-attacker.ts";

/** One row of the corpus, or a part of one, as it is run under every profile. */
export interface WasmCase {
  /** As in the corpus. */
  readonly id: string;
  readonly title: string;
  /** Attacks, and throws where anything else comes of it than what must. */
  attack(attacker: Attacker): Promise<void>;
}

export const MiB = 2 ** 20;

/** The same value under each of some names. */
export function each<T>(names: Iterable<string>, value: T): Record<string, T> {
  return Object.fromEntries([...names].map((name) => [name, value]));
}
