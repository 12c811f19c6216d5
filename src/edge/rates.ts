import { ToolRuntimeError } from "../errors.ts";
import type { Identity } from "./auth.ts";

export interface Rate {
  readonly perMinute: number;
  /** How many at once after a rest. Default: a tenth of a minute's, at least one. */
  readonly burst?: number;
}

export interface TenantRates {
  /** Of all its callers together. */
  readonly together?: Rate;
  /** Of each of its callers. */
  readonly each?: Rate;
}

/** Counts a request of a caller. @throws `ERR_RATE_LIMITED` with `details.retryAfterMs`. */
export type RateLimiter = (identity: Identity) => void | Promise<void>;

export function rateLimited(details: { readonly retryAfterMs: number; readonly perMinute?: number }): ToolRuntimeError {
  return new ToolRuntimeError("ERR_RATE_LIMITED", "Cannot answer the request: the caller has sent too many; send it again later", {
    details,
  });
}

/** Beyond, those that have rested longest are forgotten: a rested bucket is a full one. */
const maxBuckets = 10_000;

/** Token buckets, each as the one time at which it is full again (the generic cell rate algorithm of ITU-T I.371). */
class Buckets {
  readonly #fullAt = new Map<string, number>();

  /** How long until the bucket has one to give, in ms. */
  waitMs(key: string, { perMinute, burst }: Required<Rate>, now: number): number {
    const everyMs = 60_000 / perMinute;
    return Math.max(0, (this.#fullAt.get(key) ?? 0) - now - (burst - 1) * everyMs);
  }

  take(key: string, { perMinute }: Required<Rate>, now: number): void {
    const fullAt = Math.max(this.#fullAt.get(key) ?? 0, now) + 60_000 / perMinute;
    // The last to be used is the last in the map.
    this.#fullAt.delete(key);
    this.#fullAt.set(key, fullAt);
    if (this.#fullAt.size <= maxBuckets) return;
    const [oldest] = this.#fullAt.keys();
    if (oldest !== undefined) this.#fullAt.delete(oldest);
  }
}

/** Rates by tenant; `"*"` is for those that are not named. Held in this process. */
export function tokenBuckets(tenants: Readonly<Record<string, TenantRates>>): RateLimiter {
  const buckets = new Buckets();
  const complete = (rate: Rate): Required<Rate> => ({ burst: Math.max(1, Math.floor(rate.perMinute / 10)), ...rate });
  return ({ tenant, principal }) => {
    const rates = Object.hasOwn(tenants, tenant) ? tenants[tenant] : tenants["*"];
    if (rates?.together === undefined && rates?.each === undefined) return;
    const now = performance.now();
    const counted = [
      ...(rates.together === undefined ? [] : [{ key: JSON.stringify([tenant]), rate: complete(rates.together) }]),
      ...(rates.each === undefined ? [] : [{ key: JSON.stringify([tenant, principal]), rate: complete(rates.each) }]),
    ];
    for (const { key, rate } of counted) {
      const waitMs = buckets.waitMs(key, rate, now);
      if (waitMs > 0) throw rateLimited({ retryAfterMs: Math.ceil(waitMs), perMinute: rate.perMinute });
    }
    for (const { key, rate } of counted) buckets.take(key, rate, now);
  };
}
