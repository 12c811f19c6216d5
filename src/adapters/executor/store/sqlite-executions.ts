import { KeptExecutions, type KeepingLimits } from "../../../edge/kept-executions.ts";
import type { Log } from "../../../edge/index.ts";
import { ToolRuntimeError } from "../../../errors.ts";
import { ExecutionTables } from "../../../internal/execution-tables.ts";
import { untilSettled } from "../../../internal/idempotency.ts";
import type { SecurityProfile } from "../../../profile.ts";
import type {
  AuditLog,
  Claim,
  ExecutionInfo,
  ExecutionState,
  ExecutionStore,
  IdempotencyRequest,
  Outcome,
  StoredEvent,
} from "../../../store.ts";
import { AuditTable } from "./audit-table.ts";
import { Database, folderError } from "./database.ts";

export interface SqliteExecutionsOptions extends KeepingLimits {
  /** Made where it is not there, for this user alone. One process has it at a time. On a disk of this machine: locks of network file systems do not hold. */
  readonly folder: string;
  /**
   * `"normal"`, the default: what is kept outlives this process, however it ends; a machine that loses its power may lose the
   * last moments. `"full"`: it outlives that too, and each turn of the event loop that keeps anything waits for the disk.
   */
  readonly synchronous?: "normal" | "full";
  /** Records of the audit log; the oldest go first. Default 1,000,000. */
  readonly maxAuditRecords?: number;
  /** Takes the records in place of the database's own log. */
  readonly audit?: AuditLog;
  /** For the records of executions that an earlier process left, where theirs are not found. Default `"standard"`. */
  readonly security?: SecurityProfile;
  readonly log?: Log;
}

/** An `ExecutionStore` that outlives its process. */
export interface SqliteExecutions extends ExecutionStore {
  /** The executions that an earlier process had not ended; they have ended with `ERR_EXECUTION_LOST`. */
  readonly lost: readonly { readonly id: string; readonly hasStarted: boolean }[];
  /** The kept records of the audit log, oldest first; none where the log is elsewhere. */
  auditLines(): Iterable<string>;
  /** Keeps what was written, and lets go of the folder. */
  close(): Promise<void>;
}

/** This process alone has the folder: no run of its own is ever given up, and all that is there at the start is. */
const foreverMs = Number.MAX_SAFE_INTEGER;
/** Events in one read, and executions forgotten in one turn. */
const maxAtOnce = 256;
/** A run that has written so much in one turn waits until it is kept. */
const maxTurnCharacters = 256 * 1024;
const forgetEveryMs = 60_000;

/**
 * Opens what a service remembers in a folder, as SQLite.
 *
 * @throws `ERR_CONFIG_INVALID` where the folder cannot be used, or another process has it.
 */
export function openSqliteExecutions(options: SqliteExecutionsOptions): SqliteExecutions {
  const { folder, synchronous = "normal" } = options;
  const database = Database.open({ folder, synchronous });
  try {
    return new SqliteExecutionStore(database, options);
  } catch (error) {
    void database.close();
    throw folderError(folder, error);
  }
}

class SqliteExecutionStore implements SqliteExecutions {
  readonly audit: AuditLog;
  readonly lost: SqliteExecutions["lost"];
  readonly #database: Database;
  readonly #log: Log | undefined;
  readonly #kept: KeptExecutions;
  readonly #committed: ExecutionTables;
  readonly #auditTable: AuditTable | undefined;
  readonly #forgetting: ReturnType<typeof setInterval>;
  /** What runs in this process. */
  readonly #live = new Set<string>();
  /** Executions with events that nobody was told of. */
  #changed = new Set<string>();
  #turnCharacters = 0;
  #owed: { readonly step: string; readonly work: () => void }[] = [];
  #isClosed = false;

