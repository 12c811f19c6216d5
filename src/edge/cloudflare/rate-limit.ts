import { ToolRuntimeError } from "../../errors.ts";
import type { Authenticator } from "../auth.ts";
import type { RateLimit } from "./bindings.ts";

/** The longer of the two periods that a rate limit can have; the binding does not say which one it has. */
const longestPeriodMs = 60_000;

/**
 * Lets each principal of a tenant make so many requests as the binding allows. Whoever has no valid token is refused
 * before he is counted.
 *
 * @throws `ERR_RATE_LIMITED`, as the authenticator.
 */
export function limitRate(authenticate: Authenticator, limiter: RateLimit): Authenticator {
  return async (authorization) => {
    const identity = await authenticate(authorization);
    if (identity === undefined) return undefined;
    const { success } = await limiter.limit({ key: JSON.stringify([identity.tenant, identity.principal]) });
    if (success) return identity;
    throw new ToolRuntimeError("ERR_RATE_LIMITED", "Cannot answer the request: the caller has sent too many; send it again later", {
      details: { retryAfterMs: longestPeriodMs },
    });
  };
}
