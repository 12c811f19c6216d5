import { hash } from "node:crypto";
import { createAuditLog, type AuditLog } from "../../../store.ts";
import type { Database } from "./database.ts";

const schema = "CREATE TABLE IF NOT EXISTS audit (seq INTEGER PRIMARY KEY, line TEXT NOT NULL)";
/** Records are dropped so many at once. */
const dropAtOnce = 1000;
/** How far back the record of an acceptance is looked for. */
const maxLookedAt = 100_000;

/** The audit log as a table: the lines of docs/audit.md, one a row. */
export class AuditTable {
  readonly log: AuditLog;
  readonly #database: Database;
  readonly #maxRecords: number;
  /** Lines that no transaction has kept yet. They outlive one that fails: a chain with a gap is a broken one. */
  #waiting: string[] = [];
  #written = 0;
  #nextSeq: number;

  constructor(database: Database, maxRecords: number) {
    this.#database = database;
    this.#maxRecords = maxRecords;
    database.writer.exec(schema);
    const [last] = database.writer.exec<{ seq: number; line: string }>("SELECT seq, line FROM audit ORDER BY seq DESC LIMIT 1");
    this.#nextSeq = last === undefined ? 0 : last.seq + 1;
    this.log = createAuditLog({
      hash: (text) => `sha256:${hash("sha256", text, "hex")}`,
      sinks: [(line) => this.#take(line)],
      ...(last === undefined ? {} : { last: last.line }),
    });
  }

  #take(line: string): void {
    this.#waiting.push(line);
    try {
      // Opens the turn's transaction, at whose end the line is written.
      this.#database.write(() => undefined);
    } catch {
      // The next one writes it. While nothing can be written, nothing is accepted.
    }
  }

  /** Called in each transaction, last. */
  writeWaiting(): void {
    const { writer } = this.#database;
    this.#written = 0;
    for (const line of this.#waiting) writer.exec("INSERT INTO audit (seq, line) VALUES (?, ?)", this.#nextSeq + this.#written++, line);
    const first = this.#nextSeq + this.#written - this.#maxRecords;
    if (this.#written > 0 && first > 0 && first % dropAtOnce < this.#written) writer.exec("DELETE FROM audit WHERE seq < ?", first);
  }

  /** Called when the transaction is kept. */
  forgetWritten(): void {
    this.#nextSeq += this.#written;
    this.#waiting = this.#waiting.slice(this.#written);
    this.#written = 0;
  }

  /** The kept lines, oldest first. */
  *lines(): Generator<string> {
    for (let after = -1; ;) {
      const next = "SELECT seq, line FROM audit WHERE seq > ? ORDER BY seq LIMIT 1000";
      const rows = this.#database.reader.exec<{ seq: number; line: string }>(next, after);
      for (const { line } of rows) yield line;
      const last = rows.at(-1);
      if (last === undefined) return;
      after = last.seq;
    }
  }

  /** The records that say how executions were accepted, as far as they are found. */
  acceptances(ids: ReadonlySet<string>): Map<string, string> {
    const found = new Map<string, string>();
    for (let before = this.#nextSeq; found.size < ids.size && before > 0 && this.#nextSeq - before < maxLookedAt; before -= 1000) {
      const rows = this.#database.writer.exec<{ line: string }>("SELECT line FROM audit WHERE seq < ? AND seq >= ?", before, before - 1000);
      for (const { line } of rows) {
        const id = /"executionId":"([^"]+)"/.exec(line)?.[1];
        if (id !== undefined && ids.has(id) && line.includes('"event":"accepted"')) found.set(id, line);
      }
    }
    return found;
  }
}
