import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { memoryReplays, type MemoryReplaysOptions, type Replays } from "../trust/index.ts";
import { configError, reasonOf } from "./config/errors.ts";

export interface ReplayFile extends Replays {
  close(): void;
}

export interface ReplayFileOptions extends MemoryReplaysOptions {
  readonly folder: string;
}

/** How often rows that have run out are taken out of the file. */
const sweepMs = 10_000;

/**
 * Tokens that were used, in memory and in a file: a process that is killed and started again knows those that its
 * predecessor took. A write reaches the system's memory before the request goes on; a loss of power may lose the last ones.
 *
 * @throws `ERR_CONFIG_INVALID` where the file cannot be opened.
 */
export function replayFile({ folder, ...options }: ReplayFileOptions): ReplayFile {
  const db = open(folder);
  const memory = memoryReplays(options);
  const insert = db.prepare("INSERT OR IGNORE INTO spent (issuer, id, until_ms) VALUES (?, ?, ?)");
  const sweep = db.prepare("DELETE FROM spent WHERE until_ms < ?");
  let sweptMs = Date.now();
  sweep.run(sweptMs);
  for (const { issuer, id, until_ms: untilMs } of db.prepare("SELECT issuer, id, until_ms FROM spent").all()) {
    // What no longer fits is refused as long as it is full, as if it had come here.
    memory.spend({ issuer: String(issuer), id: String(id), validForMs: Number(untilMs) - sweptMs });
  }
  return {
    spend(token) {
      const nowMs = Date.now();
      const spending = memory.spend(token);
      if (spending === "first") insert.run(token.issuer, token.id, Math.ceil(nowMs + token.validForMs));
      if (nowMs - sweptMs > sweepMs) {
        sweptMs = nowMs;
        sweep.run(nowMs);
      }
      return spending;
    },
    close() {
      if (db.isOpen) db.close();
    },
  };
}

function open(folder: string): DatabaseSync {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const file = join(folder, "used-tokens.db");
    const db = new DatabaseSync(file);
    chmodSync(file, 0o600);
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 100");
    db.exec("CREATE TABLE IF NOT EXISTS spent (issuer TEXT, id TEXT, until_ms INTEGER, PRIMARY KEY (issuer, id)) WITHOUT ROWID, STRICT");
    return db;
  } catch (error) {
    throw configError("state.folder", `the file of used tokens cannot be opened: ${reasonOf(error)}`, error);
  }
}
