import { ToolRuntimeError, toToolRuntimeError } from "../errors.ts";
import type { AuditEvent } from "../internal/audit.ts";
import type { LimitReceipt, Quantity, Resources } from "../limits.ts";
import { stricter } from "../profile.ts";
import type { CallerName, ExecutionEvent, Result, Task } from "../runtime.ts";
import type { ExecutionInfo, Outcome } from "../store.ts";
import type { Tool } from "../tool.ts";
import type { Identity } from "./auth.ts";
import { resultJson } from "./brief.ts";
import type { Leases } from "./leases.ts";
import type { Settings } from "./options.ts";
import { outcomeOf } from "./reply.ts";
import { KeptTickets } from "./returning.ts";
import type { Window } from "./window.ts";

export interface RunRequest {
  readonly id: string;
  readonly tool: Tool;
  readonly task: Task;
  readonly deadline: Quantity | undefined;
  readonly identity: Identity;
  readonly requestId: string;
  /** By which a caller who was sent away is known when he comes again. */
  readonly ticket?: string | undefined;
  readonly caller?: CallerName;
  /** The lease that its caller renews. */
  readonly lease?: string | undefined;
  /** Whether its reader gets the events and wants no long output once more with the result. */
  readonly isBrief?: boolean;
  /** Gets the tool's events, numbered as on the wire; the sandbox waits for what it gives back. */
  readonly onEvent?: (event: ExecutionEvent) => void | Promise<void>;
}

export function newExecutionId(): string {
  return `ex_${crypto.randomUUID().replaceAll("-", "")}`;
}

export function toolName({ manifest, digest }: Tool): ExecutionInfo["tool"] {
  return { name: manifest.name, version: manifest.version, digest };
}

interface Going {
  readonly controller: AbortController;
  readonly done: Promise<Outcome>;
  readonly admitted: Promise<undefined>;
}

/** One execution while it goes on. */
export class LiveRun {
  readonly id: string;
  readonly tenant: string;
  readonly done: Promise<Outcome>;
  /** Settles when it is not refused any more for want of room, or with how it ended where that came first. */
  readonly admitted: Promise<Outcome | undefined>;
  /** How much of its output may be under way; absent where nobody acknowledges. */
  window: Window | undefined;
  readonly #controller: AbortController;
  #watchers = 0;

  constructor(id: string, tenant: string, { controller, done, admitted }: Going) {
    this.id = id;
    this.tenant = tenant;
    this.#controller = controller;
    this.done = done;
    this.admitted = Promise.race([admitted, done]);
  }

  end(error: ToolRuntimeError): void {
    this.#controller.abort(error);
  }

  cancel(why: string): void {
    this.end(new ToolRuntimeError("ERR_ABORTED", `Cannot finish the task: ${why}`));
  }

  /** Somebody waits for the answer. When all who did have gone, the run is ended. */
  watch(signal: AbortSignal): void {
    this.#watchers++;
    const leave = (): void => {
      if (--this.#watchers === 0) this.cancel("the caller has gone");
    };
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
  }
}

/** Runs tasks and keeps the books: state, audit log, metrics. */
export class Runner {
  readonly #settings: Settings;
  readonly #leases: Leases;
  readonly #tickets = new KeptTickets();
  readonly #live = new Map<string, LiveRun>();

  constructor(settings: Settings, leases: Leases) {
    this.#settings = settings;
    this.#leases = leases;
  }

  get running(): number {
    return this.#live.size;
  }

  /** Nothing for an execution of another tenant, or one that has ended. */
  find(tenant: string, id: string): LiveRun | undefined {
    const run = this.#live.get(id);
    return run?.tenant === tenant ? run : undefined;
  }

  /** @throws `ERR_CLOSED`, `ERR_QUEUE_FULL`. */
  start(request: RunRequest): LiveRun {
    this.#assertRoom();
    const { id, identity, lease } = request;
    const controller = new AbortController();
    const { promise: admitted, resolve: admit } = Promise.withResolvers<undefined>();
    const done = this.#perform(request, controller.signal, () => admit(undefined));
    const run = new LiveRun(id, identity.tenant, { controller, done, admitted });
    this.#live.set(id, run);
    if (lease !== undefined) this.#hold(lease, run);
    this.#settings.state.running = this.#live.size;
    return run;
  }

  #hold(lease: string, run: LiveRun): void {
    try {
      this.#leases.hold(lease, run);
    } catch (error) {
      run.end(toToolRuntimeError(error));
    }
  }

