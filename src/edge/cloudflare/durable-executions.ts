import { ToolRuntimeError } from "../../errors.ts";
import type { AuditLog } from "../../internal/audit.ts";
import type { Claim, ExecutionInfo, ExecutionState, ExecutionStore, IdempotencyRequest, Outcome, StoredEvent } from "../../store.ts";
import type { Log } from "../options.ts";
import type { DurableObjectNamespace } from "./bindings.ts";
import type { Operation, Operations } from "./execution-protocol.ts";

export interface DurableExecutionOptions {
  /** Of `ExecutionObject`. Each tenant has an object of its own: what one does fills no other's. */
  readonly namespace: DurableObjectNamespace;
  readonly audit: AuditLog;
  readonly log: Log;
  /** How often the object is told that a run lives, in ms. Default 5 s, a sixth of the lease. */
  readonly renewMs?: number;
}

/** So long after events were sent the next ones are gathered, and not beyond so many characters: an isolate may not ask others without end. */
const gatherMs = 50;
const maxGathered = 64 * 1024;
/** How often an object is asked again that was moved or restarted, and the pause before it, in ms. */
const maxAttempts = 4;
const pauseMs = 100;

/** A run of this isolate, as far as its object has to hear of it. */
interface Live {
  readonly tenant: string;
  readonly renewal: ReturnType<typeof setInterval>;
  /** Settles when the object has all that it was sent. */
  sent: Promise<unknown>;
  events: StoredEvent[];
  characters: number;
  gathering: ReturnType<typeof setTimeout> | undefined;
}

