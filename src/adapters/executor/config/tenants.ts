import { z } from "zod";
import { tokenBuckets, type RateLimiter, type TenantRates } from "../../../edge/index.ts";
import type { Concurrency } from "../../../runtime.ts";
import type { ServiceConfig } from "./schema.ts";

const perMinute = z.number().positive();
const burst = z.int().positive();

const tenantSchema = z
  .strictObject({
    running: z.int().positive().exactOptional().describe("Its runs at once, on each backend"),
    queued: z
      .int()
      .min(0)
      .exactOptional()
      .describe("How many of its runs may wait, on each backend; default: as much of the queue as of the places"),
    perMinute: perMinute.exactOptional().describe("Requests of all its tokens together"),
    burst: burst.exactOptional().describe("Requests at once after a rest; default: a tenth of a minute's"),
    perKey: z.strictObject({ perMinute, burst: burst.exactOptional() }).exactOptional().describe("The same for each principal"),
  })
  .refine(({ burst: most, perMinute: rate }) => most === undefined || rate !== undefined, "burst goes with perMinute");

export const tenantsSchema = z
  .record(z.string().min(1).max(200), tenantSchema)
  .default({})
  .describe('Quotas and rates by tenant; "*" is for those that are not named');

/** What tenants may have of a backend. */
export function withQuotas({ concurrency, tenants }: Pick<ServiceConfig, "concurrency" | "tenants">): Concurrency {
  const quotas = Object.entries(tenants).flatMap(([name, { running, queued }]) => {
    const quota = { ...(running === undefined ? {} : { running }), ...(queued === undefined ? {} : { queued }) };
    // Whoever is named is not among those for whom "*" is.
    return name === "*" && Object.keys(quota).length === 0 ? [] : [[name, quota] as const];
  });
  return quotas.length === 0 ? concurrency : { ...concurrency, tenants: Object.fromEntries(quotas) };
}

/** What counts the requests of tenants; nothing where no rate is configured. */
export function limiterOf({ tenants }: Pick<ServiceConfig, "tenants">): { readonly limitRate?: RateLimiter } {
  const rates = Object.entries(tenants).map(([name, { perMinute: rate, burst: most, perKey }]): [string, TenantRates] => [
    name,
    {
      ...(rate === undefined ? {} : { together: { perMinute: rate, ...(most === undefined ? {} : { burst: most }) } }),
      ...(perKey === undefined ? {} : { each: perKey }),
    },
  ]);
  return rates.some(([, { together, each }]) => together !== undefined || each !== undefined)
    ? { limitRate: tokenBuckets(Object.fromEntries(rates)) }
    : {};
}
