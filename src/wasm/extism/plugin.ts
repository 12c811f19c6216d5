import type { Exit } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import type { LimitReading } from "../../limits.ts";
import type { CompiledArtifact } from "../../tool.ts";
import type { ReadyArtifact, WasmRun } from "../artifact.ts";
import type { Bounds } from "../binary.ts";
import { FactReader } from "../facts.ts";
import { requireJspi } from "../jspi.ts";
import { isCapped, type Lease, type MemoryPool } from "../memory-pool.ts";
import { checkpointName, hostNamespace, memoryName, startName, waitName } from "../meter/names.ts";
import { collectOutputs } from "../outputs.ts";
import type { ReadyParts } from "../abi/runner.ts";
import type { Slices } from "../slices.ts";
import { trapOfInstance } from "../traps.ts";
import { AbiTrap, createWasi, ProcExit, type Wasi } from "../wasi/index.ts";
import { fillFileSystem, mainModule, singleThreaded, waitingFunctions } from "../wasi-command.ts";
import { wasiOptions } from "../wasi-options.ts";
import { wasiNamespace } from "../wasi-types.ts";
import { extismNamespace, HostEnd, hostFunction, isHostFunction, PluginCall } from "./host-functions.ts";
import { HostMemoryLimit } from "./host-memory.ts";
import type { WasmIo, WasmReport } from "../run-types.ts";

/** The part of the memory limit that is the host's blocks and variables; the plug-in's own memory has the rest. */
const hostShare = 1 / 4;
const maxHostBytes = 64 * 2 ** 20;

/** Without WASI a plug-in has no function that writes to a file. */
const noDisk: LimitReading = { limit: "disk", applied: 0, source: "import allow-list", peak: 0, hit: "no" };

const encoder = new TextEncoder();

/**
 * Makes an Extism plug-in ready. It is linked here and not by Extism's SDK: 2.0.0-rc13 links no memory of the host's, and holds
 * none of the limits that it takes.
 *
 * @throws `ERR_ARTIFACT_UNSUPPORTED`.
 */
export function readyExtism({ facts, modules }: CompiledArtifact, { tool, pool }: ReadyParts): ReadyArtifact {
  const reader = new FactReader(facts, tool);
  const module = modules[mainModule];
  if (module === undefined) throw reader.missing(mainModule);
  const [entry, memory] = [reader.text("entry"), reader.bounds("memory")];
  return new ExtismArtifact({ tool, pool, module, entry, memory, hostNames: reader.texts("host"), wasiNames: reader.texts("wasi") });
}

interface Parts {
  readonly tool: string;
  readonly pool: MemoryPool;
  readonly module: WebAssembly.Module;
  readonly entry: string;
  /** Of its own memory; a plug-in may do without. */
  readonly memory: Bounds | undefined;
  /** The functions that it imports, of Extism's host and of WASI. */
  readonly hostNames: readonly string[];
  readonly wasiNames: readonly string[];
}

/** What one call of a plug-in runs with. */
interface Linked {
  readonly run: WasmRun;
  readonly call: PluginCall;
  readonly wasi: Wasi | undefined;
  readonly lease: Lease | undefined;
}

class ExtismArtifact implements ReadyArtifact {
  readonly abi = "extism";
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async run(run: WasmRun): Promise<WasmReport> {
    const { io, memoryBytes, slices } = run;
    const { tool, pool, memory: bounds, wasiNames } = this.#parts;
    this.#assertFiles(io);
    const hostBytes = Math.min(Math.floor(memoryBytes * hostShare), maxHostBytes);
    const limitBytes = memoryBytes - hostBytes;
    const waiting = slices.ready();
    if (waiting !== undefined) await waiting;
    io.signal.throwIfAborted();
    const lease = bounds === undefined ? undefined : pool.lease({ tool, bounds, limitBytes });
    const call = new PluginCall(run, hostBytes);
    const fs = wasiNames.length === 0 ? undefined : fillFileSystem(io, run);
    const quotaBytes = fs?.quota.bytesLeft ?? 0;
    // A plug-in's output is what it sets as such, so what it prints is logs.
    const wasi = fs === undefined ? undefined : createWasi(wasiOptions(run, { program: tool, fs, stdout: "stderr" }));
    if (lease !== undefined) wasi?.bind(lease.memory);
    const exit = await this.#call({ run, call, wasi, lease });
    const hasFiles = fs !== undefined && !slices.isOver;
    const files = hasFiles ? collectOutputs(fs.files("out"), { maxFiles: io.maxOutputFiles, maxBytes: quotaBytes }) : [];
    const isOverHost = call.ended instanceof HostMemoryLimit;
    const readings = [
      readMemory({ lease, call, isFull: isOverHost || (bounds !== undefined && isCapped(bounds, limitBytes) && isFull(lease)) }),
      fs === undefined
        ? noDisk
        : ({ limit: "disk", applied: quotaBytes, source: "file system quota", peak: quotaBytes - fs.quota.bytesLeft } as const),
      ...singleThreaded,
    ];
    // Nothing of a run that a limit or somebody from outside ended is used again.
    if (lease !== undefined && exit.kind === "exited" && !slices.isOver) pool.give(lease);
    return { exit, readings, files, ...(isOverHost ? { limitHit: { limit: "memory" } as const } : {}) };
  }

