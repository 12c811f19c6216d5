import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";

/** Frames of the log of writes, and how many of them are in the file itself (https://sqlite.org/pragma.html#pragma_wal_checkpoint). */
export interface CheckpointReply {
  readonly log: number;
  readonly checkpointed: number;
}

/** The thread that copies what was written from the log into the file, whenever it is asked to. */
const { file } = workerData as { readonly file: string };
const database = new DatabaseSync(file, { timeout: 1000 });
database.exec("PRAGMA wal_autocheckpoint = 0");
const checkpoint = database.prepare("PRAGMA wal_checkpoint(PASSIVE)");

parentPort?.on("message", (ask: "checkpoint" | "close") => {
  if (ask === "close") {
    database.close();
    process.exit();
  }
  const { log, checkpointed } = checkpoint.get() ?? {};
  const reply: CheckpointReply = { log: Number(log), checkpointed: Number(checkpointed) };
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port of a thread, not a window
  parentPort?.postMessage(reply);
});
