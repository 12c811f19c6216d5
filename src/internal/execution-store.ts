import type { ExecutionInfo, ExecutionState, ExecutionStore, Outcome, StoredEvent } from "../store.ts";
import { createAuditLog, type AuditLog } from "./audit.ts";
import { IdempotencyTable } from "./idempotency.ts";

export interface MemoryExecutionStoreOptions {
  /** Default: one that keeps its newest lines in memory. */
  readonly audit?: AuditLog;
  /** How many executions are remembered. Default 1000. */
  readonly maxExecutions?: number;
  /** The most for the answers and events of all, counted in characters. Default 64 Mi. */
  readonly maxCharacters?: number;
  /** Default 10,000. */
  readonly maxIdempotencyKeys?: number;
  /** How long a key stands for its answer, in ms. Default 24 h. */
  readonly idempotencyMs?: number;
  /** Of how many blobs it is remembered who may read them. Default 100,000. */
  readonly maxBlobGrants?: number;
}

interface Entry {
  readonly info: ExecutionInfo;
  status: ExecutionState["status"];
  endedAt: string | undefined;
  outcome: Outcome | undefined;
  events: StoredEvent[];
  characters: number;
  /** Whoever waits for the next event. */
  wake: Set<() => void> | undefined;
}

/** An `ExecutionStore` in this process's memory. */
export function memoryExecutionStore(options: MemoryExecutionStoreOptions = {}): ExecutionStore {
  return new MemoryExecutionStore(options);
}

class MemoryExecutionStore implements ExecutionStore {
  readonly audit: AuditLog;
  readonly #entries = new Map<string, Entry>();
  /** Ids in the order in which they ended. */
  readonly #ended = new Set<string>();
  readonly #maxExecutions: number;
  readonly #maxCharacters: number;
  readonly #idempotency: IdempotencyTable;
  readonly #grants = new Map<string, true>();
  readonly #maxGrants: number;
  #characters = 0;

  constructor(options: MemoryExecutionStoreOptions) {
    this.audit = options.audit ?? createAuditLog();
    this.#maxExecutions = options.maxExecutions ?? 1000;
    this.#maxCharacters = options.maxCharacters ?? 64 * 2 ** 20;
    this.#maxGrants = options.maxBlobGrants ?? 100_000;
    this.#idempotency = new IdempotencyTable(
      options.maxIdempotencyKeys ?? 10_000,
      options.idempotencyMs ?? 86_400_000,
      this.#maxCharacters,
    );
  }

  create(info: ExecutionInfo): void {
    this.#entries.set(info.id, {
      info,
      status: "accepted",
      endedAt: undefined,
      outcome: undefined,
      events: [],
      characters: 0,
      wake: undefined,
    });
  }

  addEvent(id: string, event: StoredEvent): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    entry.events.push(event);
    this.#charge(entry, event.json.length);
    wakeAll(entry);
  }

  started(id: string): void {
    const entry = this.#entries.get(id);
    if (entry !== undefined) entry.status = "running";
  }

  end(id: string, outcome: Outcome): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    if (wasSentAway(outcome)) this.#entries.delete(id);
    entry.status = "ended";
    entry.endedAt = new Date().toISOString();
    entry.outcome = outcome;
    wakeAll(entry);
    if (!this.#entries.has(id)) {
      this.#characters -= entry.characters;
      return;
    }
    this.#ended.add(id);
    this.#charge(entry, outcome.json.length);
    this.#evict();
  }

  #charge(entry: Entry, characters: number): void {
    entry.characters += characters;
    this.#characters += characters;
  }

  #evict(): void {
    for (const id of this.#ended) {
      if (this.#entries.size <= this.#maxExecutions && this.#characters <= this.#maxCharacters) return;
      this.#characters -= this.#entries.get(id)?.characters ?? 0;
      this.#entries.delete(id);
      this.#ended.delete(id);
    }
  }

  #find(tenant: string, id: string): Entry | undefined {
    const entry = this.#entries.get(id);
    return entry?.info.tenant === tenant ? entry : undefined;
  }

  get(tenant: string, id: string): ExecutionState | undefined {
    const entry = this.#find(tenant, id);
    if (entry === undefined) return undefined;
    const { info, status, endedAt, outcome } = entry;
    return { ...info, status, ...(endedAt === undefined ? {} : { endedAt }), ...(outcome === undefined ? {} : { outcome }) };
  }

  async *events(tenant: string, id: string, after: number, signal: AbortSignal): AsyncGenerator<StoredEvent> {
    const entry = this.#find(tenant, id);
    if (entry === undefined) return;
    for (let index = 0; ;) {
      for (; index < entry.events.length; index++) {
        const event = entry.events[index];
        if (event !== undefined && event.seq > after) yield event;
      }
      if (entry.status === "ended" || signal.aborted) return;
      await untilWoken(entry, signal);
    }
  }

  claim: ExecutionStore["claim"] = (request) => this.#idempotency.claim(request);

  grantBlob(tenant: string, digest: string): void {
    const grant = `${tenant}\n${digest}`;
    this.#grants.delete(grant);
    this.#grants.set(grant, true);
    if (this.#grants.size <= this.#maxGrants) return;
    const [oldest] = this.#grants.keys();
    if (oldest !== undefined) this.#grants.delete(oldest);
  }

  mayReadBlob(tenant: string, digest: string): boolean {
    return this.#grants.has(`${tenant}\n${digest}`);
  }
}

/**
 * Whether there was no room for it. Its caller has that answer and comes again under another id; if a crowd of them were
 * remembered, they would push out what was accepted.
 */
export function wasSentAway({ status }: Outcome): boolean {
  return status === 429;
}

function wakeAll(entry: Entry): void {
  const { wake } = entry;
  entry.wake = undefined;
  for (const go of wake ?? []) go();
}

function untilWoken(entry: Entry, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      signal.removeEventListener("abort", go);
      entry.wake?.delete(go);
      resolve();
    };
    signal.addEventListener("abort", go, { once: true });
    entry.wake ??= new Set();
    entry.wake.add(go);
  });
}
