import { createRuntime, defineTool, memoryBlobStore, ToolRuntimeError, type Runtime, type Task, type Tool } from "../../src/index.ts";
import type { ManifestInput } from "../../src/index.ts";
import { sha256 } from "../../src/internal/digest.ts";
import type { ComponentTranspiler } from "../../src/wasm/index.ts";
import { javaScriptEngine } from "../../src/wasm/javascript/engine.ts";
import { isolates, type WorkerLoader } from "../../src/wasm/loader/index.ts";
import { bytesOf, openTools, type ToolData } from "../engines/backend/tools.ts";
import type { RunAnswer, RunRequest } from "../engines/workerd/worker.ts";

/** What the worker is told of a tool; its bytes come with it, as from a store. */
export interface ToolRequest {
  readonly manifest: ManifestInput;
  readonly base64: string;
  /** What a transpiler made of a component elsewhere. */
  readonly transpiled?: TranspiledData;
}

export interface TranspiledData {
  /** Of the component as a transpiler gets it. */
  readonly of: string;
  readonly script: string;
  /** By name, as base64. */
  readonly cores: Readonly<Record<string, string>>;
  readonly helpers: Readonly<Record<string, string>>;
}

export interface LoaderRequest extends RunRequest {
  /** By path, as base64. */
  readonly files?: Readonly<Record<string, string>>;
  readonly deterministic?: NonNullable<Task["deterministic"]>;
  /** So many of the next loads fail. */
  readonly failLoads?: number;
  /** How long the reader of its output takes for the first piece, in ms. */
  readonly pauseMs?: number;
}

export interface IsolateCount {
  runs: number;
  loads: number;
}

export interface LoaderAnswer extends RunAnswer {
  /** All until now, by id. */
  readonly isolates: Readonly<Record<string, IsolateCount>>;
  /** What came out of the `out` folder, as base64. */
  readonly outputs: Readonly<Record<string, string>>;
  /** Of stdout and stderr that the runtime was given, and at the pause. */
  readonly seenBytes: number;
  readonly pausedAtBytes: number;
}

export interface ServiceOptions {
  /** The bundle that runs in the isolates. */
  readonly engine: string;
  readonly tools: readonly ToolData[];
  /** QuickJS's module, as base64, for snippets. */
  readonly quickJs?: string;
  readonly maxIsolates?: number;
}

interface Service {
  readonly runtime: Runtime;
  readonly tools: Map<string, Tool>;
  readonly blobs: ReturnType<typeof memoryBlobStore>;
  readonly loader: CountingLoader;
  /** By the component's digest. */
  readonly transpiled: Map<string, TranspiledData>;
}

/** Counts by id how often an isolate was asked for, and how often the platform wanted its code. */
class CountingLoader implements WorkerLoader {
  readonly isolates: Record<string, IsolateCount> = {};
  failures = 0;
  readonly #loader: WorkerLoader;

  constructor(loader: WorkerLoader) {
    this.#loader = loader;
  }

  readonly load: WorkerLoader["load"] = (code) => {
    const count = (this.isolates["unnamed"] ??= { runs: 0, loads: 0 });
    count.runs++;
    count.loads++;
    return this.#loader.load(code);
  };

  readonly get: WorkerLoader["get"] = (id, code) => {
    const count = (this.isolates[id] ??= { runs: 0, loads: 0 });
    count.runs++;
    return this.#loader.get(id, () => {
      count.loads++;
      if (this.failures-- > 0) throw new Error("the load was ended");
      return code();
    });
  };
}

