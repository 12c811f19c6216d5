import { ToolRuntimeError } from "../../errors.ts";
import type { Outcome } from "../../store.ts";
import { outcomeOf } from "../reply.ts";
import type { DurableObjectState } from "./bindings.ts";
import type { ClaimRequest, Claimed, Events, Operation, Operations, Waited } from "./execution-protocol.ts";
import { ExecutionTables, type LostExecution } from "./execution-tables.ts";

export interface ExecutionObjectOptions {
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
  /** Of how many blobs it is remembered that the tenant may read them. Default 100,000. */
  readonly maxBlobGrants?: number;
  /** How long after its last sign of life a run is given up, in ms. Default 30 s. */
  readonly leaseMs?: number;
}

const dayMs = 86_400_000;
/** Events in one answer. */
const maxEvents = 256;
/** Two alarms are at least so far apart. */
const alarmPauseMs = 1000;

/**
 * What a service remembers of one tenant's executions, as a Durable Object with SQLite. Bounded as the store in memory is,
 * and by time: an alarm forgets what is too old and gives up runs whose isolate is gone, so that no key is held for ever.
 */
export class ExecutionObject {
  readonly #state: DurableObjectState;
  readonly #tables: ExecutionTables;
  readonly #options: Required<ExecutionObjectOptions>;
  /** Whoever waits for an execution's next event, and for a key's answer. */
  readonly #eventWaiters = new Map<string, Set<() => void>>();
  readonly #keyWaiters = new Map<string, Set<(outcome: Outcome) => void>>();
  #alarmMs: number | undefined;

