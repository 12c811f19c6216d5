import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ToolRuntimeError } from "../../errors.ts";

/** One environment of a worker's configuration as wrangler reads it: as much of it as is looked at here. */
export interface WranglerConfig {
  readonly name?: string | undefined;
  /** Absolute. */
  readonly main?: string | undefined;
  readonly compatibility_date?: string | undefined;
  readonly compatibility_flags: readonly string[];
  readonly alias?: Readonly<Record<string, string>> | undefined;
  readonly limits?: { readonly cpu_ms?: number } | undefined;
  readonly observability?: { readonly enabled?: boolean } | undefined;
  readonly vars: Readonly<Record<string, unknown>>;
  readonly worker_loaders: readonly { readonly binding: string }[];
  readonly r2_buckets: readonly { readonly binding: string; readonly bucket_name?: string }[];
  readonly durable_objects: { readonly bindings: readonly DurableObjectBinding[] };
  readonly migrations: readonly Migration[];
  readonly ratelimits: readonly RateLimitBinding[];
  readonly build?: { readonly command?: string | undefined } | undefined;
  readonly definedEnvironments?: readonly string[] | undefined;
}

export interface DurableObjectBinding {
  readonly name: string;
  readonly class_name: string;
  /** Another worker, which has the class. */
  readonly script_name?: string;
}

export interface Migration {
  readonly tag: string;
  readonly new_classes?: readonly string[];
  readonly new_sqlite_classes?: readonly string[];
  readonly renamed_classes?: readonly { readonly from: string; readonly to: string }[];
  readonly deleted_classes?: readonly string[];
}

export interface RateLimitBinding {
  readonly name: string;
  readonly namespace_id: string;
  readonly simple: { readonly limit: number; readonly period: number };
}

/** The shape of `wrangler` that is used here. */
interface WranglerModule {
  unstable_readConfig(args: { readonly config: string; readonly env: string }, options: { readonly hideWarnings: boolean }): WranglerConfig;
}

/** The wrangler of the project that is to be deployed. */
export interface Wrangler {
  readonly version: string;
  /** To be run by Node. */
  readonly bin: string;
  /** @throws what wrangler has to say against the file. */
  readConfig(file: string, environment: string): WranglerConfig;
}

/** Nothing leaves this machine: no metrics, no look-up of where it is. */
export const quietEnvironment = { WRANGLER_SEND_METRICS: "false", CLOUDFLARE_CF_FETCH_ENABLED: "false" } as const;

function isWrangler(module: object): module is WranglerModule {
  return "unstable_readConfig" in module && typeof module.unstable_readConfig === "function";
}

/**
 * Finds wrangler as seen from a folder.
 *
 * @throws `ERR_BACKEND_UNAVAILABLE` where it is not installed there or is none that can be asked.
 */
export async function findWrangler(folder: string): Promise<Wrangler> {
  const require = createRequire(join(folder, "package.json"));
  try {
    const manifest: { readonly version: string } = require("wrangler/package.json");
    Object.assign(process.env, quietEnvironment);
    const module = (await import(pathToFileURL(require.resolve("wrangler")).href)) as object;
    if (!isWrangler(module)) throw new TypeError("it has no unstable_readConfig");
    return {
      version: manifest.version,
      bin: join(require.resolve("wrangler/package.json"), "..", "bin", "wrangler.js"),
      readConfig: (config, env) => module.unstable_readConfig({ config, env }, { hideWarnings: true }),
    };
  } catch (error) {
    const state = error instanceof TypeError ? error.message : "it is not installed";
    throw new ToolRuntimeError("ERR_BACKEND_UNAVAILABLE", `Cannot use wrangler from "${folder}": ${state}`, { cause: error });
  }
}

/** The flags that choose an environment. The one without a name must be said too, or wrangler warns. */
export function environmentFlag(environment: string): string {
  return environment === "" ? '--env=""' : `--env ${environment}`;
}