/** An `ExecutionStore` that all isolates of a worker share. */
export function durableExecutionStore(options: DurableExecutionOptions): ExecutionStore {
  return new DurableExecutionStore(options);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

class DurableExecutionStore implements ExecutionStore {
  readonly audit: AuditLog;
  readonly #namespace: DurableObjectNamespace;
  readonly #log: Log;
  readonly #renewMs: number;
  readonly #live = new Map<string, Live>();

  constructor({ namespace, audit, log, renewMs }: DurableExecutionOptions) {
    this.#namespace = namespace;
    this.audit = audit;
    this.#log = log;
    this.#renewMs = renewMs ?? 5000;
  }

  async #ask<O extends Operation>(
    tenant: string,
    operation: O,
    ask: Operations[O]["ask"],
    signal?: AbortSignal,
  ): Promise<Operations[O]["answer"]> {
    // A stub belongs to the request that got it, so each question gets its own.
    const object = this.#namespace.get(this.#namespace.idFromName(tenant));
    const headers = { "content-type": "application/json" };
    const init = { method: "POST", headers, body: JSON.stringify(ask), ...(signal === undefined ? {} : { signal }) };
    const response = await object.fetch(`http://executions/${operation}`, init);
    if (!response.ok) throw new Error(`the object of the tenant answered ${response.status}`);
    return (await response.json()) as Operations[O]["answer"];
  }

  /** Asks again where the object was not to be reached. Only for what may be done twice. */
  async #insist<O extends Operation>(
    tenant: string,
    operation: O,
    ask: Operations[O]["ask"],
    signal?: AbortSignal,
  ): Promise<Operations[O]["answer"]> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#ask(tenant, operation, ask, signal);
      } catch (cause) {
        if (signal?.aborted === true) throw gone();
        if (attempt >= maxAttempts) {
          throw new ToolRuntimeError("ERR_BACKEND_UNAVAILABLE", "Cannot reach what keeps the executions: its object does not answer", {
            cause,
          });
        }
        await pause(pauseMs * attempt);
      }
    }
  }

  /** For what nobody waits for: that it failed must not end the run. */
  async #tell<O extends Operation>(tenant: string, operation: O, ask: Operations[O]["ask"]): Promise<void> {
    try {
      await this.#insist(tenant, operation, ask);
    } catch (error) {
      this.#log.error({ operation, err: error }, "cannot keep what an execution did");
    }
  }

  async create(info: ExecutionInfo, onCancelled?: () => void): Promise<void> {
    const { id, tenant } = info;
    const created = await this.#ask(tenant, "create", { info }).catch((cause: unknown) => {
      throw new ToolRuntimeError("ERR_BACKEND_UNAVAILABLE", "Cannot start the task: what keeps the executions does not answer", { cause });
    });
    const renewal = setInterval(() => void this.#renew(tenant, id, onCancelled), this.#renewMs);
    this.#live.set(id, { tenant, renewal, sent: Promise.resolve(created), events: [], characters: 0, gathering: undefined });
  }

  async #renew(tenant: string, id: string, onCancelled: (() => void) | undefined): Promise<void> {
    try {
      const { isLive, isCancelled } = await this.#ask(tenant, "renew", { id });
      if (this.#live.has(id) && (!isLive || isCancelled)) onCancelled?.();
    } catch {
      // The lease outlasts some that fail.
    }
  }

  /** Sends in order. */
  #send(live: Live, send: () => Promise<void>): Promise<void> {
    const sent = live.sent.then(send);
    live.sent = sent;
    return sent;
  }

  addEvent(id: string, event: StoredEvent): Promise<void> | void {
    const live = this.#live.get(id);
    if (live === undefined) return;
    live.events.push(event);
    live.characters += event.json.length;
    if (live.characters >= maxGathered) return this.#flush(id, live);
    if (live.gathering !== undefined) return;
    live.gathering = setTimeout(() => this.#endGathering(id, live), gatherMs);
    return this.#flush(id, live);
  }

  #endGathering(id: string, live: Live): void {
    live.gathering = undefined;
    if (live.events.length > 0) void this.#flush(id, live);
  }

  #flush(id: string, live: Live): Promise<void> {
    const { events } = live;
    live.events = [];
    live.characters = 0;
    return this.#send(live, () => this.#tell(live.tenant, "add", { id, events }));
  }

  async started(id: string): Promise<void> {
    const live = this.#live.get(id);
    if (live !== undefined) await this.#send(live, () => this.#tell(live.tenant, "start", { id }));
  }

  async end(id: string, outcome: Outcome): Promise<void> {
    const live = this.#live.get(id);
    if (live === undefined) return;
    if (live.events.length > 0) void this.#flush(id, live);
    this.#live.delete(id);
    clearInterval(live.renewal);
    clearTimeout(live.gathering);
    await this.#send(live, () => this.#tell(live.tenant, "end", { id, outcome }));
  }

  cancel(tenant: string, id: string): Promise<void> {
    return this.#tell(tenant, "cancel", { id });
  }

  async get(tenant: string, id: string): Promise<ExecutionState | undefined> {
    return (await this.#insist(tenant, "get", { id })).state;
  }

  async *events(tenant: string, id: string, after: number, signal: AbortSignal): AsyncGenerator<StoredEvent> {
    for (let last = after; ;) {
      const waits = !signal.aborted;
      let found: Operations["events"]["answer"];
      try {
        found = await this.#insist(tenant, "events", { id, after: last, waits }, waits ? signal : undefined);
      } catch (error) {
        if (!waits || !signal.aborted) throw error;
        // What is there already is still for him who has gone.
        continue;
      }
      for (const event of found.events) {
        last = event.seq;
        yield event;
      }
      if (found.isOver || (found.events.length === 0 && signal.aborted)) return;
    }
  }

  async claim({ tenant, key, fingerprint, executionId }: IdempotencyRequest): Promise<Claim> {
    const ask = { key, fingerprint, executionId };
    let isAgain = false;
    const claimed = await this.#ask(tenant, "claim", ask).catch(() => {
      isAgain = true;
      return this.#insist(tenant, "claim", ask);
    });
    if (claimed.kind === "conflict") return claimed;
    // Where the first answer was lost on its way, it is this run that holds the key.
    if (claimed.kind === "first" || (isAgain && claimed.executionId === executionId)) {
      return {
        kind: "first",
        keep: (outcome) => this.#tell(tenant, "settle", { key, outcome, keeps: true }),
        release: (outcome) => this.#tell(tenant, "settle", { key, outcome, keeps: false }),
      };
    }
    return { ...claimed, wait: (signal) => this.#wait(tenant, { key, executionId: claimed.executionId }, signal) };
  }

  async #wait(tenant: string, ask: Operations["wait"]["ask"], signal: AbortSignal): Promise<Outcome> {
    if (signal.aborted) throw gone();
    const { outcome } = await this.#insist(tenant, "wait", ask, signal);
    if (outcome !== undefined) return outcome;
    throw new ToolRuntimeError(
      "ERR_IDEMPOTENCY_IN_PROGRESS",
      "Cannot answer: the request with this idempotency key was given up; send it again",
      { id: ask.executionId },
    );
  }

  async grantBlob(tenant: string, digest: string): Promise<void> {
    await this.#insist(tenant, "grant", { digest });
  }

  async mayReadBlob(tenant: string, digest: string): Promise<boolean> {
    return (await this.#insist(tenant, "granted", { digest })).isGranted;
  }
}

function gone(): ToolRuntimeError {
  return new ToolRuntimeError("ERR_ABORTED", "Cannot wait for the answer: the caller has gone");
}
