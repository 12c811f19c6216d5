import { ToolRuntimeError } from "../../errors.ts";
import type { ChildHandle } from "./child-handle.ts";

export interface PoolSettings {
  /** How many children may have a tool at once, running or waiting for their next run. */
  readonly maxChildren: number;
  /** How many started children without a tool wait. */
  readonly spares: number;
  readonly maxQueue: number;
  readonly maxWaitMs: number;
  /** How long a child that has a tool waits for the next run. */
  readonly idleMs: number;
}

interface Want {
  /** A child serves runs of one key alone, from its first to its last. */
  readonly key: string;
  readonly memoryPages: number;
}

interface Waiter extends Want {
  /** With the child of an earlier run of the same key, or with a place for another. */
  readonly go: (child: ChildHandle | undefined) => void;
  passedOver: number;
}

/** How often a later run of a child's own tool may go before the run that has waited longest: changing children costs more. */
const maxPassedOver = 16;

const firstRetryMs = 500;
const lastRetryMs = 60_000;

/** The children of a driver: those with a tool, busy or idle, at most so many, and spares that have none yet. */
export class ChildPool {
  readonly #settings: PoolSettings;
  readonly #start: (memoryPages: number) => ChildHandle;
  readonly #all = new Set<ChildHandle>();
  /** The one that has waited longest comes first. */
  readonly #idle = new Map<ChildHandle, ReturnType<typeof setTimeout>>();
  readonly #spares = new Set<ChildHandle>();
  readonly #waiting: Waiter[] = [];
  #places = 0;
  /** How many spares in a row ended before they had begun. */
  #failures = 0;
  #isClosed = false;

  /** @param start starts a child for memories of at least so many pages. */
  constructor(settings: PoolSettings, start: (memoryPages: number) => ChildHandle) {
    this.#settings = settings;
    this.#start = start;
  }

