import { ToolRuntimeError } from "../../errors.ts";
import { abortedError } from "./failures.ts";

export interface RetryRules {
  /** How often at most something is sent again. */
  readonly retries: number;
  readonly signal: AbortSignal;
  /** What is left of the deadline, in ms. */
  readonly remainingMs: () => number;
  /** Whether what may have run once may run once more. */
  readonly mayRunTwice: boolean;
}

/** Doubled from try to try (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/, "full jitter"). */
const firstPauseMs = 100;
const maxPauseMs = 2000;
/** Whoever is told to wait longer gets the error, and decides for himself. */
const maxAdvisedMs = 60_000;

/** Runs work again as its errors advise; the last error is the caller's. */
export async function withRetries<T>(work: (attempt: number) => Promise<T>, rules: RetryRules): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work(attempt);
    } catch (error) {
      const pauseMs = attempt < rules.retries ? pauseBefore(attempt, error, rules) : undefined;
      if (pauseMs === undefined) throw error;
      await pause(pauseMs, rules.signal);
    }
  }
}

/** How long to wait before the next try; nothing where there is to be none. */
export function pauseBefore(attempt: number, error: unknown, { mayRunTwice, remainingMs, signal }: RetryRules): number | undefined {
  if (!(error instanceof ToolRuntimeError) || signal.aborted) return undefined;
  if (!error.retryable || (error.started && !mayRunTwice)) return undefined;
  const advised = error.details["retryAfterMs"];
  const least = typeof advised === "number" && advised >= 0 ? advised : 0;
  if (least > maxAdvisedMs) return undefined;
  // Whoever has a ticket is awaited at that time, and not after it.
  const isAwaited = typeof error.details["ticket"] === "string" && least > 0;
  const pauseMs = isAwaited ? least : least + Math.random() * Math.min(maxPauseMs, firstPauseMs * 2 ** attempt);
  return pauseMs < remainingMs() ? pauseMs : undefined;
}

/** @throws `ERR_ABORTED`, or the signal's own error. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(abortedError(signal, false));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
  });
}
