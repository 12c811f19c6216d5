import type { Exit, RunIo, RunReport } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import type { LimitReading } from "../../limits.ts";
import type { ReadyArtifact, WasmRun } from "../artifact.ts";
import type { Slices } from "../slices.ts";
import { compileModule, ingestModule, pageBytes, type Making } from "../ingest.ts";
import { requireJspi } from "../jspi.ts";
import { checkpointName, hostNamespace, startName, waitName, type Import, type MeteredModule } from "../meter/index.ts";
import { collectOutputs } from "../outputs.ts";
import { trapOfInstance } from "../traps.ts";
import type { FunctionType } from "../types.ts";
import { AbiTrap, createWasi, ProcExit, type Wasi } from "../wasi/index.ts";
import { fillFileSystem, singleThreaded, waitingFunctions } from "../wasi-command.ts";
import { wasiOptions } from "../wasi-options.ts";
import { assertWasiTypes, isWasiImport, wasiNamespace } from "../wasi-types.ts";
import { loadExtism, type ExtismSdk, type SdkFunction } from "./client.ts";
import { extismNamespace, HostEnd, hostFunction, hostFunctionType, isHostFunction, PluginCall } from "./host-functions.ts";
import { HostMemoryLimit } from "./host-memory.ts";
import { renameModule } from "./rename.ts";

/** The SDK puts a WASI of its own (`node:wasi`, or one that logs to the console) in front of ours under the true name. */
const ownWasiNamespace = "toolruntime:wasi";
/** What the SDK would call by itself before we can give WASI its memory. We call it under another name. */
const initializers: ReadonlySet<string> = new Set(["_initialize", "_start", "hs_init"]);
/** Compiled modules are kept for this many memory limits; a tool seldom meets more than one. */
const maxCaps = 4;
const maxPages = 65_536;
/** The part of the memory limit that is the host's blocks and variables; the plug-in's own memory has the rest. */
const hostShare = 1 / 4;
/** An entry point's result says by another number than 0 that it failed. */
const entryTypes: ReadonlySet<FunctionType> = new Set(["->", "-> i32", "-> i64"]);
const maxHostBytes = 64 * 2 ** 20;

/** Without WASI a plug-in has no function that writes to a file. */
const noDisk: LimitReading = { limit: "disk", applied: 0, source: "import allow-list", peak: 0, hit: "no" };

const encoder = new TextEncoder();

export interface ExtismOptions {
  /** The exported function. `"run"` unless given. */
  readonly entry?: string;
  /** Loads the SDK; for tests. */
  readonly load?: () => Promise<ExtismSdk>;
}

/**
 * Makes an Extism plug-in ready. The SDK links it; host functions, memory limits and the call are this engine's own, because
 * 2.0.0-rc13 bounds none of them. A plug-in gets no configuration and no network.
 *
 * @throws `ERR_ARTIFACT_INVALID`, `ERR_IMPORT_DENIED`, `ERR_LIMIT_COMPILE`, `ERR_BACKEND_UNAVAILABLE`.
 */
export async function readyExtism(bytes: Uint8Array, making: Making, options: ExtismOptions = {}): Promise<ReadyArtifact> {
  const { tool } = making;
  const { entry = "run", load = loadExtism } = options;
  const ingested = await ingest(bytes, making, maxPages * pageBytes);
  assertWasiTypes(ingested.imports, tool);
  assertHostTypes(ingested.imports, tool);
  if (!entryTypes.has(ingested.functions.get(entry) ?? "")) throw noEntry(ingested, tool, entry);
  const sdk = await load();
  return new ExtismArtifact({ making, entry, bytes, ingested, sdk });
}

function noEntry({ functions }: MeteredModule, tool: string, entry: string): ToolRuntimeError {
  const exported = [...functions].slice(0, 20).map(([name, type]) => `${JSON.stringify(name)} (${type})`);
  return new ToolRuntimeError(
    "ERR_ARTIFACT_INVALID",
    `Cannot take the WebAssembly module of the tool "${tool}" as an Extism plug-in: it has no function ${JSON.stringify(entry)} without parameters that returns at most a number; it exports ${exported.join(", ") || "no function"}`,
    { details: { tool, entry } },
  );
}

