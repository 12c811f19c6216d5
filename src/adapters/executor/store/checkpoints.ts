import type { DatabaseSync } from "node:sqlite";
import { Worker } from "node:worker_threads";
import type { CheckpointReply } from "./checkpoint-thread.ts";

/** How long what was written stays in the log alone. */
const pauseMs = 250;
/** So much of the log (64 MiB in pages of 4 KiB) is copied on the event loop: the thread does not keep up. */
const maxFrames = 16_384;
const maxHeapMiB = 32;

/**
 * Copies SQLite's log of writes into its file in a thread of its own: that waits for the disk, tens of milliseconds at a
 * time, and the serving event loop must not.
 */
export class Checkpoints {
  readonly #db: DatabaseSync;
  readonly #worker: Worker;
  #state: "idle" | "waiting" | "asked" | "failed" | "closed" = "idle";
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(db: DatabaseSync, file: string) {
    this.#db = db;
    db.exec("PRAGMA wal_autocheckpoint = 0");
    const entry = new URL(import.meta.url.endsWith(".ts") ? "./checkpoint-thread.ts" : "./checkpoint-thread.js", import.meta.url);
    this.#worker = new Worker(entry, {
      workerData: { file },
      env: {},
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: maxHeapMiB },
    });
    this.#worker.unref();
    this.#worker.on("message", (reply: CheckpointReply) => this.#took(reply));
    this.#worker.on("error", () => this.#fail());
  }

  /** Something was written. */
  note(): void {
    if (this.#state !== "idle") return;
    this.#state = "waiting";
    this.#timer = setTimeout(() => {
      this.#state = "asked";
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port of a thread, not a window
      this.#worker.postMessage("checkpoint");
    }, pauseMs);
    this.#timer.unref();
  }

  #took({ log, checkpointed }: CheckpointReply): void {
    if (this.#state !== "asked") return;
    this.#state = "idle";
    if (log - checkpointed > maxFrames) this.#db.exec("PRAGMA wal_checkpoint(RESTART)");
  }

  /** Without the thread the log is copied as SQLite does it by itself. */
  #fail(): void {
    if (this.#state === "closed") return;
    this.#state = "failed";
    this.#db.exec("PRAGMA wal_autocheckpoint = 1000");
  }

  /** Settles when the thread has let go of the file. */
  async close(): Promise<void> {
    const wasRunning = this.#state !== "failed";
    this.#state = "closed";
    clearTimeout(this.#timer);
    if (!wasRunning) return;
    const gone = new Promise((resolve) => this.#worker.once("exit", resolve));
    this.#worker.ref();
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port of a thread, not a window
    this.#worker.postMessage("close");
    await gone;
  }
}