function base64Of(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

async function run(service: Service, request: Request): Promise<LoaderAnswer> {
  const { tool: name, deadline, files = {}, pauseMs = 0, failLoads = 0, ...task } = (await request.json()) as LoaderRequest;
  const tool = service.tools.get(name);
  if (tool === undefined) throw new RangeError(`there is no tool ${name}`);
  service.loader.failures = failLoads;
  let [seenBytes, pausedAtBytes] = [0, 0];
  const onEvent: NonNullable<Parameters<Runtime["execute"]>[1]>["onEvent"] = async (event) => {
    if (event.type !== "stdout" && event.type !== "stderr") return;
    seenBytes += event.bytes.length;
    if (pausedAtBytes > 0 || pauseMs === 0) return;
    pausedAtBytes = seenBytes;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  };
  const startedAt = performance.now();
  const seen = () => ({
    tookMs: performance.now() - startedAt,
    gapMs: 0,
    turns: 0,
    isolates: service.loader.isolates,
    seenBytes,
    pausedAtBytes,
  });
  const inputs = Object.fromEntries(Object.entries(files).map(([path, text]) => [path, bytesOf(text)]));
  try {
    const call = { signal: request.signal, onEvent, ...(deadline === undefined ? {} : { deadline }) };
    const result = await service.runtime.execute({ ...task, tool, files: inputs }, call);
    const outputs: Record<string, string> = {};
    for (const { path, digest } of result.files) outputs[path] = base64Of((await service.blobs.get(digest)) ?? new Uint8Array(0));
    return { result, outputs, ...seen() };
  } catch (error) {
    if (!(error instanceof ToolRuntimeError)) throw error;
    return { error: error.toJSON(), stack: `${error.stack} ${String(error.cause)}`, outputs: {}, ...seen() };
  }
}

async function handle(service: Service, request: Request): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url);
  if (pathname === "/readyz") return Response.json(await service.runtime.probe());
  if (pathname === "/victim") {
    const tool = service.tools.get("echo");
    if (tool === undefined) throw new RangeError("there is no tool echo");
    const { stdout } = await service.runtime.execute({ tool, input: { nonce: searchParams.get("nonce") } });
    return new Response(stdout);
  }
  if (pathname === "/tool") {
    const { manifest, base64, transpiled } = (await request.json()) as ToolRequest;
    // As from a store: read when the first run needs them.
    const tool = await defineTool(manifest, { wasm: async () => bytesOf(base64) });
    if (transpiled !== undefined) service.transpiled.set(transpiled.of, transpiled);
    service.tools.set(searchParams.get("name") ?? manifest.name, tool);
    return new Response(tool.digest);
  }
  return Response.json(await run(service, request));
}

/** jco is too large for a worker: what it makes comes from a store, too. */
function stored(known: ReadonlyMap<string, TranspiledData>): ComponentTranspiler {
  const decode = (modules: Readonly<Record<string, string>>) =>
    new Map(Object.entries(modules).map(([name, text]) => [name, bytesOf(text)]));
  return {
    async transpile({ bytes }) {
      const data = known.get(await sha256(bytes));
      if (data === undefined) throw new ToolRuntimeError("ERR_BACKEND_UNAVAILABLE", "Cannot transpile components in a worker");
      return { script: data.script, cores: decode(data.cores), helpers: decode(data.helpers) };
    },
  };
}

export interface LoaderHandler {
  fetch(request: Request, env: { readonly LOADER: WorkerLoader }): Promise<Response>;
}

export async function openService({ engine, tools, quickJs, maxIsolates = 100 }: ServiceOptions): Promise<LoaderHandler> {
  const opened = new Map((await openTools(tools)).all);
  const blobs = memoryBlobStore();
  let service: Service | undefined;
  const open = (binding: WorkerLoader): Service => {
    const loader = new CountingLoader(binding);
    const transpiled = new Map<string, TranspiledData>();
    const snippets = quickJs === undefined ? {} : { javascript: javaScriptEngine(bytesOf(quickJs)) };
    const backend = isolates({ loader, engine, maxIsolates, components: stored(transpiled), ...snippets });
    return { runtime: createRuntime({ backend, security: "dev", blobs }), tools: opened, blobs, loader, transpiled };
  };
  return {
    fetch: async (request, { LOADER }) => {
      try {
        return await handle((service ??= open(LOADER)), request);
      } catch (error) {
        return new Response(String(error), { status: 500 });
      }
    },
  };
}