  #assertFiles(io: WasmIo): void {
    const { tool, wasiNames } = this.#parts;
    if (io.files.length === 0 || wasiNames.length > 0) return;
    throw new ToolRuntimeError(
      "ERR_INPUT_INVALID",
      `Cannot give files to the tool "${tool}": its plug-in imports no WASI and so has no way to read them; send their content as input`,
      { details: { tool } },
    );
  }

  /** No object among them has a prototype: what is not given is not there. */
  #imports({ call, wasi, lease }: Linked): WebAssembly.Imports {
    const { Suspending } = requireJspi();
    const { hostNames, wasiNames } = this.#parts;
    const imports: WebAssembly.Imports = Object.create(null);
    const engine: WebAssembly.ModuleImports = (imports[hostNamespace] = Object.create(null));
    engine[checkpointName] = () => call.slices.look();
    engine[waitName] = new Suspending(() => call.slices.wait());
    if (lease !== undefined) engine[memoryName] = lease.memory;
    const host: WebAssembly.ModuleImports = (imports[extismNamespace] = Object.create(null));
    for (const name of hostNames) if (isHostFunction(name)) host[name] = hostFunction(name, call);
    if (wasi === undefined) return imports;
    const linked = wasi.link(wasiNames);
    const own: WebAssembly.ModuleImports = (imports[wasiNamespace] = Object.create(null));
    for (const name of wasiNames) {
      const target = linked[name];
      if (target !== undefined) own[name] = waitingFunctions.has(name) ? new Suspending(target) : target;
    }
    return imports;
  }

  /** One instance for one call; what the run was ended with from outside goes through. */
  async #call(linked: Linked): Promise<Exit> {
    const { run, call, wasi } = linked;
    const { io, slices } = run;
    let instance: WebAssembly.Instance | undefined;
    let exit: Exit;
    io.started();
    try {
      instance = new WebAssembly.Instance(this.#parts.module, this.#imports(linked));
      slices.meter.bind(instance);
      const code = await this.#run(instance.exports, slices);
      exit = await this.#finish(call, code);
      await slices.settle();
    } catch (error) {
      exit = slices.isOver ? { kind: "trapped", trap: "ended by the host" } : exitOf(call.ended ?? wasi?.ended ?? error, instance);
    }
    // A guest that catches every exception may have caught the one that ended it, and gone on to return.
    const ended = call.ended ?? wasi?.ended;
    return ended === undefined || slices.isOver ? exit : exitOf(ended);
  }

  async #run(exports: WebAssembly.Exports, slices: Slices): Promise<unknown> {
    slices.start();
    try {
      await initialize(exports);
      return await enter(exports, this.#parts.entry);
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

/**
 * Runs what is to run before the first call: the module's start function, a reactor's `_initialize`, Haskell's `hs_init`. Its
 * two parameters, argc and argv, are 0 where they are left out.
 */
async function initialize(exports: WebAssembly.Exports): Promise<void> {
  const reactor = exports["_initialize"] ?? exports["__wasm_call_ctors"];
  for (const initializer of [exports[startName], reactor, exports["hs_init"]]) {
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

function isFull(lease: Lease | undefined): boolean {
  return lease !== undefined && lease.memory.buffer.byteLength >= lease.maxBytes;
}

interface Measures {
  readonly lease: Lease | undefined;
  readonly call: PluginCall;
  readonly isFull: boolean;
}

function readMemory({ lease, call: { memory: host }, isFull: isHit }: Measures): LimitReading {
  return {
    limit: "memory",
    applied: (lease?.maxBytes ?? 0) + host.maxBytes,
    source: "WebAssembly.Memory.grow, and the host memory's counter",
    peak: (lease?.memory.buffer.byteLength ?? 0) + host.peakBytes,
    // Below the cap nothing tells whether the guest was refused memory that it asked for.
    hit: isHit ? "yes" : "unknown",
  };
}
