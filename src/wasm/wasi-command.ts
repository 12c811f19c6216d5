import type { Exit } from "../backend.ts";
import type { LimitReading } from "../limits.ts";
import type { CompiledArtifact } from "../tool.ts";
import type { ReadyArtifact, WasmRun } from "./artifact.ts";
import type { Bounds } from "./binary.ts";
import { FactReader } from "./facts.ts";
import { collectOutputs } from "./outputs.ts";
import { requireJspi } from "./jspi.ts";
import { isCapped, type Lease, type MemoryPool } from "./memory-pool.ts";
import { checkpointName, hostNamespace, memoryName, startName, waitName } from "./meter/names.ts";
import type { ReadyParts } from "./abi/runner.ts";
import { trapOfInstance } from "./traps.ts";
import { AbiTrap, createWasi, FileSystem, ProcExit, type Wasi } from "./wasi/index.ts";
import { wasiOptions } from "./wasi-options.ts";
import { wasiNamespace } from "./wasi-types.ts";
import type { WasmIo, WasmReport } from "./run-types.ts";

/** The functions of WASI in which a guest waits. Who writes to a slow reader waits at the next checkpoint. */
export const waitingFunctions: ReadonlySet<string> = new Set(["poll_oneoff", "random_get"]);
/** By this name an artifact of one module has it. */
export const mainModule = "main";

/** @throws `ERR_ARTIFACT_UNSUPPORTED`. */
export function readyWasiCommand({ facts, modules }: CompiledArtifact, { tool, pool }: ReadyParts): ReadyArtifact {
  const reader = new FactReader(facts, tool);
  const memory = reader.bounds("memory");
  const module = modules[mainModule];
  if (memory === undefined || module === undefined) throw reader.missing(memory === undefined ? "memory" : mainModule);
  const entries = reader.flag("hasStart") ? [startName, "_start"] : ["_start"];
  return new WasiCommand({ tool, module, pool, memory, entries, names: reader.texts("functions") });
}

interface Parts {
  readonly tool: string;
  readonly module: WebAssembly.Module;
  readonly pool: MemoryPool;
  readonly memory: Bounds;
  /** The functions of WASI that it imports. */
  readonly names: readonly string[];
  readonly entries: readonly string[];
}

class WasiCommand implements ReadyArtifact {
  readonly abi = "wasi-p1";
  readonly #tool: string;
  readonly #module: WebAssembly.Module;
  readonly #names: readonly string[];
  readonly #memory: Bounds;
  readonly #pool: MemoryPool;
  readonly #entries: readonly string[];

  constructor({ tool, module, pool, memory, names, entries }: Parts) {
    this.#tool = tool;
    this.#module = module;
    this.#names = names;
    this.#memory = memory;
    this.#pool = pool;
    this.#entries = entries;
  }

