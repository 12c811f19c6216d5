/** What the platform gives a worker to import, as far as it is used here. */
declare module "cloudflare:workers" {
  /** Keeps what the request at hand started going after it was answered or its caller has gone. */
  export function waitUntil(work: Promise<unknown>): void;
}

/** What `toolruntime build` wrote. The bundler's configuration says where that is; see `alias` in wrangler.toml. */
declare module "toolruntime:tools" {
  export const tools: readonly import("../../tool.ts").BuiltTool[];
}

/** The engine that they need, from the same build, with the ABIs of these tools and no other. */
declare module "toolruntime:engine" {
  export const openEngine: ((options?: object) => import("../../backend.ts").Backend) | undefined;
}

/**
 * What runs tools in isolates of their own, or nothing. An alias too: with it comes all that checks and meters modules, and
 * the engine once more as text, about 50 kB compressed.
 */
declare module "toolruntime:dynamic" {
  export const openDynamic: ((loader: object) => import("../../backend.ts").Backend) | undefined;
}

/** Gives its bytes on with their length, which a bucket wants to know. Fails where there are more or fewer. */
declare class FixedLengthStream extends TransformStream<Uint8Array, Uint8Array> {
  constructor(bytes: number);
}
