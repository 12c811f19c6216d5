import { waitUntil } from "cloudflare:workers";
import { openDynamic } from "toolruntime:dynamic";
import { openEngine } from "toolruntime:engine";
import { tools } from "toolruntime:tools";
import type { Backend } from "../backend.ts";
import { createRegistry, type MutableRegistry } from "../registry.ts";
import type { Runtime, RuntimeOptions } from "../runtime.ts";
import { createAuditLog, memoryBlobStore, memoryExecutionStore, type BlobStore, type ExecutionStore } from "../store.ts";
import type { BuiltTool } from "../tool.ts";
import type { BuiltWasmOptions } from "../wasm/abi/engine.ts";
import { createApp } from "./app.ts";
import { anyone, bearerTokens, firstOf } from "./auth.ts";
import type { ExecutionContext, WorkerEnv } from "./cloudflare/bindings.ts";
import { readConfig, type WorkerConfig } from "./cloudflare/config.ts";
import { durableExecutionStore } from "./cloudflare/durable-executions.ts";
import { consoleLog } from "./cloudflare/log.ts";
import { r2BlobStore } from "./cloudflare/r2-blobs.ts";
import { boundRate } from "./cloudflare/rate-limit.ts";
import type { AppOptions, Log } from "./options.ts";
import { replyProblem } from "./reply.ts";
import { lazySignedTokens } from "./worker-trust.ts";

/** The class of the binding `EXECUTIONS`. */
export { ExecutionObject as Executions } from "./cloudflare/execution-object.ts";

export type { WorkerEnv } from "./cloudflare/bindings.ts";

export interface WorkerOptions {
  /** What `toolruntime build` wrote. Default: none. */
  readonly tools?: readonly BuiltTool[];
  /** The engine that runs them, as \`toolruntime build\` wrote it beside them. */
  readonly engine?: ((options?: BuiltWasmOptions) => Backend) | undefined;
  /** Opens what runs tools in isolates of their own, where the binding `LOADER` is there. */
  readonly dynamic?: ((loader: object) => Backend) | undefined;
  readonly wasm?: BuiltWasmOptions;
  /** Limits for tasks that name none. */
  readonly resources?: RuntimeOptions["resources"];
  /** The most that a task may ask for. Default for memory: 96 MiB, as an isolate has 128 MB for all that run in it. */
  readonly maxima?: RuntimeOptions["maxima"];
  /** Runs at once in an isolate. Default 32, and 256 that wait. */
  readonly concurrency?: RuntimeOptions["concurrency"];
  readonly limits?: AppOptions["limits"];
  readonly mounts?: AppOptions["mounts"];
  /** Shown in the OpenAPI document. */
  readonly version?: string;
}

/** What the platform calls. */
export interface WorkerHandler {
  fetch(request: Request, env: WorkerEnv, context: ExecutionContext): Promise<Response>;
}

const MiB = 2 ** 20;
/** One blob, and one artifact: an isolate holds the bytes, and what is made of them, in its 128 MB. */
const maxBlobBytes = 16 * MiB;

/**
 * The service as a Worker. What it does follows from what it is bound to, found when the first request comes: see
 * `readConfig` for variables and secrets, `WorkerEnv` for bindings, wrangler.toml for an example of all.
 */
export function createWorker(options: WorkerOptions = {}): WorkerHandler {
  const log = consoleLog();
  let opened: Service | undefined;
  return {
    async fetch(request, env, context) {
      try {
        const { app, ready } = (opened ??= openService({ env, options, log }));
        // Whether the isolate answers at all is asked often, and tells nothing of the tools.
        if (new URL(request.url).pathname !== "/livez") await ready();
        return await app.fetch(request, env, context);
      } catch (error) {
        log.error({ err: error }, "cannot answer");
        return replyProblem(crypto.randomUUID(), error);
      }
    },
  };
}

export default createWorker({ tools, engine: openEngine, dynamic: openDynamic });

interface Service {
  readonly app: ReturnType<typeof createApp>;
  /** To be awaited by each request that has to do with tools. */
  ready(): Promise<void>;
}

/** What a worker is opened with. */
export interface Opening {
  readonly env: WorkerEnv;
  readonly options: WorkerOptions;
  readonly log: Log;
}

