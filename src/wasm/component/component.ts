import type { Exit } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import type { LimitReading } from "../../limits.ts";
import type { CompiledArtifact, ComponentInstantiate } from "../../tool.ts";
import type { ReadyArtifact, WasmRun } from "../artifact.ts";
import { pageBytes, type Bounds } from "../binary.ts";
import { FactReader } from "../facts.ts";
import type { Lease, MemoryPool } from "../memory-pool.ts";
import { hostNamespace, memoryName } from "../meter/names.ts";
import { collectOutputs } from "../outputs.ts";
import type { ReadyParts } from "../abi/runner.ts";
import { trapOf } from "../traps.ts";
import { fillFileSystem, singleThreaded } from "../wasi-command.ts";
import { makeImports } from "./host/imports.ts";
import { GuestEnd, RunState } from "./host/run-state.ts";
import { JsFrames } from "./js-frames.ts";
import type { WasmReport } from "../run-types.ts";

const maxPages = 65_536;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Makes a component ready. @throws `ERR_ARTIFACT_UNSUPPORTED`. */
export function readyComponent({ facts, modules, instantiate }: CompiledArtifact, { tool, pool }: ReadyParts): ReadyArtifact {
  const reader = new FactReader(facts, tool);
  if (instantiate === undefined) throw reader.missing("instantiate");
  const memories = reader.boundsByName("memories");
  const cores = new Map<string, Core>();
  for (const [name, module] of Object.entries(modules)) cores.set(name, { module, memory: memories.get(name) });
  return new ComponentArtifact({ tool, pool, cores, instantiate, isCommand: reader.text("kind") === "command", name: reader.text("name") });
}

interface Core {
  readonly module: WebAssembly.Module;
  /** Its own memory. */
  readonly memory: Bounds | undefined;
}

/** The memories of one run, made before its guest starts, by the modules that are to have them. */
type Leases = ReadonlyMap<WebAssembly.Module, Lease[]>;

interface Parts {
  readonly tool: string;
  readonly pool: MemoryPool;
  readonly cores: ReadonlyMap<string, Core>;
  readonly instantiate: ComponentInstantiate;
  /** Called by stdin and stdout; otherwise by a function of text. */
  readonly isCommand: boolean;
  /** The export that is called. */
  readonly name: string;
}

