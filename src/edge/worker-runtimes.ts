import type { Backend } from "../backend.ts";
import { remote } from "../adapters/remote/index.ts";
import { ToolRuntimeError } from "../errors.ts";
import type { Registry } from "../registry.ts";
import { createRouter } from "../router.ts";
import { createRuntime, type Runtime, type RuntimeOptions } from "../runtime.ts";
import type { BlobStore } from "../store.ts";
import type { WorkerConfig } from "./cloudflare/config.ts";
import { asWhole, inMode } from "./cloudflare/mode.ts";
import { lazySigner } from "./worker-trust.ts";
import type { Opening } from "./worker.ts";

/** What the runtimes of a worker are made of. */
export interface RuntimeParts extends Opening {
  readonly config: WorkerConfig;
  readonly registry: Registry;
  readonly blobs: BlobStore;
  /** Of the worker as a whole. */
  readonly notes: readonly string[];
}

/** The most that one run may hand in, in bytes. */
const maxInputBytes = 32 * 2 ** 20;
const defaultMaxima = { memory: 96 * 2 ** 20 };
const defaultConcurrency = { running: 32, queued: 256 };

/** One runtime for each mode that there is, in the order of preference. */
export function openRuntimes(parts: RuntimeParts): Runtime {
  const { config, registry, notes } = parts;
  const runtimes = [openStatic(parts), ...openIsolates(parts), ...openForward(parts)];
  const nodes = config.nodes.map(({ url }) => url);
  return asWhole({ runtime: createRouter({ runtimes, tools: registry }), notes, nodes });
}

function runtimeOptions({ config, registry, blobs, options }: RuntimeParts): Omit<RuntimeOptions, "backend"> {
  return {
    security: config.security,
    tools: registry,
    blobs,
    concurrency: options.concurrency ?? defaultConcurrency,
    maxInputBytes,
    maxima: { ...defaultMaxima, ...options.maxima },
    ...(options.resources === undefined ? {} : { resources: options.resources }),
  };
}

/** Tools whose modules were deployed with the worker. */
function openStatic(parts: RuntimeParts): Runtime {
  const { tools = [], engine, wasm } = parts.options;
  // What waits in the pool is taken from those that run, and yet a memory used again saves half of a small tool's time.
  const backend = engine?.({ maxPoolBytes: 8 * 2 ** 20, ...wasm }) ?? noEngine(tools.length);
  return inMode({
    runtime: createRuntime({ ...runtimeOptions(parts), backend }),
    notes: [`Mode static: ${tools.length} ${tools.length === 1 ? "tool was" : "tools were"} deployed with the worker`],
    refuse: ({ manifest, sources }) => {
      if (engine !== undefined && (manifest.artifacts.wasm === undefined || sources.compiled !== undefined)) return undefined;
      return new ToolRuntimeError(
        "ERR_ARTIFACT_UNSUPPORTED",
        `Cannot run the tool "${manifest.name}" in the worker itself: it was not deployed with it, and nothing compiles WebAssembly inside a request`,
        { details: { tool: manifest.name } },
      );
    },
  });
}

/** A worker without tools carries no engine. */
function noEngine(tools: number): Backend {
  const reason = tools === 0 ? "no tool was deployed with the worker" : "tools were deployed with the worker, and no engine for them";
  const advice = "build them with toolruntime build, and deploy its index.js and its engine.js with the worker";
  return {
    name: "wasm",
    probe: async () => ({ status: "unavailable", reason, advice, capabilities: [], validForMs: Number.MAX_SAFE_INTEGER }),
    prepare() {},
    run: () =>
      Promise.reject(new ToolRuntimeError("ERR_BACKEND_UNAVAILABLE", `Cannot run the task on backend "wasm": ${reason}; ${advice}`)),
    leftovers: async () => [],
    reap: async () => ({ removed: [] }),
    async close() {},
  };
}

/** Tools of the bucket, each in an isolate of its own. */
function openIsolates(parts: RuntimeParts): Runtime[] {
  const { env, options, log } = parts;
  const { LOADER: loader } = env;
  if (loader === undefined) return [];
  if (options.dynamic === undefined) {
    log.warn({}, "The binding LOADER is not used: this worker was built without what runs tools in isolates of their own");
    return [];
  }
  const backend = options.dynamic(loader);
  const notes = ["Mode dynamic: tools that were not deployed with the worker run in isolates of their own"];
  return [inMode({ runtime: createRuntime({ ...runtimeOptions(parts), backend }), notes })];
}

/** Whatever the executor nodes take. They know the tools by digest. */
function openForward(parts: RuntimeParts): Runtime[] {
  const { nodes: addresses, signing } = parts.config;
  if (addresses.length === 0) return [];
  const nodes = addresses.map(({ url, token, audience }) => ({
    url,
    ...(token === undefined ? {} : { token }),
    ...(token === undefined && signing !== undefined ? { signer: lazySigner(signing, audience ?? url) } : {}),
  }));
  // What a node may use is its own to say: the bounds of an isolate's memory are not for it.
  const { maxima: _, concurrency: __, ...options } = runtimeOptions(parts);
  const notes = [`Mode forward: what has no place in the worker goes to ${nodes.map(({ url }) => url).join(", ")}`];
  return [inMode({ runtime: createRuntime({ ...options, backend: remote({ nodes }) }), notes })];
}
