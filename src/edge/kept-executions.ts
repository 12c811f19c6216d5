import { ToolRuntimeError } from "../errors.ts";
import { ExecutionTables, type LostExecution, type Sql } from "../internal/execution-tables.ts";
import { wasSentAway } from "../internal/execution-store.ts";
import type { ExecutionInfo, Outcome, StoredEvent } from "../store.ts";
import { outcomeOf } from "./reply.ts";

/** How much is kept, and for how long. */
export interface KeepingLimits {
  /** How many executions are remembered. Default 1000. */
  readonly maxExecutions?: number;
  /** The most for the answers and events of all, counted in characters; as much again for those of keys. Default 64 Mi. */
  readonly maxCharacters?: number;
  /** How long an execution is remembered after its end, in ms. Default 24 h. */
  readonly keepMs?: number;
  /** Default 10,000. */
  readonly maxIdempotencyKeys?: number;
  /** How long a key stands for its answer, in ms. Default 24 h. */
  readonly idempotencyMs?: number;
  /** Of how many blobs it is remembered who may read them. Default 100,000. */
  readonly maxBlobGrants?: number;
}

export interface KeyRequest {
  readonly key: string;
  readonly fingerprint: string;
  readonly executionId: string;
}

/** What came of asking for a key. */
export type KeyClaim =
  | { readonly kind: "first" }
  | { readonly kind: "conflict" }
  | { readonly kind: "repeat"; readonly executionId: string; readonly outcome?: Outcome };

const dayMs = 86_400_000;

/**
 * The rules of a store that keeps its executions in SQLite: what is forgotten and when, what a key stands for, and what
 * becomes of runs that nobody renews. Every method is one step.
 */
export class KeptExecutions {
  readonly tables: ExecutionTables;
  readonly limits: Required<KeepingLimits>;
  readonly #eventWaiters = new Map<string, Set<() => void>>();
  readonly #keyWaiters = new Map<string, Set<(outcome: Outcome) => void>>();

  constructor(sql: Sql, limits: KeepingLimits) {
    this.tables = new ExecutionTables(sql);
    this.tables.open();
    this.limits = {
      maxExecutions: limits.maxExecutions ?? 1000,
      maxCharacters: limits.maxCharacters ?? 64 * 2 ** 20,
      keepMs: limits.keepMs ?? dayMs,
      maxIdempotencyKeys: limits.maxIdempotencyKeys ?? 10_000,
      idempotencyMs: limits.idempotencyMs ?? dayMs,
      maxBlobGrants: limits.maxBlobGrants ?? 100_000,
    };
  }

  create(info: ExecutionInfo, leaseMs: number): void {
    this.tables.createExecution(info, leaseMs);
  }

  addEvents(id: string, events: readonly StoredEvent[]): void {
    this.tables.addEvents(id, events);
  }

  end(id: string, outcome: Outcome): void {
    const nowMs = Date.now();
    if (wasSentAway(outcome)) return this.tables.drop(id);
    this.tables.endExecution(id, outcome, nowMs);
    this.#evictExecutions(nowMs);
  }

  claim({ key, fingerprint, executionId }: KeyRequest, leaseMs: number): KeyClaim {
    this.#evictKeys(Date.now());
    const held = this.tables.key(key);
    if (held === undefined) {
      this.tables.holdKey(key, { fingerprint, executionId }, leaseMs);
      return { kind: "first" };
    }
    if (held.fingerprint !== fingerprint) return { kind: "conflict" };
    return { kind: "repeat", executionId: held.executionId, ...(held.outcome === undefined ? {} : { outcome: held.outcome }) };
  }

  /** Remembers the answer that a held key stands for, or forgets the key. Whether it was held. */
  settle(key: string, outcome: Outcome, keeps: boolean): boolean {
    const nowMs = Date.now();
    if (this.tables.key(key)?.outcome !== undefined) return false;
    if (keeps) this.tables.settleKey(key, outcome, nowMs + this.limits.idempotencyMs);
    else this.tables.dropKey(key);
    this.#evictKeys(nowMs);
    return true;
  }

