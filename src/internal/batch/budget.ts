import { ToolRuntimeError } from "../../errors.ts";
import { parseQuantity, type LimitReceipt, type Quantity } from "../../limits.ts";

/** One budget for all runs of a batch. What is not named is not bounded. */
export interface BatchBudget {
  /** Wall time from the first input: ms, or `"30s"`. When it has passed, what runs is ended. */
  readonly timeout?: Quantity;
  /**
   * The sum of what the runs' receipts say of fuel. What is left of it caps each further run; those that run at once may
   * go over it together, each by no more than was left when it began.
   */
  readonly fuel?: Quantity;
  /** So many failed inputs end the batch: errors, and results with an exit code other than 0. What runs is let end. */
  readonly failures?: number;
}

export type BudgetName = keyof BatchBudget;

/** Node fires a timer above this at once. */
const maxTimerMs = 2 ** 31 - 1;

/** The most that a run's receipts say of its fuel; 0 where nothing counted it. */
export function fuelOf(limits: readonly LimitReceipt[] | undefined): number {
  return limits?.find(({ limit }) => limit === "fuel")?.peak ?? 0;
}

/** What is left for a batch. To be closed. */
export class Budget {
  readonly #fuel: number;
  readonly #failures: number;
  readonly #timeoutMs: number;
  readonly #onTimeout: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #startedAt = 0;
  #usedFuel = 0;
  #failed = 0;
  #largestRun = 0;
  exhaustedBy: BudgetName | undefined;

  /** @throws `ERR_ARGUMENT_INVALID`. */
  constructor({ timeout, fuel, failures }: BatchBudget, onTimeout: () => void) {
    this.#timeoutMs = timeout === undefined ? Number.POSITIVE_INFINITY : parseQuantity("timeout", timeout);
    this.#fuel = fuel === undefined ? Number.POSITIVE_INFINITY : parseQuantity("fuel", fuel);
    this.#failures = failures ?? Number.POSITIVE_INFINITY;
    this.#onTimeout = onTimeout;
    if (failures !== undefined && (!Number.isSafeInteger(failures) || failures < 1)) {
      throw new ToolRuntimeError(
        "ERR_ARGUMENT_INVALID",
        `Cannot use ${failures} as the budget "failures": it takes a whole number from 1`,
        {
          details: { option: "budget.failures" },
        },
      );
    }
  }

  start(): void {
    this.#startedAt = performance.now();
    if (this.#timeoutMs === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(
      () => {
        this.exhaustedBy ??= "timeout";
        this.#onTimeout();
      },
      Math.min(this.#timeoutMs, maxTimerMs),
    );
  }

  get usedFuel(): number {
    return this.#usedFuel;
  }

  get failed(): number {
    return this.#failed;
  }

  /**
   * The most for one further run. Far from the end it is rounded down to a power of two: each value makes a plan of its
   * own, which backends prepare and keep.
   */
  get fuelCap(): number | undefined {
    if (this.#fuel === Number.POSITIVE_INFINITY) return undefined;
    const left = Math.max(1, this.#fuel - this.#usedFuel);
    return this.#largestRun > 0 && left > this.#largestRun * 16 ? 2 ** Math.floor(Math.log2(left)) : left;
  }

  /** What of it a part of the batch may take that begins at this moment. */
  left(): BatchBudget {
    const timeoutMs = this.#startedAt + this.#timeoutMs - performance.now();
    return {
      ...(this.#timeoutMs === Number.POSITIVE_INFINITY ? {} : { timeout: Math.max(1, timeoutMs) }),
      ...(this.#fuel === Number.POSITIVE_INFINITY ? {} : { fuel: Math.max(1, this.#fuel - this.#usedFuel) }),
      ...(this.#failures === Number.POSITIVE_INFINITY ? {} : { failures: Math.max(1, this.#failures - this.#failed) }),
    };
  }

  /** Notes what a run that has ended took. */
  charge({ fuel, isFailure }: { readonly fuel: number; readonly isFailure: boolean }): void {
    this.#usedFuel += fuel;
    this.#largestRun = Math.max(this.#largestRun, fuel);
    if (isFailure) this.#failed++;
    if (this.exhaustedBy !== undefined) return;
    if (this.#usedFuel >= this.#fuel) this.exhaustedBy = "fuel";
    else if (this.#failed >= this.#failures) this.exhaustedBy = "failures";
  }

  /** The terminal answer of an input for which nothing is left. */
  error(name: BudgetName): ToolRuntimeError {
    const spent = {
      timeout: `its ${this.#timeoutMs} ms have passed`,
      fuel: `${this.#usedFuel} of ${this.#fuel} units of fuel are used`,
      failures: `${this.#failed} inputs have failed`,
    };
    return new ToolRuntimeError("ERR_BUDGET_EXHAUSTED", `Cannot run the input: the batch's budget "${name}" is used up, ${spent[name]}`, {
      details: { budget: name },
    });
  }

  close(): void {
    clearTimeout(this.#timer);
  }
}