  /**
   * Gives a child that had the key before, or one that has none yet and is to be bound. Waits for its turn where all are
   * busy, until the signal is aborted. Whoever has it hands it back by `release` or `discard`.
   *
   * @throws `ERR_QUEUE_FULL`, `ERR_CLOSED`, `ERR_BACKEND_FAILED`, the signal's reason.
   */
  async acquire(want: Want, signal: AbortSignal): Promise<ChildHandle> {
    signal.throwIfAborted();
    if (this.#isClosed) throw closedError();
    const idle = [...this.#idle.keys()].findLast(({ key, isAlive }) => key === want.key && isAlive);
    if (idle !== undefined) return this.#wake(idle);
    if (this.#places < this.#settings.maxChildren) this.#places++;
    else {
      const [oldest] = this.#idle.keys();
      const child = oldest === undefined ? await this.#wait(want, signal) : await this.#evict(oldest);
      if (child !== undefined) return child;
    }
    try {
      return await this.#unbound(want.memoryPages, signal);
    } catch (error) {
      this.#freePlace();
      throw error;
    }
  }

  #wake(child: ChildHandle): ChildHandle {
    clearTimeout(this.#idle.get(child));
    this.#idle.delete(child);
    child.hold();
    return child;
  }

  async #evict(child: ChildHandle): Promise<undefined> {
    await this.#wake(child).kill();
  }

  #wait(want: Want, signal: AbortSignal): Promise<ChildHandle | undefined> {
    const { maxQueue, maxWaitMs } = this.#settings;
    if (this.#waiting.length >= maxQueue) throw this.#fullError(`${this.#waiting.length} wait already`);
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", stop);
        const at = this.#waiting.indexOf(waiter);
        if (at !== -1) this.#waiting.splice(at, 1);
      };
      const stop = (): void => {
        leave();
        reject(signal.reason);
      };
      const go = (child: ChildHandle | undefined): void => {
        leave();
        if (this.#isClosed) reject(closedError());
        else resolve(child);
      };
      const waiter: Waiter = { ...want, go, passedOver: 0 };
      const timer = setTimeout(() => {
        leave();
        reject(this.#fullError(`none came free within ${maxWaitMs} ms`));
      }, maxWaitMs);
      signal.addEventListener("abort", stop, { once: true });
      this.#waiting.push(waiter);
    });
  }

  #fullError(why: string): ToolRuntimeError {
    return new ToolRuntimeError(
      "ERR_QUEUE_FULL",
      `Cannot run the task on backend "wasm": all ${this.#settings.maxChildren} processes are busy and ${why}; send it again later`,
      { details: { running: this.#settings.maxChildren, queued: this.#waiting.length, retryAfterMs: 1000 } },
    );
  }

  async #unbound(memoryPages: number, signal: AbortSignal): Promise<ChildHandle> {
    const spare = [...this.#spares].find(({ shape, isAlive }) => isAlive && shape.memoryPages >= memoryPages);
    const child = spare ?? this.#begin(memoryPages);
    this.#spares.delete(child);
    child.hold();
    this.fill();
    const stop = Promise.withResolvers<never>();
    const onAbort = (): void => stop.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      signal.throwIfAborted();
      await Promise.race([child.ready, stop.promise]);
      return child;
    } catch (error) {
      await child.kill();
      throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  #begin(memoryPages: number): ChildHandle {
    if (this.#isClosed) throw closedError();
    const child = this.#start(memoryPages);
    this.#all.add(child);
    void child.gone.then(() => this.#onGone(child));
    return child;
  }

  /** One that ended without being told to: killed by somebody, or by the kernel. */
  #onGone(child: ChildHandle): void {
    this.#all.delete(child);
    if (this.#idle.has(child)) {
      this.#wake(child);
      this.#freePlace();
    }
    if (this.#spares.delete(child)) void this.#replace(child);
  }

  /** One that never came up would not come up again at once either. */
  async #replace(spare: ChildHandle): Promise<void> {
    const wasReady = await spare.ready.then(
      () => true,
      () => false,
    );
    this.#failures = wasReady ? 0 : this.#failures + 1;
    const waitMs = wasReady ? 0 : Math.min(firstRetryMs * 2 ** (this.#failures - 1), lastRetryMs);
    setTimeout(() => this.fill(), waitMs).unref();
  }

  /** Starts spares where some are missing. */
  fill(): void {
    while (!this.#isClosed && this.#spares.size < this.#settings.spares) {
      try {
        this.adopt(this.#begin(0));
      } catch {
        // Whoever needs a child meets the error and hears of it.
        return;
      }
    }
  }

  /** Makes a started child a spare. */
  adopt(child: ChildHandle): void {
    if (!this.#all.has(child)) {
      this.#all.add(child);
      void child.gone.then(() => this.#onGone(child));
    }
    this.#spares.add(child);
    child.relax();
  }

  /** Whether some child is there, or can be started. @throws what keeps one from starting. */
  async check(): Promise<void> {
    if (this.#places > 0) return;
    this.fill();
    const [spare] = this.#spares;
    if (spare === undefined) return;
    spare.hold();
    await spare.ready;
    if (this.#spares.has(spare)) spare.relax();
  }

  /** Takes back a child that may have another run of its key. */
  release(child: ChildHandle): void {
    if (this.#isClosed || !child.isAlive) {
      void this.discard(child);
      return;
    }
    const next = this.#nextFor(child.key);
    if (next !== undefined) {
      next.go(child);
      return;
    }
    if (this.#waiting.length > 0) {
      void this.discard(child);
      return;
    }
    const timer = setTimeout(() => this.#idle.has(child) && void this.discard(this.#wake(child)), this.#settings.idleMs);
    timer.unref();
    this.#idle.set(child, timer);
    child.relax();
  }

  #nextFor(key: string | undefined): Waiter | undefined {
    const [head] = this.#waiting;
    const own = this.#waiting.find((waiter) => waiter.key === key);
    if (head === undefined || own === undefined || own === head) return own;
    if (head.passedOver >= maxPassedOver) return undefined;
    head.passedOver++;
    return own;
  }

  /** Ends a child and, once it is gone, lets another have its place. */
  async discard(child: ChildHandle): Promise<void> {
    await child.kill();
    this.#freePlace();
  }

  #freePlace(): void {
    const [head] = this.#waiting;
    if (head === undefined) this.#places--;
    else head.go(undefined);
  }

  /** Ends all children, those that run too, and waits until they are gone. */
  async close(): Promise<void> {
    this.#isClosed = true;
    while (this.#waiting.length > 0) this.#waiting[0]?.go(undefined);
    await Promise.all([...this.#all].map((child) => child.kill()));
    for (const timer of this.#idle.values()) clearTimeout(timer);
  }
}

export function closedError(): ToolRuntimeError {
  return new ToolRuntimeError("ERR_CLOSED", 'Cannot run the task on backend "wasm": the backend is closed');
}
