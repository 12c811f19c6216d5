import type { Sql } from "../../internal/execution-tables.ts";

const schema = [
  "CREATE TABLE IF NOT EXISTS spent (id TEXT PRIMARY KEY, until_ms INTEGER NOT NULL) WITHOUT ROWID",
  "CREATE INDEX IF NOT EXISTS spent_by_end ON spent (until_ms)",
];

export interface SpendRequest {
  readonly id: string;
  readonly validForMs: number;
}

/** Signed tokens that were used, as a table of one object. What has run out goes with the next one that comes. */
export class SpentTokens {
  readonly #sql: Sql;
  readonly #max: number;
  #count = 0;

  constructor(sql: Sql, max: number) {
    this.#sql = sql;
    this.#max = max;
    for (const statement of schema) this.#sql.exec(statement);
    for (const { count } of this.#sql.exec<{ count: number }>("SELECT COUNT(*) AS count FROM spent")) this.#count = count;
  }

  /** One step: nothing else happens to the object meanwhile. */
  spend({ id, validForMs }: SpendRequest, nowMs: number): "first" | "seen" | "full" {
    this.#count -= [...this.#sql.exec("DELETE FROM spent WHERE until_ms < ? RETURNING id", nowMs)].length;
    if ([...this.#sql.exec("SELECT id FROM spent WHERE id = ?", id)].length > 0) return "seen";
    // To forget one that is still good would let it be used again.
    if (this.#count >= this.#max) return "full";
    this.#count++;
    this.#sql.exec("INSERT INTO spent (id, until_ms) VALUES (?, ?)", id, Math.ceil(nowMs + validForMs));
    return "first";
  }
}
