import { Worker } from "node:worker_threads";
import { ToolRuntimeError } from "../../../errors.ts";
import { sha256 } from "../../../internal/digest.ts";
import { WeightedCache } from "../../cache.ts";
import type { ComponentTranspiler, Transpiled, TranspileRequest } from "../transpiler.ts";
import { TranspileCache } from "./cache.ts";
import { hoistModules } from "./hoist.ts";
import type { Files, Reply, WorkerRequest } from "./worker.ts";

export interface JcoOptions {
  /**
   * A folder that keeps what was transpiled from one start of the service to the next. Whoever can write there runs code in
   * the service, so it is made for this user alone and refused where others can write.
   */
  readonly cacheFolder?: string;
  /** How long one component may take. 60,000 unless given. */
  readonly timeoutMs?: number;
  /** What may be kept in memory, in bytes. 128 MiB unless given. */
  readonly maxCacheBytes?: number;
}

/** What the generated code depends on besides the component; a change makes the files of a cache folder stale. */
const settingsVersion = 1;

interface Kept extends Transpiled {
  readonly weight: number;
}

/**
 * Transpiles components by the optional package `@bytecodealliance/jco`, for Node. It works in a thread of its own, which is
 * ended when a component takes too long; the result is kept by digest.
 *
 * Nothing is loaded before the first component. The generated JavaScript is imported as a module by whoever runs it; an engine
 * never lets go of a module, so a process that meets ever new components grows.
 *
 * @throws from `transpile`: `ERR_BACKEND_UNAVAILABLE` where jco is not installed, `ERR_ARTIFACT_INVALID`, `ERR_CONFIG_INVALID`.
 */
export function jcoTranspiler(options: JcoOptions = {}): ComponentTranspiler {
  return new JcoTranspiler(options);
}

class JcoTranspiler implements ComponentTranspiler {
  readonly #timeoutMs: number;
  readonly #memory: WeightedCache<Kept>;
  readonly #folder: TranspileCache | undefined;

  constructor({ cacheFolder, timeoutMs = 60_000, maxCacheBytes = 128 * 2 ** 20 }: JcoOptions) {
    this.#timeoutMs = timeoutMs;
    this.#memory = new WeightedCache(maxCacheBytes);
    this.#folder = cacheFolder === undefined ? undefined : new TranspileCache(cacheFolder);
  }

  async transpile({ bytes, waitingImports, waitingExports }: TranspileRequest): Promise<Transpiled> {
    const component = await sha256(bytes);
    const key = await sha256(JSON.stringify([settingsVersion, component, waitingImports, waitingExports]));
    return this.#memory.get(key, async () => {
      const files = (await this.#folder?.read(key)) ?? (await this.#make(key, { bytes, waitingImports, waitingExports }));
      return load(files);
    });
  }

  async #make(key: string, request: WorkerRequest): Promise<Files> {
    const files = await transpileInThread(request, this.#timeoutMs);
    await this.#folder?.write(key, files);
    return files;
  }
}

function invalid(why: string): ToolRuntimeError {
  return new ToolRuntimeError("ERR_ARTIFACT_INVALID", `Cannot transpile the component: ${why}`);
}

async function transpileInThread(request: WorkerRequest, timeoutMs: number): Promise<Files> {
  const url = new URL(import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js", import.meta.url);
  // The thread sees no secret of the service's environment, and what it prints goes nowhere.
  const worker = new Worker(url, { workerData: request, env: {}, execArgv: [], stdout: true, stderr: true });
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    const reply = await new Promise<Reply>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", (error) => reject(invalid(error.message)));
      worker.once("exit", () => reject(invalid("jco ended without a result")));
      timer = setTimeout(() => reject(invalid(`it takes longer than ${timeoutMs} ms`)), timeoutMs);
    });
    if ("files" in reply) return reply.files;
    if (reply.problem === "missing") {
      throw new ToolRuntimeError(
        "ERR_BACKEND_UNAVAILABLE",
        'Cannot run components on backend "wasm": the package @bytecodealliance/jco did not load; run npm install @bytecodealliance/jco',
        { details: { why: reply.why } },
      );
    }
    throw invalid(reply.why);
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}

/**
 * Stands before the generated code: that asks for a debug variable of the environment at every step, which is slow on Node,
 * and writes to the console what the guest did.
 */
const prelude = `const globalThis = Object.freeze({ __proto__: null, WebAssembly });
const console = Object.freeze({ __proto__: null, debug() {}, error() {}, log() {}, warn() {} });
`;

function load(files: Files): Kept {
  const cores = new Map<string, Uint8Array>();
  let source: Uint8Array | undefined;
  let weight = 0;
  for (const [name, content] of files) {
    weight += content.length * 2;
    if (name.endsWith(".wasm")) cores.set(name, content);
    else source = content;
  }
  if (source === undefined) throw invalid("jco gave no JavaScript");
  const { script, modules } = hoistModules(new TextDecoder().decode(source));
  return { script: prelude + script, cores, helpers: modules, weight };
}