/** @throws `ERR_IMPORT_DENIED` for a host function that is imported as another type. */
function assertHostTypes(imports: readonly Import[], tool: string): void {
  for (const { namespace, name, type } of imports) {
    if (namespace !== extismNamespace || !isHostFunction(name) || type === hostFunctionType(name)) continue;
    throw new ToolRuntimeError(
      "ERR_IMPORT_DENIED",
      `Cannot take the WebAssembly module of the tool "${tool}": it imports "${name}" from "${namespace}" as "${type}", which there is "${hostFunctionType(name)}"`,
      { details: { tool, namespace, name, kind: "function", type } },
    );
  }
}

/** Whether a plug-in may import this. Names come from tables without prototype, so `__proto__` and its like are in none. */
function allows(one: Import): boolean {
  if (one.kind !== "function") return false;
  return one.namespace === extismNamespace ? isHostFunction(one.name) : isWasiImport(one);
}

function ingest(bytes: Uint8Array, making: Making, memoryBytes: number): Promise<MeteredModule> {
  return ingestModule(bytes, making, { allows, memory: memoryBytes, start: "export" });
}

function renameInitializer(name: string): string {
  return initializers.has(name) ? `toolruntime:${name}` : name;
}

interface Parts {
  readonly making: Making;
  readonly entry: string;
  readonly bytes: Uint8Array;
  readonly ingested: Pick<MeteredModule, "imports" | "memory">;
  readonly sdk: ExtismSdk;
}

class ExtismArtifact implements ReadyArtifact {
  readonly abi = "extism";
  readonly weight: number;
  readonly #parts: Parts;
  readonly #hostNames: readonly string[];
  readonly #wasiNames: readonly string[];
  readonly #modules = new Map<number, Promise<WebAssembly.Module>>();

  constructor(parts: Parts) {
    this.#parts = parts;
    const named = (wanted: string): string[] => [
      ...new Set(parts.ingested.imports.flatMap(({ namespace, name }) => (namespace === wanted ? [name] : []))),
    ];
    this.#hostNames = named(extismNamespace);
    this.#wasiNames = named(wasiNamespace);
    // The original, and machine code several times its size.
    this.weight = parts.bytes.length * 5;
  }

