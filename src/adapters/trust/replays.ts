/** A token that was found good and is about to be taken. */
export interface SpentToken {
  readonly issuer: string;
  readonly id: string;
  /** How long it could still be taken, in ms from now. */
  readonly validForMs: number;
}

/** `first`: it is noted. `seen`: it was noted before. `full`: nothing more can be noted for this issuer for now. */
export type Spending = "first" | "seen" | "full";

/** Remembers tokens for as long as they could be taken a second time. */
export interface Replays {
  spend(token: SpentToken): Spending | Promise<Spending>;
}

export interface MemoryReplaysOptions {
  /** Tokens remembered at once for each issuer, about 100 bytes each. Default 200,000: some 2,000 requests a second. */
  readonly maxPerIssuer?: number;
}

/** What runs out within the same time is forgotten together. */
const bucketMs = 5000;

/**
 * In the memory of this process. What is full refuses: to forget a token that is still good would let it be used again.
 * Each issuer has room of its own, which no other can take.
 */
export function memoryReplays({ maxPerIssuer = 200_000 }: MemoryReplaysOptions = {}): Replays {
  const issuers = new Map<string, IssuerMemory>();
  return {
    spend({ issuer, id, validForMs }) {
      let memory = issuers.get(issuer);
      if (memory === undefined) {
        memory = new IssuerMemory(maxPerIssuer);
        issuers.set(issuer, memory);
      }
      // The machine's clock may be set back; this one is not.
      return memory.spend(id, validForMs, performance.now());
    },
  };
}

class IssuerMemory {
  readonly #max: number;
  readonly #seen = new Set<string>();
  /** Ids by the time from which they may be forgotten, divided by `bucketMs`. */
  readonly #expiring = new Map<number, string[]>();

  constructor(max: number) {
    this.#max = max;
  }

  spend(id: string, validForMs: number, nowMs: number): Spending {
    this.#forget(Math.floor(nowMs / bucketMs));
    if (this.#seen.has(id)) return "seen";
    if (this.#seen.size >= this.#max) return "full";
    this.#seen.add(id);
    const bucket = Math.floor((nowMs + validForMs) / bucketMs) + 1;
    const others = this.#expiring.get(bucket);
    if (others === undefined) this.#expiring.set(bucket, [id]);
    else others.push(id);
    return "first";
  }

  /** There are as many buckets as a token lives multiples of `bucketMs`. */
  #forget(current: number): void {
    for (const [bucket, ids] of this.#expiring) {
      if (bucket > current) continue;
      for (const id of ids) this.#seen.delete(id);
      this.#expiring.delete(bucket);
    }
  }
}
