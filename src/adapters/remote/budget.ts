/** What may be sent again at once, however few runs there were before. */
const burst = 10;

/**
 * How much may be sent again: a share of what was sent, so that a fleet in trouble is not sent many times what it got in good
 * times (https://sre.google/sre-book/handling-overload/, "Deciding to retry"). A token bucket that each run fills a little.
 */
export class RetryBudget {
  readonly #ratio: number;
  #tokens = burst;

  constructor(ratio: number) {
    this.#ratio = ratio;
  }

  /** A run was sent for the first time. */
  earn(): void {
    this.#tokens = Math.min(burst, this.#tokens + this.#ratio);
  }

  /** Whether something may be sent again. */
  spend(): boolean {
    // A tenth, added ten times, is a little less than one.
    if (this.#tokens < 1 - 1e-9) return false;
    this.#tokens = Math.max(0, this.#tokens - 1);
    return true;
  }
}
