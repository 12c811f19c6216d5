import { bindings, secrets } from "./contract.ts";
import { profileOf } from "./secrets.ts";
import { environmentFlag, type WranglerConfig } from "./wrangler.ts";

/** The commands that deploy one environment, in their order. They need an account. */
export function deploySteps(config: WranglerConfig, environment: string): string[] {
  const flag = environmentFlag(environment);
  const bucket = config.r2_buckets.find(({ binding }) => binding === bindings.artifacts)?.bucket_name;
  return [
    "npx wrangler login",
    ...(bucket === undefined ? [] : [`npx wrangler r2 bucket create ${bucket}`]),
    `npx wrangler deploy ${flag}`,
    ...(profileOf(config) === "dev" ? [] : [`npx wrangler secret put ${secrets.tokens} ${flag}`]),
  ];
}
