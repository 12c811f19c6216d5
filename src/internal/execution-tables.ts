import type { ExecutionInfo, ExecutionState, Outcome, StoredEvent } from "../store.ts";

export type SqlValue = string | number | null;
export type SqlRow = Record<string, SqlValue>;

/** SQLite as it is used here; a Durable Object's storage has this shape. */
export interface Sql {
  exec<T extends SqlRow>(query: string, ...values: readonly SqlValue[]): Iterable<T>;
}

/** A row of a Durable Object holds at most 2 MB, and a character takes at most three bytes. */
const maxPartCharacters = 512 * 1024;

const schema = [
  `CREATE TABLE IF NOT EXISTS executions (
    id TEXT PRIMARY KEY, info TEXT NOT NULL, status TEXT NOT NULL, ended_at TEXT, ended_ms INTEGER, ended_order INTEGER,
    outcome TEXT, characters INTEGER NOT NULL, lease_ms INTEGER, is_cancelled INTEGER NOT NULL)`,
  `CREATE INDEX IF NOT EXISTS executions_by_end ON executions (ended_order)`,
  `CREATE TABLE IF NOT EXISTS events (id TEXT NOT NULL, seq INTEGER NOT NULL, part INTEGER NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (id, seq, part)) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS keys (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, execution_id TEXT NOT NULL, outcome TEXT, characters INTEGER NOT NULL,
    settled_order INTEGER, expires_ms INTEGER, lease_ms INTEGER)`,
  `CREATE INDEX IF NOT EXISTS keys_by_settling ON keys (settled_order)`,
  `CREATE INDEX IF NOT EXISTS keys_by_execution ON keys (execution_id)`,
  `CREATE TABLE IF NOT EXISTS answers (owner TEXT NOT NULL, part INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (owner, part)) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS grants (digest TEXT PRIMARY KEY, used_order INTEGER NOT NULL)`,
  `CREATE INDEX IF NOT EXISTS grants_by_use ON grants (used_order)`,
];

/** A key as it stands. */
export interface HeldKey {
  readonly fingerprint: string;
  readonly executionId: string;
  readonly outcome?: Outcome;
}

/** An execution of which nobody can say any more how it goes. */
export interface LostExecution {
  readonly id: string;
  /** Whether its tool may have. */
  readonly hasStarted: boolean;
  readonly lastSeq: number;
}

/** `starting` is shown as accepted: whether the tool has started is not known. */
type StoredStatus = ExecutionState["status"] | "starting";

interface Totals extends SqlRow {
  readonly count: number;
  readonly characters: number;
}

/** Cuts text into what a row holds, never between the halves of a surrogate pair, which could not be stored. */
function partsOf(text: string): string[] {
  const parts: string[] = [];
  for (let start = 0; start < text.length || parts.length === 0;) {
    let end = Math.min(text.length, start + maxPartCharacters);
    const last = text.charCodeAt(end - 1);
    if (end < text.length && last >= 0xd800 && last <= 0xdbff) end--;
    parts.push(text.slice(start, end));
    start = end;
  }
  return parts;
}

/** What a store keeps, as tables. Every method is one step: nothing else happens to the store meanwhile. */
export class ExecutionTables {
  readonly #sql: Sql;
  #executions = 0;
  #executionCharacters = 0;
  #keys = 0;
  #keyCharacters = 0;
  #grants = 0;
  /** Orders what ends, is settled or is used: clocks stand still and run back. */
  #order = 0;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Makes what is not there yet, and counts what is. Before anything is written. */
  open(): void {
    for (const statement of schema) this.#run(statement);
    this.count();
  }

