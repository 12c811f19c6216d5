import { ToolRuntimeError, toToolRuntimeError } from "../../errors.ts";
import { abortedError } from "../client/failures.ts";
import { pause, withRetries } from "../client/retries.ts";
import { Budget, fuelOf, type BatchBudget, type BudgetName } from "./budget.ts";

/** One run of a batch. */
export interface BatchRun {
  readonly index: number;
  /** Aborted when the batch's time is over, or when it is ended. */
  readonly signal: AbortSignal;
  /** The most fuel that is left for it. Absent where the batch has no budget of fuel. */
  readonly fuelCap: number | undefined;
  /** What a full queue gave it, for which a place is kept. */
  readonly ticket: string | undefined;
}

/** What a run that gave a result took of the budget. */
export interface Done<R> {
  readonly value: R;
  readonly fuel: number;
  readonly isFailure: boolean;
}

/** The one terminal answer of an input. `index` counts the inputs from 0, as they were read. */
export type Settled<R> =
  | { readonly index: number; readonly status: "result"; readonly result: R }
  | { readonly index: number; readonly status: "error"; readonly error: ToolRuntimeError };

export interface FanOutOptions<I, R> {
  readonly inputs: Iterable<I> | AsyncIterable<I>;
  run(input: I, run: BatchRun): Promise<Done<R>>;
  readonly concurrency: number;
  readonly ordered: boolean;
  readonly budget: BatchBudget;
  readonly signal: AbortSignal | undefined;
  /** How often at most an input is tried again whose error advises it. */
  readonly retries: number;
  /** Whether what may have run once may run once more. */
  readonly mayRunTwice: boolean;
}

/** How far a batch is. */
export interface Progress {
  /** Errors, and results that count as failures; not what the budget or the batch's end ended. */
  readonly failed: number;
  /** Inputs read so far. */
  readonly read: number;
  readonly running: number;
  readonly usedFuel: number;
  readonly exhaustedBy: BudgetName | undefined;
}

/** What waits out a full queue where the error does not say how long. */
const busyMs = 1000;

function isBusy({ code, started }: ToolRuntimeError): boolean {
  return !started && (code === "ERR_QUEUE_FULL" || code === "ERR_RATE_LIMITED");
}

/** Runs one piece of work over many inputs: so many at once, under one budget, one answer for each. */
export class FanOut<I, R> {
  readonly #options: FanOutOptions<I, R>;
  readonly #budget: Budget;
  readonly #runs = new AbortController();
  readonly #ready: Settled<R>[] = [];
  /** Answers that wait for those before them, where they are given in order. */
  readonly #early = new Map<number, Settled<R>>();
  #change = Promise.withResolvers<void>();
  #interruptRead: (() => void) | undefined;
  #read = 0;
  #given = 0;
  #running = 0;
  #isStopped = false;
  #isRead = false;
  #failure: { readonly error: unknown } | undefined;
  #drained: ToolRuntimeError | undefined;

  /** @throws `ERR_ARGUMENT_INVALID`. */
  constructor(options: FanOutOptions<I, R>) {
    const { concurrency } = options;
    if (!Number.isSafeInteger(concurrency) || concurrency < 1) {
      throw new ToolRuntimeError("ERR_ARGUMENT_INVALID", `Cannot use ${concurrency} as "concurrency": it takes a whole number from 1`, {
        details: { option: "concurrency" },
      });
    }
    this.#options = options;
    this.#budget = new Budget(options.budget, () => this.#runs.abort(this.#budget.error("timeout")));
  }

  get progress(): Progress {
    const { usedFuel, failed, exhaustedBy } = this.#budget;
    return { read: this.#read, running: this.#running, usedFuel, failed, exhaustedBy };
  }

  /**
   * Starts the batch and gives the answers. Nothing is read far ahead of who takes them. To be called once.
   *
   * @throws what the inputs failed with, or what the signal was aborted with, after the answers of all that had been read.
   */
  async *answers(): AsyncGenerator<Settled<R>, void, void> {
    const { signal } = this.#options;
    const onAbort = (): void => {
      if (signal !== undefined) this.#stop(abortedError(signal, false));
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
    this.#budget.start();
    void this.#readInputs();
    try {
      while (!this.#isRead || this.#running > 0 || this.#ready.length > 0) {
        const answer = this.#ready.shift();
        if (answer === undefined) {
          await this.#change.promise;
          continue;
        }
        this.#given++;
        yield answer;
        this.#notify();
      }
    } finally {
      this.#stop(new ToolRuntimeError("ERR_ABORTED", "Cannot finish the batch: its reader has left"), "leaves");
      while (this.#running > 0 || !this.#isRead) await this.#change.promise;
      this.#budget.close();
      signal?.removeEventListener("abort", onAbort);
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Reads no further, starts nothing more and lets end what runs; `answers` then throws the error. */
  drain(error: ToolRuntimeError): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#drained = error;
    this.#failure ??= { error };
    this.#interruptRead?.();
    this.#notify();
  }

  /** Ends what runs and reads no further. */
  #stop(error: ToolRuntimeError, how: "fails" | "leaves" = "fails"): void {
    if (this.#runs.signal.aborted && this.#isStopped) return;
    this.#isStopped = true;
    if (how === "fails") this.#failure ??= { error };
    this.#runs.abort(error);
    this.#interruptRead?.();
    this.#notify();
  }

  #notify(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers<void>();
  }

  get #hasRoom(): boolean {
    const { concurrency, ordered } = this.#options;
    return this.#running < concurrency && this.#read - this.#given < concurrency * (ordered ? 4 : 2);
  }

  async #readInputs(): Promise<void> {
    const { inputs } = this.#options;
    let iterator: Iterator<I> | AsyncIterator<I> | undefined;
    let isDone = false;
    try {
      iterator = Symbol.asyncIterator in inputs ? inputs[Symbol.asyncIterator]() : inputs[Symbol.iterator]();
      while (!this.#isStopped) {
        if (!this.#hasRoom) {
          await this.#change.promise;
          continue;
        }
        const next = await this.#next(iterator);
        isDone = next?.done === true;
        if (next === undefined || next.done === true) break;
        this.#begin(next.value, this.#read++);
      }
    } catch (error) {
      isDone = true;
      this.#failure ??= { error };
    }
    // Not awaited: an iterator that waits for its next value comes to its end after that.
    if (!isDone) void returnQuietly(iterator);
    this.#isRead = true;
    this.#notify();
  }

  /** The next input; nothing where the batch is stopped before it comes. */
  #next(iterator: Iterator<I> | AsyncIterator<I>): Promise<IteratorResult<I> | undefined> {
    return new Promise((resolve, reject) => {
      this.#interruptRead = () => resolve(undefined);
      Promise.resolve(iterator.next()).then(resolve, reject);
    });
  }

