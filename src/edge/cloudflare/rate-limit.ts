import { rateLimited, type RateLimiter } from "../rates.ts";
import type { RateLimit } from "./bindings.ts";

/** The longer of the two periods that a rate limit can have; the binding does not say which one it has. */
const longestPeriodMs = 60_000;

/** Lets each principal of a tenant make so many requests as the binding allows. @throws `ERR_RATE_LIMITED`. */
export function boundRate(limiter: RateLimit): RateLimiter {
  return async ({ tenant, principal }) => {
    const { success } = await limiter.limit({ key: JSON.stringify([tenant, principal]) });
    if (!success) throw rateLimited({ retryAfterMs: longestPeriodMs });
  };
}