  #assertRoom(): void {
    const { limits, state } = this.#settings;
    if (state.isDraining) {
      throw new ToolRuntimeError("ERR_CLOSED", "Cannot start the task: the service is shutting down; send it to another one");
    }
    if (this.#live.size < limits.maxExecutions) return;
    throw new ToolRuntimeError(
      "ERR_QUEUE_FULL",
      `Cannot start the task: ${this.#live.size} executions run or wait already; send it again later`,
      { details: { running: this.#live.size, maxExecutions: limits.maxExecutions, retryAfterMs: 1000 } },
    );
  }

  /** Never rejects: whatever happens to the run is its outcome. */
  async #perform(request: RunRequest, signal: AbortSignal, onAdmitted: () => void): Promise<Outcome> {
    const { executions, metrics } = this.#settings;
    const { id, tool, task } = request;
    const ticket = this.#tickets.take(request);
    const startedAt = performance.now();
    const books = bookkeeping(request, this.#settings);
    let lastSeq = 0;
    const onEvent = (event: ExecutionEvent): void | Promise<void> => {
      // "accepted" has the number 0, and the runtime counts from there.
      const numbered = { ...event, seq: event.seq + 1 };
      lastSeq = numbered.seq;
      if (numbered.type === "started") {
        books.note({ event: "started" });
        void executions.started(id);
      }
      return request.onEvent?.(numbered);
    };
    let outcome: Outcome;
    let ended: { readonly code: string; readonly exitCode?: number; readonly backend?: string };
    try {
      await executions.create(books.info, () => this.#live.get(id)?.cancel("it was cancelled, or given up by what keeps the executions"));
      books.note({ event: "accepted", ...(task.resources === undefined ? {} : { requested: definedOnly(task.resources) }) });
      const result = await this.#settings.runtime.execute(task, {
        id,
        signal,
        tenant: request.identity.tenant,
        onAdmitted,
        onEvent,
        ...(ticket === undefined ? {} : { ticket }),
        ...(request.caller === undefined ? {} : { caller: request.caller }),
        ...(executions.starting === undefined ? {} : { beforeStart: () => executions.starting?.(id) }),
        ...(request.deadline === undefined ? {} : { deadline: request.deadline }),
      });
      for (const { digest } of result.files) await executions.grantBlob(books.info.tenant, digest);
      outcome = { kind: "result", status: 200, json: resultJson(result, request.isBrief === true), seq: lastSeq + 1, isFinal: true };
      ended = { code: "OK", exitCode: result.exitCode, backend: result.backend.name };
      books.note({ event: "ended", ...auditResult(result) });
    } catch (cause) {
      const error = this.#translate(cause, request);
      this.#tickets.keep(request.caller, error.details["ticket"]);
      outcome = outcomeOf(error, request.requestId, lastSeq + 1);
      ended = { code: error.code, ...(error.backend === undefined ? {} : { backend: error.backend }) };
      books.note({ event: "ended", ...auditError(error), durationMs: performance.now() - startedAt });
    }
    this.#live.delete(id);
    this.#settings.state.running = this.#live.size;
    await executions.end(id, outcome);
    metrics?.executionEnded({
      tool: tool.manifest.name,
      backend: ended.backend ?? "none",
      outcome: ended.code,
      ms: performance.now() - startedAt,
      ...(ended.exitCode === undefined ? {} : { exitCode: ended.exitCode }),
    });
    return outcome;
  }

  #translate(cause: unknown, { id, requestId }: RunRequest): ToolRuntimeError {
    const error = toToolRuntimeError(cause).with({ id });
    if (error.code === "ERR_INTERNAL")
      this.#settings.log.error({ requestId, executionId: id, err: error.cause ?? error }, "internal error");
    return error;
  }
}

interface Books {
  readonly info: ExecutionInfo;
  note(step: AuditStep): void;
}

type AuditStep = Pick<AuditEvent, "event"> & Partial<AuditEvent>;

function bookkeeping({ id, identity, tool, task }: RunRequest, { executions, security }: Settings): Books {
  const { tenant, principal } = identity;
  const name = toolName(tool);
  const profile = task.security === undefined ? security : stricter(task.security, security);
  const append = executions.audit.open({ executionId: id, tenant, principal, tool: name });
  return {
    info: { id, tenant, principal, tool: name, createdAt: new Date().toISOString() },
    note: ({ event, ...rest }) => append({ event, profile, ...rest }),
  };
}

function definedOnly(resources: Resources): Record<string, number | string> {
  const entries: Record<string, number | string> = {};
  for (const [limit, quantity] of Object.entries(resources)) if (quantity !== undefined) entries[limit] = quantity;
  return entries;
}

function auditLimits(limits: readonly LimitReceipt[]): NonNullable<AuditEvent["limits"]> {
  return limits.flatMap(({ limit, requested, applied, enforcedBy, hit }) => {
    // What was only counted limits nothing.
    if (requested === undefined) return [];
    return [{ limit, requested, ...(applied === undefined ? {} : { applied }), enforcedBy, hit }];
  });
}

function outputBytes(limits: readonly LimitReceipt[]): { readonly outputBytes?: number } {
  const peak = limits.find(({ limit }) => limit === "output")?.peak;
  return peak === undefined ? {} : { outputBytes: peak };
}

function auditResult({ backend, limits, exitCode, duration }: Result): Partial<AuditEvent> {
  return {
    backend: backend.name,
    profile: backend.profile,
    limits: auditLimits(limits),
    outcome: "OK",
    exitCode,
    durationMs: duration,
    ...outputBytes(limits),
  };
}

function auditError({ backend, code, partial }: ToolRuntimeError): Partial<AuditEvent> {
  return {
    ...(backend === undefined ? {} : { backend }),
    ...(partial === undefined ? {} : { limits: auditLimits(partial.limits), ...outputBytes(partial.limits) }),
    outcome: code,
  };
}
