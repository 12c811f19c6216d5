import { ToolRuntimeError } from "../errors.ts";
import type { Claim, IdempotencyRequest, Outcome } from "../store.ts";

interface Held {
  readonly fingerprint: string;
  readonly executionId: string;
  readonly done: Promise<Outcome>;
  outcome: Outcome | undefined;
  /** By `performance.now()`; absent while the run goes on. */
  expiresAt: number | undefined;
}

/** Idempotency keys with their answers, bounded in number, size and age. A key whose run goes on is never dropped. */
export class IdempotencyTable {
  readonly #held = new Map<string, Held>();
  /** Keys in the order in which they were settled. */
  readonly #settled = new Set<string>();
  readonly #maxKeys: number;
  readonly #keepMs: number;
  readonly #maxCharacters: number;
  #characters = 0;

  constructor(maxKeys: number, keepMs: number, maxCharacters: number) {
    this.#maxKeys = maxKeys;
    this.#keepMs = keepMs;
    this.#maxCharacters = maxCharacters;
  }

  claim({ tenant, key, fingerprint, executionId }: IdempotencyRequest): Claim {
    const name = `${tenant}\n${key}`;
    this.#evict();
    const held = this.#held.get(name);
    if (held === undefined) return this.#hold(name, fingerprint, executionId);
    if (held.fingerprint !== fingerprint) return { kind: "conflict" };
    return {
      kind: "repeat",
      executionId: held.executionId,
      ...(held.outcome === undefined ? {} : { outcome: held.outcome }),
      wait: (signal) => untilSettled(held.done, signal),
    };
  }

  #hold(name: string, fingerprint: string, executionId: string): Claim {
    const { promise: done, resolve } = Promise.withResolvers<Outcome>();
    const held: Held = { fingerprint, executionId, done, outcome: undefined, expiresAt: undefined };
    this.#held.set(name, held);
    return {
      kind: "first",
      keep: (outcome) => {
        held.outcome = outcome;
        held.expiresAt = performance.now() + this.#keepMs;
        this.#settled.add(name);
        this.#characters += outcome.json.length;
        resolve(outcome);
        this.#evict();
      },
      release: (outcome) => {
        this.#held.delete(name);
        resolve(outcome);
      },
    };
  }

  #evict(): void {
    const now = performance.now();
    for (const name of this.#settled) {
      const held = this.#held.get(name);
      const isOver = this.#held.size > this.#maxKeys || this.#characters > this.#maxCharacters;
      if (!isOver && (held?.expiresAt ?? 0) > now) return;
      this.#characters -= held?.outcome?.json.length ?? 0;
      this.#held.delete(name);
      this.#settled.delete(name);
    }
  }
}

/** Waits for an answer as long as somebody wants it. @throws `ERR_ABORTED`. */
export function untilSettled(done: Promise<Outcome>, signal: AbortSignal): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(new ToolRuntimeError("ERR_ABORTED", "Cannot wait for the answer: the caller has gone"));
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    void done.then(resolve).finally(() => signal.removeEventListener("abort", stop));
  });
}
