import type { Exit, RunReport } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import type { LimitReading } from "../../limits.ts";
import type { ReadyArtifact, WasmRun } from "../artifact.ts";
import { BinaryError } from "../binary.ts";
import { compileModule, ingestModule, pageBytes, type Making } from "../ingest.ts";
import { hostNamespace, type MeteredModule } from "../meter/index.ts";
import { collectOutputs } from "../outputs.ts";
import { trapOf } from "../traps.ts";
import { fillFileSystem, singleThreaded } from "../wasi-command.ts";
import { readComponent, type ComponentBinary } from "./binary.ts";
import { grantedInterfaces, makeImports, waitingImports } from "./host/imports.ts";
import { GuestEnd, RunState } from "./host/run-state.ts";
import { JsFrames } from "./js-frames.ts";
import type { ComponentTranspiler, Instantiate, Transpiled } from "./transpiler.ts";

/** Compiled modules are kept for this many memory limits; a tool seldom meets more than one. */
const maxCaps = 4;
const maxPages = 65_536;
const commandExport = /^wasi:cli\/run@0\.2\.\d+$/;
const wasiImport = /^(wasi:[a-z-]+\/[a-z-]+)@0\.2\.\d+$/;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export interface ComponentOptions {
  /** The exported function, of type `func(input: string) -> result<string, string>`; `"run"` unless given. */
  readonly entry?: string;
  readonly transpiler: ComponentTranspiler | undefined;
}

/** How a component is called: as a command, by stdin and stdout, or by a function of text. */
type Shape = { readonly kind: "command"; readonly name: string } | { readonly kind: "function"; readonly name: string };

/**
 * Makes a WASI 0.2 component ready: a `wasi:cli/run` command, or one that exports
 * `run: func(input: string) -> result<string, string>`.
 *
 * @throws `ERR_ARTIFACT_INVALID`, `ERR_IMPORT_DENIED`, `ERR_LIMIT_COMPILE`, `ERR_BACKEND_UNAVAILABLE` where nothing transpiles components.
 */
export async function readyComponent(bytes: Uint8Array, making: Making, options: ComponentOptions): Promise<ReadyArtifact> {
  const { tool } = making;
  const { transpiler } = options;
  const component = read(bytes, tool);
  for (const { name, kind } of component.imports) assertGranted(name, kind, tool);
  const shape = shapeOf(component, tool, options);
  if (transpiler === undefined) {
    throw new ToolRuntimeError(
      "ERR_BACKEND_UNAVAILABLE",
      `Cannot run the component of the tool "${tool}" on backend "wasm": nothing transpiles components here; run npm install @bytecodealliance/jco and give the backend a transpiler`,
      { details: { tool } },
    );
  }
  const canWait = component.imports.some(({ name }) => name.startsWith("wasi:io/"));
  const transpiled = await transpiler.transpile({
    bytes: component.bytes,
    waitingImports: canWait ? waitingImports : [],
    // Also a guest that calls nothing waits: for its next slice.
    waitingExports: [shape.kind === "command" ? `${shape.name}#run` : shape.name],
  });
  const cores = new Map<string, MeteredModule>();
  for (const [name, core] of transpiled.cores) cores.set(name, await ingestCore(core, making, maxPages * pageBytes));
  return new ComponentArtifact({ making, shape, transpiled, cores });
}

function read(bytes: Uint8Array, tool: string): ComponentBinary {
  try {
    return readComponent(bytes);
  } catch (error) {
    if (!(error instanceof BinaryError)) throw error;
    throw new ToolRuntimeError("ERR_ARTIFACT_INVALID", `Cannot take the component of the tool "${tool}": it ${error.message}`, {
      details: { tool },
      cause: error,
    });
  }
}

function assertGranted(name: string, kind: string, tool: string): void {
  const [, wasi = ""] = wasiImport.exec(name) ?? [];
  // A type is no way out: it only gives a name to something that another import hands in.
  if (kind === "type" || (kind === "instance" && grantedInterfaces.has(wasi))) return;
  throw new ToolRuntimeError(
    "ERR_IMPORT_DENIED",
    `Cannot take the component of the tool "${tool}": it imports the ${kind} ${JSON.stringify(name)}, which nothing grants it`,
    { details: { tool, name, kind } },
  );
}