  async run(run: WasmRun): Promise<RunReport> {
    const { io, memoryBytes, slices } = run;
    this.#assertFiles(io);
    const hostBytes = Math.min(Math.floor(memoryBytes * hostShare), maxHostBytes);
    const pages = Math.min(Math.floor((memoryBytes - hostBytes) / pageBytes), maxPages);
    const module = await this.#module(pages);
    const waiting = slices.ready();
    if (waiting !== undefined) await waiting;
    io.signal.throwIfAborted();
    const call = new PluginCall(run, hostBytes);
    const fs = this.#wasiNames.length === 0 ? undefined : fillFileSystem(io, run);
    const quotaBytes = fs?.quota.bytesLeft ?? 0;
    // A plug-in's output is what it sets as such, so what it prints is logs.
    const wasi = fs === undefined ? undefined : createWasi(wasiOptions(run, { program: this.#parts.making.tool, fs, stdout: "stderr" }));
    const { exit, peakBytes } = await this.#call(module, run, call, wasi);
    const hasFiles = fs !== undefined && !slices.isOver;
    const files = hasFiles ? collectOutputs(fs.files("out"), { maxFiles: io.maxOutputFiles, maxBytes: quotaBytes }) : [];
    const isOverHost = call.ended instanceof HostMemoryLimit;
    const readings = [
      memoryReading({
        applied: pages * pageBytes + hostBytes,
        peak: peakBytes,
        isHit: isOverHost || peakBytes.module === pages * pageBytes,
      }),
      fs === undefined
        ? noDisk
        : ({ limit: "disk", applied: quotaBytes, source: "file system quota", peak: quotaBytes - fs.quota.bytesLeft } as const),
      ...singleThreaded,
    ];
    return { exit, readings, files, ...(isOverHost ? { limitHit: { limit: "memory" } as const } : {}) };
  }

  #assertFiles(io: RunIo): void {
    if (io.files.length === 0 || this.#wasiNames.length > 0) return;
    const { tool } = this.#parts.making;
    throw new ToolRuntimeError(
      "ERR_INPUT_INVALID",
      `Cannot give files to the tool "${tool}": its plug-in imports no WASI and so has no way to read them; send their content as input`,
      { details: { tool } },
    );
  }

  /** The module with its own memory capped at so many pages. */
  #module(pages: number): Promise<WebAssembly.Module> {
    const known = this.#modules.get(pages);
    if (known !== undefined) return known;
    const { making, ingested } = this.#parts;
    const minPages = ingested.memory?.min ?? 0;
    if (minPages > pages) {
      const [needed, limit] = [minPages * pageBytes, pages * pageBytes];
      throw new ToolRuntimeError(
        "ERR_LIMIT_MEMORY",
        `Cannot start the tool "${making.tool}": its plug-in begins with ${needed} bytes of memory, its limit "memory" leaves it ${limit}`,
        { details: { limit: "memory", value: limit, observed: needed } },
      );
    }
    const compiling = this.#compile(pages);
    const oldest = this.#modules.keys().next();
    if (this.#modules.size === maxCaps && oldest.done !== true) this.#modules.delete(oldest.value);
    this.#modules.set(pages, compiling);
    compiling.catch(() => this.#modules.delete(pages));
    return compiling;
  }

  async #compile(pages: number): Promise<WebAssembly.Module> {
    const { making, bytes } = this.#parts;
    const metered = await ingest(bytes, making, pages * pageBytes);
    const renamed = renameModule(metered.bytes, {
      namespace: (namespace) => (namespace === wasiNamespace ? ownWasiNamespace : namespace),
      exported: renameInitializer,
    });
    return compileModule(renamed, making);
  }

  /** The functions for one call: records of their own, since the SDK writes to what it is given. */
  #functions(call: PluginCall, wasi: Wasi | undefined): Record<string, Record<string, SdkFunction>> {
    const functions: Record<string, Record<string, SdkFunction>> = Object.create(null);
    const engine: Record<string, SdkFunction> = (functions[hostNamespace] = Object.create(null));
    engine[checkpointName] = () => call.slices.look();
    engine[waitName] = markWaiting(() => call.slices.wait());
    const host: Record<string, SdkFunction> = (functions[extismNamespace] = Object.create(null));
    for (const name of this.#hostNames) if (isHostFunction(name)) host[name] = hostFunction(name, call);
    if (wasi === undefined) return functions;
    const linked = wasi.link(this.#wasiNames);
    const own: Record<string, SdkFunction> = (functions[ownWasiNamespace] = Object.create(null));
    for (const name of this.#wasiNames) {
      const target = linked[name];
      if (target === undefined) continue;
      const withContext: SdkFunction = (_context, ...parameters) => (target as (...given: unknown[]) => unknown)(...parameters);
      own[name] = waitingFunctions.has(name) ? markWaiting(withContext) : withContext;
    }
    return functions;
  }

  /** One plug-in instance for one call; what the run was ended with from outside goes through. */
  async #call(
    module: WebAssembly.Module,
    { io, slices }: WasmRun,
    call: PluginCall,
    wasi: Wasi | undefined,
  ): Promise<{ exit: Exit; peakBytes: PeakBytes }> {
    let instance: WebAssembly.Instance | undefined;
    let memory: WebAssembly.Memory | undefined;
    let exit: Exit;
    io.started();
    try {
      // The timeout, the allowed hosts and the memory options of the SDK are never used: rc13 does not hold them.
      const plugin = await this.#parts.sdk.createPlugin(
        { wasm: [{ module, name: "main" }] },
        { functions: this.#functions(call, wasi), useWasi: false },
      );
      instance = await plugin.getInstance();
      const { exports } = instance;
      slices.meter.bind(instance);
      if (exports["memory"] instanceof WebAssembly.Memory) memory = exports["memory"];
      if (memory !== undefined) wasi?.bind(memory);
      const code = await this.#run(exports, slices);
      exit = await this.#finish(call, code);
      await slices.settle();
    } catch (error) {
      exit = slices.isOver ? { kind: "trapped", trap: "ended by the host" } : exitOf(call.ended ?? wasi?.ended ?? error, instance);
    }
    // A guest that catches every exception may have caught the one that ended it, and gone on to return.
    const ended = call.ended ?? wasi?.ended;
    if (ended !== undefined && !slices.isOver) exit = exitOf(ended);
    return { exit, peakBytes: { module: memory?.buffer.byteLength, host: call.memory.peakBytes } };
  }

  async #run(exports: WebAssembly.Exports, slices: Slices): Promise<unknown> {
    slices.start();
    try {
      await initialize(exports);
      return await enter(exports, renameInitializer(this.#parts.entry));
    } finally {
      slices.stop();
    }
  }

  async #finish(call: PluginCall, code: unknown): Promise<Exit> {
    if (call.ended !== undefined) return exitOf(call.ended);
    const hasFailed = call.error !== undefined || (code !== undefined && code !== 0 && code !== 0n);
    if (!hasFailed) {
      if (call.output.length > 0) await call.io.stdout(call.output.slice());
      return { kind: "exited", code: 0 };
    }
    const { error = encoder.encode(`The plug-in's function "${this.#parts.entry}" returned ${String(code)}`) } = call;
    const line = new Uint8Array(error.length + 1);
    line.set(error);
    line[error.length] = 0x0a;
    await call.io.stderr(line);
    return { kind: "exited", code: 1 };
  }
}

const AsyncFunction: unknown = (async () => {}).constructor;

/** The SDK suspends the plug-in where a function's constructor is AsyncFunction. A real one would suspend at each call. */
function markWaiting(linked: SdkFunction): SdkFunction {
  return Object.defineProperty(linked, "constructor", { value: AsyncFunction });
}

/**
 * Runs what is to run before the first call: the module's start function, a reactor's `_initialize`, Haskell's `hs_init`. Its
 * two parameters, argc and argv, are 0 where they are left out.
 */
async function initialize(exports: WebAssembly.Exports): Promise<void> {
  const reactor = exports[renameInitializer("_initialize")] ?? exports["__wasm_call_ctors"];
  for (const initializer of [exports[startName], reactor, exports[renameInitializer("hs_init")]]) {
    if (typeof initializer === "function") await requireJspi().promising(initializer as () => unknown)();
  }
}

async function enter(exports: WebAssembly.Exports, name: string): Promise<unknown> {
  const entry = exports[name];
  if (typeof entry !== "function") throw new TypeError("the instance lost its entry point");
  return requireJspi().promising(entry as () => unknown)();
}

function exitOf(ended: unknown, instance?: WebAssembly.Instance): Exit {
  if (ended instanceof ProcExit) return { kind: "exited", code: ended.code };
  if (ended instanceof AbiTrap) return { kind: "trapped", trap: "abi" };
  if (ended instanceof HostMemoryLimit) return { kind: "trapped", trap: ended.message };
  if (ended instanceof HostEnd) throw ended.reason;
  const trapped = trapOfInstance(ended, instance);
  if (trapped !== undefined) return trapped;
  throw ended;
}

interface PeakBytes {
  /** Absent where the plug-in keeps its memory to itself. */
  readonly module: number | undefined;
  readonly host: number;
}

function memoryReading({ applied, peak, isHit }: { applied: number; peak: PeakBytes; isHit: boolean }): LimitReading {
  return {
    limit: "memory",
    applied,
    source: "maximum of the module's memory, and the host memory's counter",
    ...(peak.module === undefined ? {} : { peak: peak.module + peak.host }),
    // Below the cap nothing tells whether the guest was refused memory that it asked for.
    hit: isHit ? "yes" : "unknown",
  };
}