  /** The platform gives the first two. */
  constructor(state: DurableObjectState, _env: unknown, options: ExecutionObjectOptions = {}) {
    this.#state = state;
    this.#tables = new ExecutionTables(state.storage);
    this.#options = {
      maxExecutions: options.maxExecutions ?? 1000,
      maxCharacters: options.maxCharacters ?? 64 * 2 ** 20,
      keepMs: options.keepMs ?? dayMs,
      maxIdempotencyKeys: options.maxIdempotencyKeys ?? 10_000,
      idempotencyMs: options.idempotencyMs ?? dayMs,
      maxBlobGrants: options.maxBlobGrants ?? 100_000,
      leaseMs: options.leaseMs ?? 30_000,
    };
  }

  async fetch(request: Request): Promise<Response> {
    const operation = new URL(request.url).pathname.slice(1);
    if (!Object.hasOwn(this.#operations, operation)) return new Response(null, { status: 404 });
    this.#sweep(Date.now());
    const answer = await this.#perform(operation as Operation, await request.json());
    return Response.json(answer);
  }

  async alarm(): Promise<void> {
    this.#alarmMs = undefined;
    const nowMs = Date.now();
    this.#sweep(nowMs);
    const next = this.#tables.nextMs(this.#options.keepMs);
    if (next !== undefined) await this.#wakeAt(Math.max(next, nowMs + alarmPauseMs));
  }

  #perform<O extends Operation>(operation: O, ask: Operations[O]["ask"]): Promise<Operations[O]["answer"]> {
    return this.#operations[operation](ask);
  }

  readonly #operations: { readonly [O in Operation]: (ask: Operations[O]["ask"]) => Promise<Operations[O]["answer"]> } = {
    create: async ({ info }) => {
      this.#tables.createExecution(info, await this.#lease());
      this.#evictExecutions(Date.now());
      return {};
    },
    renew: async ({ id }) => this.#tables.renew(id, await this.#lease()),
    start: async ({ id }) => {
      this.#tables.start(id);
      return {};
    },
    add: async ({ id, events }) => {
      this.#tables.addEvents(id, events);
      this.#wakeReaders(id);
      return {};
    },
    end: async ({ id, outcome }) => {
      this.#end(id, outcome);
      return {};
    },
    cancel: async ({ id }) => {
      this.#tables.cancel(id);
      return {};
    },
    get: async ({ id }) => {
      const state = this.#tables.execution(id);
      return state === undefined ? {} : { state };
    },
    events: ({ id, after, waits }) => this.#events(id, after, waits),
    claim: (ask) => this.#claim(ask),
    settle: async ({ key, outcome, keeps }) => {
      this.#settle(key, outcome, keeps);
      return {};
    },
    wait: ({ key, executionId }) => this.#wait(key, executionId),
    grant: async ({ digest }) => {
      this.#tables.grant(digest, this.#options.maxBlobGrants);
      return {};
    },
    granted: async ({ digest }) => ({ isGranted: this.#tables.isGranted(digest) }),
  };

  /** Until when a run that was heard of now is taken to live. */
  async #lease(): Promise<number> {
    const untilMs = Date.now() + this.#options.leaseMs;
    await this.#wakeAt(untilMs);
    return untilMs;
  }

  async #wakeAt(atMs: number): Promise<void> {
    if (this.#alarmMs !== undefined && this.#alarmMs <= atMs) return;
    this.#alarmMs = atMs;
    await this.#state.storage.setAlarm(atMs);
  }

  #end(id: string, outcome: Outcome): void {
    const nowMs = Date.now();
    this.#tables.endExecution(id, outcome, nowMs);
    this.#wakeReaders(id);
    this.#evictExecutions(nowMs);
  }

  async #events(id: string, after: number, waits: boolean): Promise<Events> {
    for (;;) {
      const events = this.#tables.eventsAfter(id, after, maxEvents);
      const status = this.#tables.execution(id)?.status ?? "ended";
      if (events.length > 0) return { events, isOver: status === "ended" && events.length < maxEvents };
      if (status === "ended" || !waits) return { events, isOver: true };
      await new Promise<void>((resolve) => waitersOf(this.#eventWaiters, id).add(resolve));
    }
  }

  #wakeReaders(id: string): void {
    const waiters = this.#eventWaiters.get(id);
    this.#eventWaiters.delete(id);
    for (const wake of waiters ?? []) wake();
  }

  async #claim({ key, fingerprint, executionId }: ClaimRequest): Promise<Claimed> {
    // Nothing is awaited between the look at the key and taking it.
    const leaseMs = await this.#lease();
    this.#evictKeys(Date.now());
    const held = this.#tables.key(key);
    if (held === undefined) {
      this.#tables.holdKey(key, { fingerprint, executionId }, leaseMs);
      return { kind: "first" };
    }
    if (held.fingerprint !== fingerprint) return { kind: "conflict" };
    return { kind: "repeat", executionId: held.executionId, ...(held.outcome === undefined ? {} : { outcome: held.outcome }) };
  }

  #settle(key: string, outcome: Outcome, keeps: boolean): void {
    const nowMs = Date.now();
    if (this.#tables.key(key)?.outcome !== undefined) return;
    if (keeps) this.#tables.settleKey(key, outcome, nowMs + this.#options.idempotencyMs);
    else this.#tables.dropKey(key);
    const waiters = this.#keyWaiters.get(key);
    this.#keyWaiters.delete(key);
    for (const take of waiters ?? []) take(outcome);
    this.#evictKeys(nowMs);
  }

  async #wait(key: string, executionId: string): Promise<Waited> {
    const held = this.#tables.key(key);
    // A key that was let go, or taken by another run since, leaves only the run itself to ask.
    const outcome = held?.executionId === executionId ? held.outcome : this.#tables.execution(executionId)?.outcome;
    if (outcome !== undefined) return { outcome };
    if (held?.executionId !== executionId) return {};
    return { outcome: await new Promise<Outcome>((resolve) => waitersOf(this.#keyWaiters, key).add(resolve)) };
  }

  #sweep(nowMs: number): void {
    for (const lost of this.#tables.lostExecutions(nowMs)) this.#giveUp(lost);
    for (const key of this.#tables.openKeys({ leaseBeforeMs: nowMs }))
      this.#settle(key, lostOutcome({ id: "", hasStarted: false, lastSeq: 0 }), false);
    this.#evictKeys(nowMs);
    while (this.#tables.dropOldest(nowMs - this.#options.keepMs));
  }

  /** Nobody renews the run's lease: its isolate was taken away, and with it the run. */
  #giveUp(lost: LostExecution): void {
    const outcome = lostOutcome(lost);
    this.#end(lost.id, outcome);
    for (const key of this.#tables.openKeys({ executionId: lost.id })) this.#settle(key, outcome, outcome.isFinal);
  }

  #evictExecutions(nowMs: number): void {
    const { maxExecutions, maxCharacters } = this.#options;
    const isOver = (): boolean => this.#tables.executions.count > maxExecutions || this.#tables.executions.characters > maxCharacters;
    while (isOver() && this.#tables.dropOldest(nowMs));
  }

  #evictKeys(nowMs: number): void {
    const { maxIdempotencyKeys, maxCharacters } = this.#options;
    for (;;) {
      const { count, characters } = this.#tables.keys;
      const oldest = this.#tables.oldestKey();
      if (oldest === undefined) return;
      if (count <= maxIdempotencyKeys && characters <= maxCharacters && oldest.expiresMs > nowMs) return;
      this.#tables.dropKey(oldest.key);
    }
  }
}

function waitersOf<T>(all: Map<string, Set<T>>, name: string): Set<T> {
  const waiters = all.get(name) ?? new Set();
  all.set(name, waiters);
  return waiters;
}

/** How a run has ended of which nobody can say it. One whose tool had started stands for its request for good: it may have done its work. */
function lostOutcome({ id, hasStarted, lastSeq }: LostExecution): Outcome {
  const message = "Cannot say how the task ended: the isolate that ran it is gone";
  return outcomeOf(new ToolRuntimeError("ERR_ABORTED", message, { started: hasStarted, ...(id === "" ? {} : { id }) }), id, lastSeq + 1);
}