function shapeOf(component: ComponentBinary, tool: string, { entry = "run" }: ComponentOptions): Shape {
  const named = component.exports.find(({ name, kind }) => name === entry && kind === "function");
  // Whoever awaits an object with a function "then" calls it.
  if (named !== undefined && entry !== "then") return { kind: "function", name: entry };
  const command = component.exports.find(({ name, kind }) => commandExport.test(name) && kind === "instance");
  if (command !== undefined) return { kind: "command", name: command.name };
  const exported = component.exports.map(({ name }) => JSON.stringify(name)).join(", ");
  throw new ToolRuntimeError(
    "ERR_ARTIFACT_INVALID",
    `Cannot take the component of the tool "${tool}": it exports neither wasi:cli/run nor a function ${JSON.stringify(entry)}; it exports ${exported || "nothing"}`,
    { details: { tool, entry } },
  );
}

/** The component's core modules, each memory capped so that all together stay inside the limit. */
interface Compiled {
  readonly modules: ReadonlyMap<string, WebAssembly.Module>;
  readonly withMemory: ReadonlySet<WebAssembly.Module>;
  readonly appliedBytes: number;
}

/** What one run's instances have in common. */
interface Linking {
  readonly frames: JsFrames;
  /** Filled with the memories that they have. */
  readonly memories: WebAssembly.Memory[];
}

interface Parts {
  readonly making: Making;
  readonly shape: Shape;
  readonly transpiled: Transpiled;
  /** The core modules without a cap of a run's. */
  readonly cores: ReadonlyMap<string, MeteredModule>;
}

class ComponentArtifact implements ReadyArtifact {
  readonly abi = "component";
  readonly weight: number;
  readonly #making: Making;
  readonly #shape: Shape;
  readonly #transpiled: Transpiled;
  /** The initial size, in pages, of each module's own memory. */
  readonly #memoryPages: readonly number[];
  readonly #compiled = new Map<number, Promise<Compiled>>();

  constructor({ making, shape, transpiled, cores }: Parts) {
    this.#making = making;
    this.#shape = shape;
    this.#transpiled = transpiled;
    this.#memoryPages = [...cores.values()].flatMap(({ memory }) => (memory === undefined ? [] : [memory.min]));
    // The originals, machine code several times their size, and the generated JavaScript.
    this.weight = [...cores.values()].reduce((sum, { bytes }) => sum + bytes.length * 5, 2 ** 20);
  }

  async run(run: WasmRun): Promise<RunReport> {
    const { io, memoryBytes, slices } = run;
    const compiled = await this.#compile(memoryBytes);
    const waiting = slices.ready();
    if (waiting !== undefined) await waiting;
    io.signal.throwIfAborted();
    const fs = fillFileSystem(io, run);
    const quotaBytes = fs.quota.bytesLeft;
    const state = new RunState(run, fs);
    const memories: WebAssembly.Memory[] = [];
    const exit = await this.#call(compiled, state, memories);
    const peak = memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
    const readings: LimitReading[] = [
      {
        limit: "memory",
        applied: compiled.appliedBytes,
        source: "maxima of the component's memories",
        peak,
        // Below the cap nothing tells whether the guest was refused memory that it asked for.
        hit: this.#memoryPages.length > 0 && peak >= compiled.appliedBytes ? "yes" : "unknown",
      },
      { limit: "disk", applied: quotaBytes, source: "file system quota", peak: quotaBytes - fs.quota.bytesLeft },
      ...singleThreaded,
    ];
    const files = slices.isOver ? [] : collectOutputs(fs.files("out"), { maxFiles: io.maxOutputFiles, maxBytes: quotaBytes });
    return { exit, readings, files };
  }