function openService(opening: Opening): Service {
  const { env, options, log } = opening;
  const config = readConfig(env);
  const { registry, ready } = openTools(opening);
  const { blobs, executions, notes } = openStores(opening);
  for (const note of notes) log.warn({}, note);
  const { warning, ...access } = authenticatorOf(config, env);
  if (warning !== undefined) log.warn({}, warning);
  const app = createApp({
    runtime: whenAsked(config, async () => {
      const { openRuntimes } = await import("./worker-runtimes.ts");
      return openRuntimes({ ...opening, config, registry, blobs, notes });
    }),
    tools: registry,
    blobs,
    executions,
    ...access,
    hosts: config.hosts,
    origins: config.origins,
    security: config.security,
    log,
    keepAlive: waitUntil,
    limits: { maxUploadBytes: maxBlobBytes, ...options.limits },
    ...(options.mounts === undefined ? {} : { mounts: options.mounts }),
    ...(options.version === undefined ? {} : { version: options.version }),
  });
  return { app, ready };
}

/** A runtime that is put together when it is first asked for something, so that an isolate answers before it has all that it may need. */
function whenAsked({ security }: WorkerConfig, open: () => Promise<Runtime>): Runtime {
  let opened: Runtime | undefined;
  // Nobody waits for what another request began: whoever is first to have it gives it to all.
  const get = async (): Promise<Runtime> => {
    const runtime = opened ?? (await open());
    return (opened ??= runtime);
  };
  const close = async (): Promise<void> => opened?.close();
  return {
    backend: "router",
    security,
    execute: async (task, call) => (opened ?? (await get())).execute(task, call),
    explain: async (task) => (await get()).explain(task),
    probe: async () => (await get()).probe(),
    load: () => opened?.load() ?? [],
    close,
    [Symbol.asyncDispose]: close,
  };
}

function authenticatorOf({ tokens, keys }: WorkerConfig, { RATE_LIMIT: limiter, EXECUTIONS: objects }: WorkerEnv) {
  const [first, ...others] = [
    ...(tokens.length === 0 ? [] : [bearerTokens(tokens)]),
    ...(keys === undefined ? [] : [lazySignedTokens(keys, objects)]),
  ];
  const authenticate = first === undefined ? anyone() : firstOf(first, ...others);
  const warning = first === undefined ? "No token is configured: whoever calls this worker as localhost may run tools" : undefined;
  return { authenticate, warning, ...(limiter === undefined ? {} : { limitRate: boundRate(limiter) }) };
}

/** The tools of the deployment, and of the bucket where there is one. They are read when a request first needs them. */
function openTools({ env, options, log }: Opening): { readonly registry: MutableRegistry; ready(): Promise<void> } {
  const registry = createRegistry();
  let more: (() => Promise<void>) | undefined;
  const load = async (): Promise<() => Promise<void>> => {
    const { defineTool } = await import("../tool.ts");
    const built = await Promise.all((options.tools ?? []).map(({ manifest, compiled }) => defineTool(manifest, { compiled })));
    registry.replaceAll(built);
    if (env.ARTIFACTS === undefined) return async () => undefined;
    const { r2Tools } = await import("./cloudflare/r2-tools.ts");
    return r2Tools({ bucket: env.ARTIFACTS, registry, built, maxArtifactBytes: maxBlobBytes, log, keepAlive: waitUntil });
  };
  return {
    registry,
    async ready() {
      if (more === undefined) {
        const loaded = await load();
        more ??= loaded;
      }
      await more();
    },
  };
}

interface Stores {
  readonly blobs: BlobStore;
  readonly executions: ExecutionStore;
  /** What is not kept, one sentence each. */
  readonly notes: readonly string[];
}

function openStores({ env, log }: Opening): Stores {
  const { ARTIFACTS: bucket, EXECUTIONS: namespace } = env;
  // Each isolate has a chain of its own; the platform keeps the lines with its logs.
  const audit = createAuditLog({ sinks: [(line) => console.log(line)] });
  const blobs =
    bucket === undefined ? memoryBlobStore({ maxBlobBytes, maxTotalBytes: 2 * maxBlobBytes }) : r2BlobStore({ bucket, maxBlobBytes, log });
  const executions =
    namespace === undefined
      ? memoryExecutionStore({ audit, maxCharacters: 16 * MiB, maxBlobGrants: 10_000 })
      : durableExecutionStore({ namespace, audit, log });
  const notes = [
    ...(bucket === undefined ? ["Files are kept in the memory of one isolate: bind an R2 bucket as ARTIFACTS to share and keep them"] : []),
    ...(namespace === undefined
      ? [
          "Executions and idempotency keys are kept in the memory of one isolate: bind a Durable Object as EXECUTIONS to share and keep them",
        ]
      : []),
  ];
  return { blobs, executions, notes };
}