  #begin(input: I, index: number): void {
    this.#running++;
    void this.#perform(input, index).then((answer) => {
      this.#running--;
      this.#settle(answer);
    });
  }

  #settle(answer: Settled<R>): void {
    if (!this.#options.ordered) this.#ready.push(answer);
    else {
      this.#early.set(answer.index, answer);
      let next = this.#given + this.#ready.length;
      for (let early = this.#early.get(next); early !== undefined; early = this.#early.get(++next)) {
        this.#early.delete(next);
        this.#ready.push(early);
      }
    }
    this.#notify();
  }

  /** Never rejects. */
  async #perform(input: I, index: number): Promise<Settled<R>> {
    const { retries, mayRunTwice } = this.#options;
    const { signal } = this.#runs;
    const rules = { retries, signal, remainingMs: () => Number.POSITIVE_INFINITY, mayRunTwice };
    let fuelCap: number | undefined;
    const attempt = (ticket: string | undefined): Promise<Done<R>> => {
      const spent = this.#budget.exhaustedBy;
      if (spent !== undefined) throw this.#budget.error(spent);
      if (this.#drained !== undefined) throw this.#drained;
      fuelCap = this.#budget.fuelCap;
      return this.#options.run(input, { index, signal, fuelCap, ticket });
    };
    try {
      const { value, fuel, isFailure } = await withRetries(() => this.#untilAdmitted(attempt), rules);
      this.#budget.charge({ fuel, isFailure });
      return { index, status: "result", result: value };
    } catch (cause) {
      return { index, status: "error", error: this.#conclude(toToolRuntimeError(cause), fuelCap) };
    }
  }

  /** A full queue is waited out, whatever it takes: the batch holds no more places than it may run at once. */
  async #untilAdmitted(attempt: (ticket: string | undefined) => Promise<Done<R>>): Promise<Done<R>> {
    const { signal } = this.#runs;
    for (let ticket: string | undefined; ;) {
      try {
        return await attempt(ticket);
      } catch (error) {
        if (!(error instanceof ToolRuntimeError) || !isBusy(error) || signal.aborted) throw error;
        const { retryAfterMs, ticket: given } = error.details;
        ticket = typeof given === "string" ? given : undefined;
        // Who has a ticket is expected at that time; others had better not come all at once.
        const spreadMs = ticket === undefined ? Math.random() * (busyMs / 2) : 0;
        await pause((typeof retryAfterMs === "number" ? retryAfterMs : busyMs) + spreadMs, signal);
      }
    }
  }

  /** Charges what failed, and says of what the budget ended that it was the budget. */
  #conclude(error: ToolRuntimeError, fuelCap: number | undefined): ToolRuntimeError {
    if (error.code === "ERR_BUDGET_EXHAUSTED") return error;
    const isEnded = error.code === "ERR_ABORTED" && this.#runs.signal.aborted;
    const isCapped = error.code === "ERR_LIMIT_FUEL" && fuelCap !== undefined && limitOf(error) === fuelCap;
    const peak = fuelOf(error.partial?.limits);
    this.#budget.charge({ fuel: isCapped ? Math.max(peak, fuelCap) : peak, isFailure: !isEnded && !isCapped });
    const by = isCapped ? "fuel" : isEnded && !this.#isStopped ? "timeout" : undefined;
    if (by === undefined) return error;
    const { started, id, backend, partial } = error;
    return this.#budget.error(by).with({
      started,
      cause: error,
      ...(id === undefined ? {} : { id }),
      ...(backend === undefined ? {} : { backend }),
      ...(partial === undefined ? {} : { partial }),
    });
  }
}

/** The fuel that the run was held to. */
function limitOf({ partial }: ToolRuntimeError): number | undefined {
  return partial?.limits.find(({ limit }) => limit === "fuel")?.requested;
}

export async function returnQuietly(iterator: Iterator<unknown> | AsyncIterator<unknown> | undefined): Promise<void> {
  try {
    await iterator?.return?.();
  } catch {
    // The batch has ended; there is nobody left to tell.
  }
}