  constructor(database: Database, options: SqliteExecutionsOptions) {
    this.#database = database;
    this.#log = options.log;
    this.#committed = new ExecutionTables(database.reader);
    this.#kept = database.write(() => new KeptExecutions(database.writer, options));
    const table = database.write(() => new AuditTable(database, options.maxAuditRecords ?? 1_000_000));
    // A log that is elsewhere leaves the table as it is.
    this.#auditTable = options.audit === undefined ? table : undefined;
    this.audit = options.audit ?? table.log;
    database.hooks = {
      beforeCommit: () => this.#auditTable?.writeWaiting(),
      afterCommit: () => this.#afterCommit(),
      afterRollback: () => this.#afterRollback(),
    };
    this.lost = database.write(() => this.#giveUp(options.security ?? "standard"));
    if (!database.commit()) throw new Error("what is there cannot be written");
    this.#forgetting = setInterval(() => this.#forget(), forgetEveryMs);
    this.#forgetting.unref();
    this.#forget();
  }

  /** Ends what an earlier process left, in the audit log too. */
  #giveUp(fallback: SecurityProfile): SqliteExecutions["lost"] {
    const { executions } = this.#kept.giveUp(foreverMs);
    const acceptances = this.#auditTable?.acceptances(new Set(executions.map(({ id }) => id)));
    for (const { id } of executions) {
      const state = this.#kept.tables.execution(id);
      const accepted = acceptances?.get(id);
      // One that was killed before its acceptance was noted has no trail to end.
      if (state === undefined || (acceptances !== undefined && accepted === undefined)) continue;
      const { profile = fallback } = accepted === undefined ? {} : (JSON.parse(accepted) as { readonly profile?: SecurityProfile });
      const { tenant, principal, tool } = state;
      this.audit.open({ executionId: id, tenant, principal, tool })({ event: "ended", profile, outcome: "ERR_EXECUTION_LOST" });
    }
    return executions.map(({ id, hasStarted }) => ({ id, hasStarted }));
  }

  #afterCommit(): void {
    this.#auditTable?.forgetWritten();
    this.#turnCharacters = 0;
    const changed = this.#changed;
    this.#changed = new Set();
    for (const id of changed) this.#kept.wake(id);
    if (this.#owed.length > 0) setImmediate(() => this.#payOwed());
  }

