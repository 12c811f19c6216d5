import { closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { ToolRuntimeError } from "../../../errors.ts";
import type { Sql, SqlRow, SqlValue } from "../../../internal/execution-tables.ts";
import { Checkpoints } from "./checkpoints.ts";

/** What the tables look like; a file with another number is not touched. */
const formatVersion = 1;
/** How long a write waits for somebody who looks at the file with a tool of his own. */
const busyMs = 100;
/** What the log of writes is cut to once it has been copied into the file. */
const walBytes = 16 * 2 ** 20;

export interface DatabaseOptions {
  readonly folder: string;
  /** SQLite's `synchronous` (https://sqlite.org/pragma.html#pragma_synchronous). */
  readonly synchronous: "normal" | "full";
}

/** Has done a statement when it gives back. */
export interface EagerSql extends Sql {
  exec<T extends SqlRow>(query: string, ...values: readonly SqlValue[]): T[];
}

/** One connection, its statements prepared once. */
class Connection implements EagerSql {
  readonly db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(db: DatabaseSync) {
    this.db = db;
  }

  exec<T extends SqlRow>(query: string, ...values: readonly SqlValue[]): T[] {
    let statement = this.#statements.get(query);
    if (statement === undefined) {
      statement = this.db.prepare(query);
      this.#statements.set(query, statement);
    }
    return statement.all(...values) as T[];
  }
}

interface Parts {
  readonly lock: DatabaseSync;
  readonly write: Connection;
  readonly read: Connection;
  readonly checkpoints: Checkpoints;
}

/** What whoever writes does around a turn's transaction. */
export interface TurnHooks {
  /** Last in the transaction; may write. */
  beforeCommit(): void;
  afterCommit(): void;
  /** What was written in the turn has been taken back. */
  afterRollback(): void;
}

/** What was written since the event loop's turn began. */
interface Turn {
  readonly kept: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A database of one process in a folder. What is written in one turn of the event loop is one transaction, which is
 * committed before the next turn's work.
 */
export class Database {
  /** Sees what was written, committed or not. */
  readonly writer: EagerSql;
  /** Sees what is committed: what may be told to others. */
  readonly reader: EagerSql;
  readonly #lock: DatabaseSync;
  readonly #write: Connection;
  readonly #read: Connection;
  readonly #checkpoints: Checkpoints;
  #turn: Turn | undefined;
  #hooks: TurnHooks | undefined;
  #isClosed = false;

  private constructor({ lock, write, read, checkpoints }: Parts) {
    this.#lock = lock;
    this.writer = this.#write = write;
    this.reader = this.#read = read;
    this.#checkpoints = checkpoints;
  }

  /** @throws `ERR_CONFIG_INVALID` where the folder cannot be used, is in use, or holds what is not this service's. */
  static open({ folder, synchronous }: DatabaseOptions): Database {
    using opened = new DisposableStack();
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      const lock = opened.adopt(takeLock(folder), (db) => db.close());
      const file = join(folder, "state.db");
      // SQLite gives its further files the mode of this one.
      closeSync(openSync(file, "a", 0o600));
      const db = opened.adopt(new DatabaseSync(file, { timeout: busyMs }), (one) => one.close());
      db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous}; PRAGMA journal_size_limit = ${walBytes}`);
      const write = new Connection(db);
      checkVersion(write, folder);
      const read = new Connection(opened.adopt(new DatabaseSync(file, { readOnly: true, timeout: busyMs }), (one) => one.close()));
      const checkpoints = new Checkpoints(db, file);
      opened.move();
      return new Database({ lock, write, read, checkpoints });
    } catch (error) {
      throw folderError(folder, error);
    }
  }

  set hooks(hooks: TurnHooks) {
    this.#hooks = hooks;
  }

  /** When what was written in this turn is kept; absent where nothing was. Rejects where it could not be. */
  get kept(): Promise<void> | undefined {
    return this.#turn?.kept;
  }

  /** Does what writes in this turn's transaction. Where it throws, all that the turn wrote is taken back. */
  write<T>(work: () => T): T {
    if (this.#isClosed) throw new Error("the database is closed");
    if (this.#turn === undefined) this.#begin();
    try {
      return work();
    } catch (error) {
      this.#rollBack(error);
      throw error;
    }
  }

  #begin(): void {
    this.#write.db.exec("BEGIN IMMEDIATE");
    const turn = Promise.withResolvers<void>();
    // Nobody may wait for it.
    turn.promise.catch(() => undefined);
    this.#turn = { kept: turn.promise, resolve: turn.resolve, reject: turn.reject };
    setImmediate(() => this.commit());
  }

  /** Ends the turn's transaction at once. Whether it is kept. */
  commit(): boolean {
    if (this.#turn === undefined) return true;
    try {
      this.#hooks?.beforeCommit();
      this.#write.db.exec("COMMIT");
    } catch (error) {
      this.#rollBack(error);
      return false;
    }
    const { resolve } = this.#turn;
    this.#turn = undefined;
    this.#checkpoints.note();
    this.#hooks?.afterCommit();
    resolve();
    return true;
  }

  #rollBack(error: unknown): void {
    const turn = this.#turn;
    this.#turn = undefined;
    // SQLite has taken it back by itself after some errors.
    if (this.#write.db.isTransaction) this.#write.db.exec("ROLLBACK");
    this.#hooks?.afterRollback();
    turn?.reject(error);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.commit();
    this.#isClosed = true;
    await this.#checkpoints.close();
    this.#read.db.close();
    this.#write.db.close();
    this.#lock.close();
  }
}

/**
 * Holds the folder for this process. The kernel lets go of the lock when the process ends, however it does; the database
 * itself stays readable for others.
 */
function takeLock(folder: string): DatabaseSync {
  const file = join(folder, "lock");
  closeSync(openSync(file, "a", 0o600));
  const db = new DatabaseSync(file, { timeout: 0 });
  try {
    db.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    return db;
  } catch (error) {
    db.close();
    throw isBusy(error) ? new ToolRuntimeError("ERR_CONFIG_INVALID", inUse(folder), { cause: error }) : error;
  }
}

function inUse(folder: string): string {
  return `Cannot keep the state in ${JSON.stringify(folder)}: another process has it; give each service a folder of its own`;
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && "errcode" in error && error.errcode === 5;
}

function checkVersion(sql: EagerSql, folder: string): void {
  const [row] = sql.exec<{ user_version: number }>("PRAGMA user_version");
  const [tables] = sql.exec<{ count: number }>("SELECT COUNT(*) AS count FROM sqlite_schema");
  const version = row?.user_version ?? 0;
  if (version === formatVersion) return;
  if (version !== 0 || (tables?.count ?? 0) > 0) {
    const problem = version === 0 ? "its state.db is somebody else's" : `its format is ${version}, this version writes ${formatVersion}`;
    throw new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot keep the state in ${JSON.stringify(folder)}: ${problem}; name another folder`);
  }
  sql.exec(`PRAGMA user_version = ${formatVersion}`);
}

export function folderError(folder: string, error: unknown): ToolRuntimeError {
  if (error instanceof ToolRuntimeError) return error;
  const why = error instanceof Error ? error.message : String(error);
  return new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot keep the state in ${JSON.stringify(folder)}: ${why}`, {
    details: { folder },
    cause: error,
  });
}
