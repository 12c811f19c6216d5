/** What the worker of `src/edge/worker.ts` looks for, by the names that its `WorkerEnv` and `readConfig` have. */
export const bindings = { loader: "LOADER", artifacts: "ARTIFACTS", executions: "EXECUTIONS", rateLimit: "RATE_LIMIT" } as const;

/** The class that the worker exports for its Durable Object. */
export const executionsClass = "Executions";

export const variables = { security: "TOOLRUNTIME_SECURITY", origins: "TOOLRUNTIME_ORIGINS" } as const;
export const secrets = {
  tokens: "TOOLRUNTIME_TOKENS",
  keys: "TOOLRUNTIME_KEYS",
  nodes: "TOOLRUNTIME_NODES",
  signing: "TOOLRUNTIME_SIGNING",
} as const;

/** What the worker imports under names that `[alias]` explains. */
export const aliases = { tools: "toolruntime:tools", engine: "toolruntime:engine", dynamic: "toolruntime:dynamic" } as const;

/** Without it the rest of a request whose caller has gone is dropped without a word, and its run is never ended. */
export const requestSignalFlag = "enable_request_signal";
/** The oldest date that the tests run with. */
export const oldestDate = "2026-04-01";
/** The oldest wrangler that takes all of the configuration. */
export const oldestWrangler = "4.86.0";

/** https://developers.cloudflare.com/workers/platform/limits/ */
export const platform = { maxCpuMs: 300_000, maxBundleBytes: 64 * 2 ** 20, ratePeriods: [10, 60] } as const;
/** Of the worker's JavaScript without tools, compressed. */
export const maxScriptGzipBytes = 120_000;