  #compile(memoryBytes: number): Promise<Compiled> {
    const pages = Math.min(Math.floor(memoryBytes / pageBytes / Math.max(1, this.#memoryPages.length)), maxPages);
    const known = this.#compiled.get(pages);
    if (known !== undefined) return known;
    const compiling = this.#compileFor(pages);
    const oldest = this.#compiled.keys().next();
    if (this.#compiled.size === maxCaps && oldest.done !== true) this.#compiled.delete(oldest.value);
    this.#compiled.set(pages, compiling);
    compiling.catch(() => this.#compiled.delete(pages));
    return compiling;
  }

  async #compileFor(pages: number): Promise<Compiled> {
    const modules = new Map<string, WebAssembly.Module>();
    const withMemory = new Set<WebAssembly.Module>();
    const tooLarge = this.#memoryPages.find((min) => min > pages);
    if (tooLarge !== undefined) throw this.#tooSmall(tooLarge, pages);
    for (const [name, core] of this.#transpiled.cores) {
      const { bytes, memory } = await ingestCore(core, this.#making, pages * pageBytes);
      const module = await compileModule(bytes, this.#making);
      modules.set(name, module);
      if (memory !== undefined) withMemory.add(module);
    }
    return { modules, withMemory, appliedBytes: pages * pageBytes * this.#memoryPages.length };
  }

  #tooSmall(minPages: number, pages: number): ToolRuntimeError {
    const [needed, limit] = [minPages * pageBytes, pages * pageBytes];
    return new ToolRuntimeError(
      "ERR_LIMIT_MEMORY",
      `Cannot start the tool "${this.#making.tool}": a memory of its component begins with ${needed} bytes, its limit "memory" leaves it ${limit}`,
      { details: { limit: "memory", value: limit, observed: needed } },
    );
  }

  /** One instance for one call, whatever it was: a component that trapped is never entered again. */
  async #call(compiled: Compiled, state: RunState, memories: WebAssembly.Memory[]): Promise<Exit> {
    const { io, slices } = state;
    const frames = new JsFrames(slices);
    let exit: Exit;
    io.started();
    slices.start();
    try {
      const guest = this.#enter(compiled, state, { frames, memories });
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

  async #enter(compiled: Compiled, state: RunState, parts: Linking): Promise<Exit> {
    const linked = this.#instantiate(compiled, state, parts);
    const exports = linked instanceof Promise ? await linked : linked;
    return this.#shape.kind === "command" ? runCommand(exports[this.#shape.name]) : this.#runFunction(exports, state);
  }

  #instantiate(compiled: Compiled, state: RunState, { frames, memories }: Linking): ReturnType<Instantiate> {
    const left = new Set(compiled.withMemory);
    const getCoreModule = (name: string): WebAssembly.Module => {
      const module = compiled.modules.get(name);
      if (module === undefined) throw new TypeError(`the component has no core module ${name}`);
      return module;
    };
    const instantiateCore = (module: WebAssembly.Module, imports: WebAssembly.Imports = {}): WebAssembly.Instance => {
      // The limit is divided by the memories that the modules declare: a second instance of one would add to it.
      if (compiled.withMemory.has(module) && !left.delete(module))
        throw new TypeError("the component instantiates a module with a memory twice");
      const instance = frames.instantiate(module, { ...imports, [hostNamespace]: frames.imports });
      state.slices.meter.bind(instance);
      if (compiled.withMemory.has(module)) memories.push(...memoriesOf(instance));
      return frames.guarded(instance);
    };
    const stdout = this.#shape.kind === "command" ? "stdout" : "stderr";
    return this.#transpiled.instantiate(getCoreModule, makeImports(state, { program: this.#making.tool, stdout }), instantiateCore);
  }

  async #runFunction(exports: Record<string, unknown>, { io, slices }: RunState): Promise<Exit> {
    const entry = exports[camelCase(this.#shape.name)];
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
    const message = `Cannot take the output of the tool "${this.#making.tool}": its function is not of type func(input: string) -> result<string, string>`;
    return new ToolRuntimeError("ERR_ARTIFACT_INVALID", message, { started: true, details: { tool: this.#making.tool } });
  }
}

/** Core modules import from each other, as the component says; what they get from outside is checked where it imports. */
function ingestCore(core: Uint8Array, making: Making, memoryBytes: number): Promise<MeteredModule> {
  return ingestModule(core, making, { allows: () => true, memory: memoryBytes });
}

const endedByHost: Exit = { kind: "trapped", trap: "ended by the host" };

function memoriesOf({ exports }: WebAssembly.Instance): WebAssembly.Memory[] {
  return Object.values(exports).filter((value) => value instanceof WebAssembly.Memory);
}

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
