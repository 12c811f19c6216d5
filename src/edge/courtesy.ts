import { abortedError } from "../internal/client/failures.ts";
import type { BackendLoad, Runtime, Task } from "../runtime.ts";
import type { LiveRun } from "./runner.ts";

/** How long to wait before another look whether there is room. */
const lookMs = 100;

/**
 * Leaves half of the queue of a batch's backend to others: whoever has a batch going on can wait elsewhere. One run at a time a
 * batch always may have.
 */
export class Courtesy {
  readonly #runtime: Runtime;
  readonly #waiting = new Set<() => void>();
  #backend: string | undefined;
  #running = 0;
  /** Runs that have begun and are not counted by the backend yet. */
  #entering = 0;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Finds out which backend the batch's runs go to. */
  async ask(task: Task): Promise<void> {
    const explained = await this.#runtime.explain(task);
    this.#backend = explained.find(({ verdict }) => verdict === "chosen")?.backend;
  }

  get #hasRoom(): boolean {
    return this.#runtime.load().every((load) => load.backend !== this.#backend || this.#fits(load));
  }

  #fits({ running, capacity, queued, queue }: BackendLoad): boolean {
    if (capacity === undefined || queue === undefined) return true;
    return running + queued + this.#entering < capacity + Math.floor(queue / 2);
  }

  /** Waits until a run may begin, which `hold` then begins. @throws what the signal was aborted with. */
  async enter(signal: AbortSignal): Promise<void> {
    while (this.#running > 0 && !this.#hasRoom) {
      await this.#look(signal);
      if (signal.aborted) throw abortedError(signal, false);
    }
    this.#running++;
    this.#entering++;
  }

  hold(start: () => LiveRun): LiveRun {
    try {
      const run = start();
      void run.admitted.then(() => this.#entering--);
      void run.done.then(() => this.#leave());
      return run;
    } catch (error) {
      this.#entering--;
      this.#leave();
      throw error;
    }
  }

  #leave(): void {
    this.#running--;
    const [next] = this.#waiting;
    next?.();
  }

  #look(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const go = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", go);
        this.#waiting.delete(go);
        resolve();
      };
      const timer = setTimeout(go, lookMs);
      signal.addEventListener("abort", go, { once: true });
      this.#waiting.add(go);
    });
  }
}