  async run(run: WasmRun): Promise<WasmReport> {
    const { io, slices } = run;
    const waiting = slices.ready();
    if (waiting !== undefined) await waiting;
    io.signal.throwIfAborted();
    const lease = this.#pool.lease({ tool: this.#tool, bounds: this.#memory, limitBytes: run.memoryBytes });
    const fs = fillFileSystem(io, run);
    const quotaBytes = fs.quota.bytesLeft;
    const wasi = createWasi(wasiOptions(run, { program: this.#tool, fs, stdout: "stdout" }));
    wasi.bind(lease.memory);
    let exit: Exit;
    try {
      exit = await this.#start(wasi, lease, run);
      await slices.settle();
    } catch (error) {
      if (!slices.isOver) throw error;
      exit = { kind: "trapped", trap: "ended by the host" };
    }
    const readings = readLimits({
      lease,
      isCapped: isCapped(this.#memory, run.memoryBytes),
      quotaBytes,
      bytesLeft: fs.quota.bytesLeft,
    });
    // Nothing of a run that a limit or somebody from outside ended is handed out or used again.
    if (slices.isOver) return { exit, readings, files: [] };
    const files = collectOutputs(fs.files("out"), { maxFiles: io.maxOutputFiles, maxBytes: quotaBytes });
    if (exit.kind === "exited") this.#pool.give(lease);
    return { exit, readings, files };
  }

  #imports(wasi: Wasi, lease: Lease, { slices }: WasmRun): WebAssembly.Imports {
    const { Suspending } = requireJspi();
    const functions: Record<string, WebAssembly.ImportValue> = Object.create(null);
    const linked = wasi.link(this.#names);
    for (const name of this.#names) {
      const host = linked[name];
      if (host !== undefined) functions[name] = waitingFunctions.has(name) ? new Suspending(host) : host;
    }
    const imports: WebAssembly.Imports = Object.create(null);
    imports[wasiNamespace] = functions;
    imports[hostNamespace] = {
      [memoryName]: lease.memory,
      [checkpointName]: () => slices.look(),
      [waitName]: new Suspending(() => slices.wait()),
    };
    return imports;
  }

  /** Instantiates and runs; what the run was ended with from outside goes through. */
  async #start(wasi: Wasi, lease: Lease, run: WasmRun): Promise<Exit> {
    const { promising } = requireJspi();
    const { io, slices } = run;
    const imports = this.#imports(wasi, lease, run);
    let instance: WebAssembly.Instance | undefined;
    io.started();
    slices.start();
    try {
      instance = new WebAssembly.Instance(this.#module, imports);
      slices.meter.bind(instance);
      for (const name of this.#entries) {
        const entry = instance.exports[name];
        if (typeof entry !== "function") throw new TypeError(`the instance lost its export ${name}`);
        await promising(entry as () => unknown)();
        if (wasi.ended !== undefined) break;
      }
    } catch (error) {
      return exitOf(wasi.ended ?? error, instance);
    } finally {
      slices.stop();
    }
    // A guest that catches every exception may have caught its own exit, and gone on to return.
    return wasi.ended === undefined ? { kind: "exited", code: 0 } : exitOf(wasi.ended);
  }
}

function exitOf(error: unknown, instance?: WebAssembly.Instance): Exit {
  if (error instanceof ProcExit) return { kind: "exited", code: error.code };
  if (error instanceof AbiTrap) return { kind: "trapped", trap: "abi" };
  const trapped = trapOfInstance(error, instance);
  if (trapped !== undefined) return trapped;
  throw error;
}

export function fillFileSystem(io: WasmIo, { diskBytes, surroundings }: Pick<WasmRun, "diskBytes" | "surroundings">): FileSystem {
  const { fileTimeNs } = surroundings;
  const fs = new FileSystem({ maxBytes: diskBytes, ...(fileTimeNs === undefined ? {} : { timeNs: fileTimeNs }) });
  fs.preopen("/");
  fs.mkdir("out");
  fs.mkdir("tmp");
  for (const { path, bytes } of io.files) fs.addFile(path, bytes);
  return fs;
}

interface Measures {
  readonly lease: Lease;
  readonly isCapped: boolean;
  readonly quotaBytes: number;
  readonly bytesLeft: number;
}

function readLimits({ lease, isCapped: hasLimit, quotaBytes, bytesLeft }: Measures): LimitReading[] {
  const peak = lease.memory.buffer.byteLength;
  // Below the cap nothing tells whether the guest was refused memory that it asked for.
  const reached = peak >= lease.maxBytes ? "yes" : "unknown";
  return [
    { limit: "memory", applied: lease.maxBytes, source: lease.source, peak, hit: hasLimit ? reached : "no" },
    {
      limit: "disk",
      applied: quotaBytes,
      source: "file system quota",
      peak: quotaBytes - bytesLeft,
      hit: bytesLeft === 0 ? "yes" : "unknown",
    },
    ...singleThreaded,
  ];
}

/** No function that a module can import starts a process or a thread. */
export const singleThreaded: readonly LimitReading[] = [
  { limit: "processes", applied: 1, source: "import allow-list", peak: 1, hit: "no" },
  { limit: "cpu", applied: 1, source: "one thread", hit: "no" },
];
