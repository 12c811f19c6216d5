import { KeptExecutions, type KeepingLimits, type KeyClaim, type KeyRequest } from "../kept-executions.ts";
import type { DurableObjectState } from "./bindings.ts";
import type { Events, Operation, Operations, Waited } from "./execution-protocol.ts";
import { SpentTokens } from "./spent-tokens.ts";

export interface ExecutionObjectOptions extends KeepingLimits {
  /** How long after its last sign of life a run is given up, in ms. Default 30 s. */
  readonly leaseMs?: number;
  /** How many used tokens one object remembers at once; more are refused. Default 20,000. */
  readonly maxSpentTokens?: number;
}

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
  readonly #kept: KeptExecutions;
  readonly #leaseMs: number;
  readonly #maxSpentTokens: number;
  #spent: SpentTokens | undefined;
  #alarmMs: number | undefined;

  /** The platform gives the first two. */
  constructor(state: DurableObjectState, _env: unknown, { leaseMs, maxSpentTokens, ...limits }: ExecutionObjectOptions = {}) {
    this.#state = state;
    this.#kept = new KeptExecutions(state.storage.sql, limits);
    this.#leaseMs = leaseMs ?? 30_000;
    this.#maxSpentTokens = maxSpentTokens ?? 20_000;
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
    const next = this.#kept.tables.nextMs(this.#kept.limits.keepMs);
    if (next !== undefined) await this.#wakeAt(Math.max(next, nowMs + alarmPauseMs));
  }

  #perform<O extends Operation>(operation: O, ask: Operations[O]["ask"]): Promise<Operations[O]["answer"]> {
    return this.#operations[operation](ask);
  }

  readonly #operations: { readonly [O in Operation]: (ask: Operations[O]["ask"]) => Promise<Operations[O]["answer"]> } = {
    create: async ({ info }) => {
      this.#kept.create(info, await this.#lease());
      return {};
    },
    renew: async ({ id }) => this.#kept.tables.renew(id, await this.#lease()),
    start: async ({ id }) => {
      this.#kept.tables.start(id);
      return {};
    },
    add: async ({ id, events }) => {
      this.#kept.addEvents(id, events);
      this.#kept.wake(id);
      return {};
    },
    end: async ({ id, outcome }) => {
      this.#kept.end(id, outcome);
      this.#kept.wake(id);
      return {};
    },
    cancel: async ({ id }) => {
      this.#kept.tables.cancel(id);
      return {};
    },
    get: async ({ id }) => {
      const state = this.#kept.tables.execution(id);
      return state === undefined ? {} : { state };
    },
    events: ({ id, after, waits }) => this.#events(id, after, waits),
    claim: (ask) => this.#claim(ask),
    settle: async ({ key, outcome, keeps }) => {
      if (this.#kept.settle(key, outcome, keeps)) this.#kept.answer(key, outcome);
      return {};
    },
    wait: ({ key, executionId }) => this.#wait(key, executionId),
    grant: async ({ digest }) => {
      this.#kept.grant(digest);
      return {};
    },
    spend: async (ask) => {
      this.#spent ??= new SpentTokens(this.#state.storage.sql, this.#maxSpentTokens);
      return { spending: this.#spent.spend(ask, Date.now()) };
    },
    granted: async ({ digest }) => ({ isGranted: this.#kept.tables.isGranted(digest) }),
  };

  /** Until when a run that was heard of now is taken to live. */
  async #lease(): Promise<number> {
    const untilMs = Date.now() + this.#leaseMs;
    await this.#wakeAt(untilMs);
    return untilMs;
  }

  async #wakeAt(atMs: number): Promise<void> {
    if (this.#alarmMs !== undefined && this.#alarmMs <= atMs) return;
    this.#alarmMs = atMs;
    await this.#state.storage.setAlarm(atMs);
  }

  async #events(id: string, after: number, waits: boolean): Promise<Events> {
    for (;;) {
      const events = this.#kept.tables.eventsAfter(id, after, maxEvents);
      const hasEnded = this.#kept.tables.owner(id)?.hasEnded ?? true;
      if (events.length > 0) return { events, isOver: hasEnded && events.length < maxEvents };
      if (hasEnded || !waits) return { events, isOver: true };
      await this.#kept.untilWoken(id);
    }
  }

  async #claim(ask: KeyRequest): Promise<KeyClaim> {
    // Nothing is awaited between the look at the key and taking it.
    const leaseMs = await this.#lease();
    return this.#kept.claim(ask, leaseMs);
  }

  async #wait(key: string, executionId: string): Promise<Waited> {
    const held = this.#kept.tables.key(key);
    // A key that was let go, or taken by another run since, leaves only the run itself to ask.
    const outcome = held?.executionId === executionId ? held.outcome : this.#kept.tables.execution(executionId)?.outcome;
    if (outcome !== undefined) return { outcome };
    if (held?.executionId !== executionId) return {};
    return { outcome: await this.#kept.untilAnswered(key) };
  }

  /** A run whose lease nobody renews is lost: its isolate was taken away. */
  #sweep(nowMs: number): void {
    const { executions, keys } = this.#kept.giveUp(nowMs);
    for (const { id } of executions) this.#kept.wake(id);
    for (const { key, outcome } of keys) this.#kept.answer(key, outcome);
    this.#kept.forget(nowMs);
  }
}
