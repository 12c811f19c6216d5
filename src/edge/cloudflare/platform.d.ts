/** What the platform gives a worker to import, as far as it is used here. */
declare module "cloudflare:workers" {
  /** Keeps what the request at hand started going after it was answered or its caller has gone. */
  export function waitUntil(work: Promise<unknown>): void;
}

/** What `toolruntime build` wrote. The bundler's configuration says where that is; see `alias` in wrangler.toml. */
declare module "toolruntime:tools" {
  export const tools: readonly import("../../tool.ts").BuiltTool[];
}

/**
 * What runs tools in isolates of their own, or nothing. An alias too: with it comes all that checks and meters modules, and
 * the engine once more as text, about 50 kB compressed.
 */
declare module "toolruntime:dynamic" {
  export const openDynamic: ((loader: object) => import("../../backend.ts").Backend) | undefined;
}