  /** Gives those who wait for a key's answer the answer. */
  answer(key: string, outcome: Outcome): void {
    const waiters = this.#keyWaiters.get(key);
    this.#keyWaiters.delete(key);
    for (const take of waiters ?? []) take(outcome);
  }

  untilAnswered(key: string): Promise<Outcome> {
    return new Promise((resolve) => waitersOf(this.#keyWaiters, key).add(resolve));
  }

  /** Has those look again who wait for an execution's next event. */
  wake(id: string): void {
    const waiters = this.#eventWaiters.get(id);
    this.#eventWaiters.delete(id);
    for (const go of waiters ?? []) go();
  }

  /** Settles at the next event or the end of an execution, and with the signal. */
  untilWoken(id: string, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const waiters = waitersOf(this.#eventWaiters, id);
      const go = (): void => {
        signal?.removeEventListener("abort", go);
        waiters.delete(go);
        resolve();
      };
      signal?.addEventListener("abort", go, { once: true });
      waiters.add(go);
    });
  }

  grant(digest: string): void {
    this.tables.grant(digest, this.limits.maxBlobGrants);
  }

  /** Forgets what is too old, so many executions at most. Whether there may be more. */
  forget(nowMs: number, most = Number.POSITIVE_INFINITY): boolean {
    this.#evictKeys(nowMs);
    for (let left = most; left > 0; left--) if (!this.tables.dropOldest(nowMs - this.limits.keepMs)) return false;
    return true;
  }

  /**
   * Ends the runs whose lease is over. Their keys stand for that outcome where the tool may have started, and are free where
   * it has not; so are those whose run was not even noted. A key whose run has ended gets the answer of that one.
   */
  giveUp(nowMs: number): { readonly executions: readonly LostExecution[]; readonly keys: readonly SettledKey[] } {
    const executions = this.tables.lostExecutions(nowMs);
    const keys: SettledKey[] = [];
    const settle = (key: string, outcome: Outcome): void => {
      if (this.settle(key, outcome, outcome.isFinal)) keys.push({ key, outcome });
    };
    for (const lost of executions) {
      const outcome = lostOutcome(lost);
      const held = this.tables.openKeys({ executionId: lost.id });
      this.end(lost.id, outcome);
      for (const key of held) settle(key, outcome);
    }
    for (const key of this.tables.openKeys({ leaseBeforeMs: nowMs })) {
      const { executionId = "" } = this.tables.key(key) ?? {};
      settle(key, this.tables.execution(executionId)?.outcome ?? lostOutcome({ id: "", hasStarted: false, lastSeq: 0 }));
    }
    return { executions, keys };
  }

  #evictExecutions(nowMs: number): void {
    const { maxExecutions, maxCharacters } = this.limits;
    const isOver = (): boolean => this.tables.executions.count > maxExecutions || this.tables.executions.characters > maxCharacters;
    while (isOver() && this.tables.dropOldest(nowMs));
  }

  #evictKeys(nowMs: number): void {
    const { maxIdempotencyKeys, maxCharacters } = this.limits;
    for (;;) {
      const { count, characters } = this.tables.keys;
      const oldest = this.tables.oldestKey();
      if (oldest === undefined) return;
      if (count <= maxIdempotencyKeys && characters <= maxCharacters && oldest.expiresMs > nowMs) return;
      this.tables.dropKey(oldest.key);
    }
  }
}

interface SettledKey {
  readonly key: string;
  readonly outcome: Outcome;
}

function waitersOf<T>(all: Map<string, Set<T>>, name: string): Set<T> {
  const waiters = all.get(name) ?? new Set();
  all.set(name, waiters);
  return waiters;
}

/** How a run has ended of which nobody can say it. One whose tool had started stands for its request for good: it may have done its work. */
function lostOutcome({ id, hasStarted, lastSeq }: LostExecution): Outcome {
  const message = "Cannot say how the task ended: whoever ran it is gone";
  const error = new ToolRuntimeError("ERR_EXECUTION_LOST", message, { started: hasStarted, ...(id === "" ? {} : { id }) });
  return outcomeOf(error, id, lastSeq + 1);
}
