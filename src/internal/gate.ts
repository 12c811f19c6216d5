import { ToolRuntimeError } from "../errors.ts";

export interface Concurrency {
  /** How many runs at once. */
  readonly running: number;
  /** How many may wait for a place; more are refused with `ERR_QUEUE_FULL`. */
  readonly queued: number;
}

/** A bounded queue in front of a bounded number of places. */
export class Gate {
  readonly #limits: Concurrency;
  readonly #waiting = new Set<() => void>();
  #running = 0;

  constructor(limits: Concurrency) {
    this.#limits = limits;
  }

  get running(): number {
    return this.#running;
  }

  get queued(): number {
    return this.#waiting.size;
  }

  /** Takes a place at once, or waits for one until the signal is aborted. Whoever entered calls `leave` once. */
  enter(signal: AbortSignal): Promise<void> | void {
    signal.throwIfAborted();
    if (this.#running < this.#limits.running) {
      this.#running++;
      return;
    }
    if (this.#waiting.size >= this.#limits.queued) {
      throw new ToolRuntimeError(
        "ERR_QUEUE_FULL",
        `Cannot queue the task: ${this.#running} run and ${this.#waiting.size} wait already; send it again later`,
        { details: { running: this.#running, queued: this.#waiting.size, retryAfterMs: 1000 } },
      );
    }
    return new Promise((resolve, reject) => {
      const go = () => {
        signal.removeEventListener("abort", stop);
        resolve();
      };
      const stop = () => {
        this.#waiting.delete(go);
        reject(signal.reason);
      };
      signal.addEventListener("abort", stop, { once: true });
      this.#waiting.add(go);
    });
  }

  /** Hands the place to whoever has waited longest. */
  leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#running--;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
