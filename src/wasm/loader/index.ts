import type { Backend } from "../../backend.ts";
import { WasmBackend } from "../backend.ts";
import type { ComponentTranspiler } from "../component/transpiler.ts";
import type { WasmDriver } from "../driver.ts";
import type { JavaScriptEngine } from "../javascript/engine.ts";
import type { WorkerLoader } from "./client.ts";
import { LoaderDriver } from "./driver.ts";

export type { WorkerCode, WorkerEntrypoint, WorkerLimits, WorkerLoader, WorkerModule, WorkerStub } from "./client.ts";

export interface LoaderOptions {
  /** The binding. Where it is absent, the driver's probe says so. */
  readonly loader: WorkerLoader | undefined;
  /** The engine that runs in the isolates: `isolateBundle` of `toolruntime/wasm/loader/bundle`. */
  readonly engine: string;
  /** Of the isolates. Default: the earliest with which they were tested. */
  readonly compatibilityDate?: string;
  /** The largest artifact, in bytes. A worker has 128 MB for all that it does. Default 16 MiB. */
  readonly maxArtifactBytes?: number;
  /** What made artifacts may take, in bytes by estimate. Default 32 MiB. */
  readonly maxCacheBytes?: number;
  /**
   * Isolates that are kept for other runs, as long as the worker lives; each has some MiB. A run under limits for which there is no
   * place has an isolate for itself, which takes longer to start. Default 128.
   */
  readonly maxIsolates?: number;
  /** Makes components ready. Without it they are refused. */
  readonly components?: ComponentTranspiler;
  /** Runs snippets. Without it they are refused. */
  readonly javascript?: JavaScriptEngine;
}

const defaultCompatibilityDate = "2026-04-01";

/**
 * Runs modules in isolates of their own, which a Worker Loader binding gives. Bytes are checked against their digest and metered
 * here; an isolate gets the metered module, the engine and the run, and has neither network nor bindings. Counts as
 * `standard`; profile `hardened` wants another wall.
 *
 * Runs share an isolate where tool, artifact, profile, limits and engine are the same, each in a fresh instance. On Cloudflare's
 * machines each isolate that is loaded in a day costs; `maxima` of the runtime, and few different limits, keep them few.
 */
export function loaderDriver(options: LoaderOptions): WasmDriver {
  return new LoaderDriver({
    loader: options.loader,
    engine: options.engine,
    compatibilityDate: options.compatibilityDate ?? defaultCompatibilityDate,
    maxArtifactBytes: options.maxArtifactBytes ?? 16 * 2 ** 20,
    maxIsolates: options.maxIsolates ?? 128,
    maxCacheBytes: options.maxCacheBytes ?? 32 * 2 ** 20,
    components: options.components,
    javascript: options.javascript,
  });
}

/** A backend whose tools all run in isolates; see {@link loaderDriver}. */
export function isolates(options: LoaderOptions): Backend {
  return new WasmBackend([loaderDriver(options)]);
}
