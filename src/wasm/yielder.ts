/** The longest that a guest which calls the host may keep the event loop to itself, in ms. */
const sliceMs = 8;

/**
 * Lets the event loop have its turn in the middle of a guest's host calls. Suspending alone does not: a guest resumed by
 * a microtask goes on before any timer, request or abort is looked at.
 */
export class Yielder {
  readonly #signal: AbortSignal;
  #since = performance.now();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Waits for the host call's own promise, and for the event loop where it has not had a turn for a while. */
  after(call: void | Promise<void>): void | Promise<void> {
    if (call !== undefined) return call.then(() => this.#turn());
    if (performance.now() - this.#since >= sliceMs) return this.#turn();
  }

  async #turn(): Promise<void> {
    if (performance.now() - this.#since < sliceMs) return;
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#since = performance.now();
    this.#signal.throwIfAborted();
  }

  /** Waits, or ends the guest when the run is ended. */
  sleep(milliseconds: number): Promise<void> {
    const signal = this.#signal;
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        clearTimeout(timer);
        reject(signal.reason);
      };
      const wake = (): void => {
        signal.removeEventListener("abort", stop);
        resolve();
      };
      const timer = setTimeout(wake, Math.min(milliseconds, 2 ** 31 - 1));
      signal.addEventListener("abort", stop, { once: true });
      if (signal.aborted) stop();
    });
  }
}