  #afterRollback(): void {
    this.#turnCharacters = 0;
    this.#kept.tables.count();
  }

  #forget(): void {
    if (this.#isClosed) return;
    const hasMore = this.#try("forget", () => this.#kept.forget(Date.now(), maxAtOnce));
    if (hasMore === true) setImmediate(() => this.#forget());
  }

  /** Writes what nobody waits for: that it failed must not end a run. */
  #try<T>(step: string, work: () => T): T | undefined {
    try {
      return this.#database.write(work);
    } catch (error) {
      this.#complain(step, error);
      return undefined;
    }
  }

  /** Writes what must not be lost, and may be done twice; where it fails, again as soon as anything can be written. */
  async #insist(step: string, work: () => void): Promise<void> {
    try {
      this.#database.write(work);
      await this.#database.kept;
    } catch (error) {
      this.#complain(step, error);
      this.#owed.push({ step, work });
    }
  }

  #payOwed(): void {
    if (this.#isClosed) return;
    const owed = this.#owed;
    this.#owed = [];
    for (const { step, work } of owed) void this.#insist(step, work);
  }

  #complain(step: string, error: unknown): void {
    this.#log?.error({ step, err: error }, "cannot keep what an execution did");
  }

  /** Writes what must be kept before anything else happens. @throws `ERR_BACKEND_UNAVAILABLE`. */
  async #demand<T>(work: () => T): Promise<T> {
    try {
      const done = this.#database.write(work);
      await this.#database.kept;
      return done;
    } catch (error) {
      throw cannotKeep(error);
    }
  }

  async #untilKept(): Promise<void> {
    try {
      await this.#database.kept;
    } catch (error) {
      throw cannotKeep(error);
    }
  }

  /** Not waited for here: whoever is told of it waits in `get`, and its tool in `starting`. */
  async create(info: ExecutionInfo): Promise<void> {
    try {
      this.#database.write(() => this.#kept.create(info, foreverMs));
    } catch (error) {
      throw cannotKeep(error);
    }
    this.#live.add(info.id);
  }

  starting(id: string): Promise<void> {
    return this.#demand(() => {
      if (!this.#kept.tables.prepareStart(id)) throw new Error("its acceptance was not kept");
    });
  }

  started(id: string): void {
    this.#try("start", () => this.#kept.tables.start(id));
  }

  addEvent(id: string, event: StoredEvent): Promise<void> | void {
    this.#try("add", () => this.#kept.addEvents(id, [event]));
    this.#changed.add(id);
    this.#turnCharacters += event.json.length;
    if (this.#turnCharacters > maxTurnCharacters) return this.#database.kept?.catch(() => undefined);
  }

  async end(id: string, outcome: Outcome): Promise<void> {
    await this.#insist("end", () => this.#kept.end(id, outcome));
    this.#live.delete(id);
    this.#kept.wake(id);
  }

  async get(tenant: string, id: string): Promise<ExecutionState | undefined> {
    // What was just written is told once it is kept.
    await this.#untilKept();
    const state = this.#committed.execution(id);
    return state?.tenant === tenant ? state : undefined;
  }

  async *events(tenant: string, id: string, after: number, signal: AbortSignal): AsyncGenerator<StoredEvent> {
    await this.#untilKept();
    if (this.#committed.owner(id)?.tenant !== tenant) return;
    for (let last = after; ;) {
      const isLive = this.#live.has(id);
      const events = this.#committed.eventsAfter(id, last, maxAtOnce);
      for (const event of events) {
        last = event.seq;
        yield event;
      }
      if (events.length > 0) continue;
      if (!isLive || signal.aborted) return;
      await this.#kept.untilWoken(id, signal);
    }
  }

  async claim({ tenant, key: own, fingerprint, executionId }: IdempotencyRequest): Promise<Claim> {
    const key = `${tenant}\n${own}`;
    const { claim, answered } = await this.#demand(() => {
      const made = this.#kept.claim({ key, fingerprint, executionId }, foreverMs);
      const isOpen = made.kind === "repeat" && made.outcome === undefined;
      // Waited for from now on: the answer may come before the caller asks for it.
      return { claim: made, answered: isOpen ? this.#kept.untilAnswered(key) : undefined };
    });
    if (claim.kind === "conflict") return claim;
    if (claim.kind === "repeat") {
      const { outcome } = claim;
      return { ...claim, wait: async (signal) => outcome ?? untilSettled(answered ?? new Promise(() => undefined), signal) };
    }
    return {
      kind: "first",
      keep: (outcome) => this.#settle(key, outcome, true),
      release: (outcome) => this.#settle(key, outcome, false),
    };
  }

  async #settle(key: string, outcome: Outcome, keeps: boolean): Promise<void> {
    await this.#insist("settle", () => this.#kept.settle(key, outcome, keeps));
    this.#kept.answer(key, outcome);
  }

  grantBlob(tenant: string, digest: string): Promise<void> {
    return this.#insist("grant", () => this.#kept.grant(`${tenant}\n${digest}`));
  }

  mayReadBlob(tenant: string, digest: string): boolean {
    return this.#kept.tables.isGranted(`${tenant}\n${digest}`);
  }

  auditLines(): Iterable<string> {
    return this.#auditTable?.lines() ?? [];
  }

  async close(): Promise<void> {
    clearInterval(this.#forgetting);
    this.#payOwed();
    this.#isClosed = true;
    await this.#database.close();
  }
}

function cannotKeep(cause: unknown): ToolRuntimeError {
  return new ToolRuntimeError("ERR_BACKEND_UNAVAILABLE", "Cannot go on with the task: its execution cannot be kept on disk", { cause });
}