class ComponentArtifact implements ReadyArtifact {
  readonly abi = "component";
  readonly #parts: Parts;
  readonly #memories: number;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#memories = [...parts.cores.values()].filter(({ memory }) => memory !== undefined).length;
  }

  async run(run: WasmRun): Promise<WasmReport> {
    const { io, slices } = run;
    const waiting = slices.ready();
    if (waiting !== undefined) await waiting;
    io.signal.throwIfAborted();
    const leases = this.#lease(run.memoryBytes);
    const all = [...leases.values()].flat();
    const appliedBytes = all.reduce((sum, { maxBytes }) => sum + maxBytes, 0);
    const fs = fillFileSystem(io, run);
    const quotaBytes = fs.quota.bytesLeft;
    const state = new RunState(run, fs);
    const exit = await this.#call(state, leases);
    const peak = all.reduce((sum, { memory }) => sum + memory.buffer.byteLength, 0);
    const readings: LimitReading[] = [
      {
        limit: "memory",
        applied: appliedBytes,
        source: "WebAssembly.Memory.grow",
        peak,
        // Below the cap nothing tells whether the guest was refused memory that it asked for.
        hit: this.#memories > 0 && peak >= appliedBytes ? "yes" : "unknown",
      },
      { limit: "disk", applied: quotaBytes, source: "file system quota", peak: quotaBytes - fs.quota.bytesLeft },
      ...singleThreaded,
    ];
    const files = slices.isOver ? [] : collectOutputs(fs.files("out"), { maxFiles: io.maxOutputFiles, maxBytes: quotaBytes });
    return { exit, readings, files };
  }

  /**
   * The limit is divided by the memories that the modules declare. None of them goes back to the pool: a guest that has ended itself
   * may still be suspended in them.
   */
  #lease(memoryBytes: number): Leases {
    const { tool, pool, cores } = this.#parts;
    const pages = Math.min(Math.floor(memoryBytes / pageBytes / Math.max(1, this.#memories)), maxPages);
    const leases = new Map<WebAssembly.Module, Lease[]>();
    for (const { module, memory } of cores.values()) {
      if (memory === undefined) continue;
      const lease = pool.lease({ tool, bounds: memory, limitBytes: pages * pageBytes });
      leases.set(module, [...(leases.get(module) ?? []), lease]);
    }
    return leases;
  }

  /** One instance for one call, whatever it was: a component that trapped is never entered again. */
  async #call(state: RunState, leases: Leases): Promise<Exit> {
    const { io, slices } = state;
    const frames = new JsFrames(slices);
    let exit: Exit;
    io.started();
    slices.start();
    try {
      const guest = this.#enter(state, frames, leases);
      const ended = state.whenEnded.then((): Exit => exitOf(state.ended));
      exit = await Promise.race([guest, ended]);
    } catch (error) {
      if (frames.isStuck) slices.endInline();
      exit = slices.isOver ? endedByHost : exitOf(state.ended ?? error);
    } finally {
      slices.stop();
    }
    // A guest that catches every exception may have caught the one that ended it, and gone on to return.
    if (state.ended !== undefined && !slices.isOver) exit = exitOf(state.ended);
    await state.settle().catch((error: unknown) => (exit = slices.isOver ? endedByHost : exitOf(error)));
    return exit;
  }

  async #enter(state: RunState, frames: JsFrames, leases: Leases): Promise<Exit> {
    const { isCommand, name } = this.#parts;
    const linked = this.#instantiate(state, frames, leases);
    const exports = linked instanceof Promise ? await linked : linked;
    return isCommand ? runCommand(exports[name]) : this.#runFunction(exports, state);
  }

  #instantiate(state: RunState, frames: JsFrames, leases: Leases): ReturnType<ComponentInstantiate> {
    const { tool, cores, isCommand, instantiate } = this.#parts;
    const left = new Map([...leases].map(([module, own]) => [module, [...own]]));
    const getCoreModule = (name: string): WebAssembly.Module => {
      const core = cores.get(name);
      if (core === undefined) throw new TypeError(`the component has no core module ${name}`);
      return core.module;
    };
    const instantiateCore = (module: WebAssembly.Module, imports: WebAssembly.Imports = {}): WebAssembly.Instance => {
      const own = left.get(module);
      const lease = own?.pop();
      // A second instance of a module with a memory would have one beyond the limit.
      if (own !== undefined && lease === undefined) throw new TypeError("the component instantiates a module with a memory twice");
      const host = lease === undefined ? frames.imports : { ...frames.imports, [memoryName]: lease.memory };
      const instance = frames.instantiate(module, { ...imports, [hostNamespace]: host });
      state.slices.meter.bind(instance);
      return frames.guarded(instance);
    };
    const stdout = isCommand ? "stdout" : "stderr";
    return instantiate(getCoreModule, makeImports(state, { program: tool, stdout }), instantiateCore);
  }

  async #runFunction(exports: Record<string, unknown>, { io, slices }: RunState): Promise<Exit> {
    const entry = exports[camelCase(this.#parts.name)];
    if (typeof entry !== "function") throw new TypeError("the component lost its export");
    let output: unknown;
    try {
      output = await entry(decoder.decode(io.stdin));
    } catch (error) {
      const refusal = payloadOf(error);
      if (refusal === undefined) throw error;
      await slices.away(io.stderr(encoder.encode(`${refusal}\n`)));
      return { kind: "exited", code: 1 };
    }
    if (typeof output !== "string") throw this.#notText();
    if (output !== "") await slices.away(io.stdout(encoder.encode(output)));
    return { kind: "exited", code: 0 };
  }

  #notText(): ToolRuntimeError {
    const message = `Cannot take the output of the tool "${this.#parts.tool}": its function is not of type func(input: string) -> result<string, string>`;
    return new ToolRuntimeError("ERR_ARTIFACT_INVALID", message, { started: true, details: { tool: this.#parts.tool } });
  }
}

const endedByHost: Exit = { kind: "trapped", trap: "ended by the host" };

/** The name that jco gives an export. */
function camelCase(name: string): string {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
}

async function runCommand(command: unknown): Promise<Exit> {
  if (typeof command !== "object" || command === null || !("run" in command) || typeof command.run !== "function") {
    throw new TypeError("the component lost its export wasi:cli/run");
  }
  try {
    await command.run();
    return { kind: "exited", code: 0 };
  } catch (error) {
    if (!isComponentError(error)) throw error;
    return { kind: "exited", code: 1 };
  }
}

/** What jco throws for the error case of a result: an error of a class in the generated code, with the payload. */
function isComponentError(error: unknown): error is Error & { readonly payload: unknown } {
  return error instanceof Error && error.constructor.name === "ComponentError" && "payload" in error;
}

function payloadOf(error: unknown): string | undefined {
  if (!isComponentError(error)) return undefined;
  return typeof error.payload === "string" ? error.payload : `The component failed with ${JSON.stringify(error.payload) ?? "nothing"}`;
}

function exitOf(ended: unknown): Exit {
  if (ended instanceof GuestEnd) {
    if ("exitCode" in ended.why) return { kind: "exited", code: ended.why.exitCode };
    if ("trap" in ended.why) return { kind: "trapped", trap: `component: ${ended.why.trap}` };
    throw ended.why.reason;
  }
  if (ended instanceof ToolRuntimeError) throw ended;
  const trapped = trapOf(ended);
  if (trapped !== undefined) return trapped;
  // What the generated code or the host refuses: a handle that is none, a value outside its type, a call at the wrong time.
  const why = ended instanceof Error ? ended.message : String(ended);
  return { kind: "trapped", trap: `component: ${why.slice(0, 200)}` };
}