  /** Counts again, after what was written has been taken back. */
  count(): void {
    const executions = this.#first<Totals>("SELECT COUNT(*) AS count, COALESCE(SUM(characters), 0) AS characters FROM executions");
    const keys = this.#first<Totals>("SELECT COUNT(*) AS count, COALESCE(SUM(characters), 0) AS characters FROM keys");
    const grants = this.#first<Totals>("SELECT COUNT(*) AS count, 0 AS characters FROM grants");
    const order = this.#first<{ last: number }>(`SELECT MAX(
      (SELECT COALESCE(MAX(ended_order), 0) FROM executions), (SELECT COALESCE(MAX(settled_order), 0) FROM keys),
      (SELECT COALESCE(MAX(used_order), 0) FROM grants)) AS last`);
    this.#executions = executions?.count ?? 0;
    this.#executionCharacters = executions?.characters ?? 0;
    this.#keys = keys?.count ?? 0;
    this.#keyCharacters = keys?.characters ?? 0;
    this.#grants = grants?.count ?? 0;
    this.#order = order?.last ?? 0;
  }

  #all<T extends SqlRow>(query: string, ...values: readonly SqlValue[]): T[] {
    return [...this.#sql.exec<T>(query, ...values)];
  }

  #first<T extends SqlRow>(query: string, ...values: readonly SqlValue[]): T | undefined {
    return this.#all<T>(query, ...values)[0];
  }

  #run(query: string, ...values: readonly SqlValue[]): void {
    this.#all(query, ...values);
  }

  get executions(): { readonly count: number; readonly characters: number } {
    return { count: this.#executions, characters: this.#executionCharacters };
  }

  get keys(): { readonly count: number; readonly characters: number } {
    return { count: this.#keys, characters: this.#keyCharacters };
  }

  createExecution(info: ExecutionInfo, leaseMs: number): void {
    const row = [info.id, JSON.stringify(info), leaseMs];
    this.#run("INSERT INTO executions (id, info, status, characters, lease_ms, is_cancelled) VALUES (?, ?, 'accepted', 0, ?, 0)", ...row);
    this.#executions++;
  }

  /** Whether it is there and has not ended, and whether somebody wants it to end. */
  renew(id: string, leaseMs: number): { readonly isLive: boolean; readonly isCancelled: boolean } {
    const found = this.#first<{ is_cancelled: number }>("SELECT is_cancelled FROM executions WHERE id = ? AND lease_ms IS NOT NULL", id);
    if (found === undefined) return { isLive: false, isCancelled: false };
    this.#run("UPDATE executions SET lease_ms = ? WHERE id = ?", leaseMs, id);
    this.#run("UPDATE keys SET lease_ms = ? WHERE execution_id = ? AND lease_ms IS NOT NULL", leaseMs, id);
    return { isLive: true, isCancelled: found.is_cancelled === 1 };
  }

  cancel(id: string): void {
    this.#run("UPDATE executions SET is_cancelled = 1 WHERE id = ? AND lease_ms IS NOT NULL", id);
  }

  /** From here on its tool may have started, and only `start` says that it has. Whether it is there and has not ended. */
  prepareStart(id: string): boolean {
    const found = this.#first<{ status: string }>("SELECT status FROM executions WHERE id = ? AND lease_ms IS NOT NULL", id);
    if (found?.status === "accepted") this.#run("UPDATE executions SET status = 'starting' WHERE id = ?", id);
    return found !== undefined;
  }

  start(id: string): void {
    this.#run("UPDATE executions SET status = 'running' WHERE id = ? AND lease_ms IS NOT NULL", id);
  }

  addEvents(id: string, events: readonly StoredEvent[]): void {
    if (!this.#has(id)) return;
    let characters = 0;
    for (const { seq, json } of events) {
      for (const [part, text] of partsOf(json).entries())
        this.#run("INSERT OR REPLACE INTO events (id, seq, part, text) VALUES (?, ?, ?, ?)", id, seq, part, text);
      characters += json.length;
    }
    this.#charge(id, characters);
  }

  #has(id: string): boolean {
    return this.#first("SELECT 1 AS found FROM executions WHERE id = ?", id) !== undefined;
  }

  #charge(id: string, characters: number): void {
    this.#run("UPDATE executions SET characters = characters + ? WHERE id = ?", characters, id);
    this.#executionCharacters += characters;
  }

  endExecution(id: string, outcome: Outcome, nowMs: number): void {
    const live = this.#first("SELECT 1 AS found FROM executions WHERE id = ? AND lease_ms IS NOT NULL", id);
    if (live === undefined) return;
    const head = this.#writeAnswer(`execution ${id}`, outcome);
    this.#run(
      "UPDATE executions SET status = 'ended', ended_at = ?, ended_ms = ?, ended_order = ?, outcome = ?, lease_ms = NULL WHERE id = ?",
      new Date(nowMs).toISOString(),
      nowMs,
      ++this.#order,
      head,
      id,
    );
    this.#charge(id, outcome.json.length);
  }

  /** Whose it is, and whether it has ended. */
  owner(id: string): { readonly tenant: string; readonly hasEnded: boolean } | undefined {
    const row = this.#first<{ info: string; status: string }>("SELECT info, status FROM executions WHERE id = ?", id);
    if (row === undefined) return undefined;
    const { tenant } = JSON.parse(row.info) as ExecutionInfo;
    return { tenant, hasEnded: row.status === "ended" };
  }

  execution(id: string): ExecutionState | undefined {
    const row = this.#first<{ info: string; status: StoredStatus; ended_at: string | null; outcome: string | null }>(
      "SELECT info, status, ended_at, outcome FROM executions WHERE id = ?",
      id,
    );
    if (row === undefined) return undefined;
    const { info, status, ended_at: endedAt, outcome } = row;
    return {
      ...(JSON.parse(info) as ExecutionInfo),
      status: status === "starting" ? "accepted" : status,
      ...(endedAt === null ? {} : { endedAt }),
      ...(outcome === null ? {} : { outcome: this.#readAnswer(`execution ${id}`, outcome) }),
    };
  }

  /** The first kept events after a sequence number. */
  eventsAfter(id: string, after: number, most: number): StoredEvent[] {
    const rows = this.#all<{ seq: number; text: string }>(
      "SELECT seq, text FROM events WHERE id = ? AND seq > ? AND seq IN (SELECT DISTINCT seq FROM events WHERE id = ? AND seq > ? ORDER BY seq LIMIT ?) ORDER BY seq, part",
      id,
      after,
      id,
      after,
      most,
    );
    const events: { seq: number; json: string }[] = [];
    for (const { seq, text } of rows) {
      const last = events.at(-1);
      if (last?.seq === seq) last.json += text;
      else events.push({ seq, json: text });
    }
    return events;
  }

  /** Forgets the execution that ended longest ago, where it ended before a time. Whether there was one. */
  dropOldest(endedBeforeMs: number): boolean {
    const row = this.#first<{ id: string; characters: number }>(
      "SELECT id, characters FROM executions WHERE ended_order IS NOT NULL AND ended_ms <= ? ORDER BY ended_order LIMIT 1",
      endedBeforeMs,
    );
    if (row === undefined) return false;
    this.#drop(row);
    return true;
  }

  /** Forgets an execution as if it had never been. */
  drop(id: string): void {
    const row = this.#first<{ id: string; characters: number }>("SELECT id, characters FROM executions WHERE id = ?", id);
    if (row !== undefined) this.#drop(row);
  }

  #drop({ id, characters }: { readonly id: string; readonly characters: number }): void {
    this.#run("DELETE FROM events WHERE id = ?", id);
    this.#run("DELETE FROM answers WHERE owner = ?", `execution ${id}`);
    this.#run("DELETE FROM executions WHERE id = ?", id);
    this.#executions--;
    this.#executionCharacters -= characters;
  }

  lostExecutions(nowMs: number): LostExecution[] {
    return this.#all<{ id: string; status: string; last: number }>(
      `SELECT id, status, (SELECT COALESCE(MAX(seq), 1) FROM events WHERE events.id = executions.id) AS last
       FROM executions WHERE lease_ms <= ?`,
      nowMs,
    ).map(({ id, status, last }) => ({ id, hasStarted: status !== "accepted", lastSeq: last }));
  }

  key(key: string): HeldKey | undefined {
    const row = this.#first<{ fingerprint: string; execution_id: string; outcome: string | null }>(
      "SELECT fingerprint, execution_id, outcome FROM keys WHERE key = ?",
      key,
    );
    if (row === undefined) return undefined;
    const { fingerprint, execution_id: executionId, outcome } = row;
    return { fingerprint, executionId, ...(outcome === null ? {} : { outcome: this.#readAnswer(`key ${key}`, outcome) }) };
  }

  holdKey(key: string, { fingerprint, executionId }: Omit<HeldKey, "outcome">, leaseMs: number): void {
    this.#run(
      "INSERT INTO keys (key, fingerprint, execution_id, characters, lease_ms) VALUES (?, ?, ?, 0, ?)",
      key,
      fingerprint,
      executionId,
      leaseMs,
    );
    this.#keys++;
  }

  settleKey(key: string, outcome: Outcome, expiresMs: number): void {
    const head = this.#writeAnswer(`key ${key}`, outcome);
    this.#run(
      "UPDATE keys SET outcome = ?, characters = ?, settled_order = ?, expires_ms = ?, lease_ms = NULL WHERE key = ?",
      head,
      outcome.json.length,
      ++this.#order,
      expiresMs,
      key,
    );
    this.#keyCharacters += outcome.json.length;
  }

  dropKey(key: string): void {
    const row = this.#first<{ characters: number }>("SELECT characters FROM keys WHERE key = ?", key);
    if (row === undefined) return;
    this.#run("DELETE FROM answers WHERE owner = ?", `key ${key}`);
    this.#run("DELETE FROM keys WHERE key = ?", key);
    this.#keys--;
    this.#keyCharacters -= row.characters;
  }

  /** The key that was settled longest ago. */
  oldestKey(): { readonly key: string; readonly expiresMs: number } | undefined {
    const row = this.#first<{ key: string; expires_ms: number }>(
      "SELECT key, expires_ms FROM keys WHERE settled_order IS NOT NULL ORDER BY settled_order LIMIT 1",
    );
    return row === undefined ? undefined : { key: row.key, expiresMs: row.expires_ms };
  }

  /** Keys whose run has not ended: those of a run, or those whose run was not even noted in time. */
  openKeys(by: { readonly executionId: string } | { readonly leaseBeforeMs: number }): string[] {
    const rows =
      "executionId" in by
        ? this.#all<{ key: string }>("SELECT key FROM keys WHERE execution_id = ? AND lease_ms IS NOT NULL", by.executionId)
        : this.#all<{ key: string }>(
            "SELECT key FROM keys WHERE lease_ms <= ? AND NOT EXISTS (SELECT 1 FROM executions WHERE id = execution_id AND lease_ms IS NOT NULL)",
            by.leaseBeforeMs,
          );
    return rows.map(({ key }) => key);
  }

  grant(digest: string, maxGrants: number): void {
    if (this.#first("SELECT 1 AS found FROM grants WHERE digest = ?", digest) === undefined) this.#grants++;
    this.#run("INSERT OR REPLACE INTO grants (digest, used_order) VALUES (?, ?)", digest, ++this.#order);
    if (this.#grants <= maxGrants) return;
    this.#run("DELETE FROM grants WHERE digest = (SELECT digest FROM grants ORDER BY used_order LIMIT 1)");
    this.#grants--;
  }

  isGranted(digest: string): boolean {
    return this.#first("SELECT 1 AS found FROM grants WHERE digest = ?", digest) !== undefined;
  }

  /** When something has to be looked at next: a lease, a key or an execution that runs out. */
  nextMs(keepMs: number): number | undefined {
    const row = this.#first<{ at: number | null }>(
      `SELECT MIN(at) AS at FROM (
        SELECT MIN(lease_ms) AS at FROM executions UNION ALL SELECT MIN(lease_ms) FROM keys
        UNION ALL SELECT MIN(ended_ms) + ? FROM executions UNION ALL SELECT MIN(expires_ms) FROM keys)`,
      keepMs,
    );
    return row?.at ?? undefined;
  }

  #writeAnswer(owner: string, { json, ...head }: Outcome): string {
    for (const [part, text] of partsOf(json).entries())
      this.#run("INSERT OR REPLACE INTO answers (owner, part, text) VALUES (?, ?, ?)", owner, part, text);
    return JSON.stringify(head);
  }

  #readAnswer(owner: string, head: string): Outcome {
    const parts = this.#all<{ text: string }>("SELECT text FROM answers WHERE owner = ? ORDER BY part", owner);
    return { ...(JSON.parse(head) as Omit<Outcome, "json">), json: parts.map(({ text }) => text).join("") };
  }
}
