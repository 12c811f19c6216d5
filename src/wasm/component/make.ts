import { ToolRuntimeError } from "../../errors.ts";
import { BinaryError, type Bounds } from "../binary.ts";
import { ingestModule, type Making } from "../ingest.ts";
import type { MadeParts } from "../made.ts";
import { readComponent, type ComponentBinary } from "./binary.ts";
import { grantedInterfaces, waitingImports } from "./host/imports.ts";
import type { ComponentTranspiler } from "./transpiler.ts";

const commandExport = /^wasi:cli\/run@0\.2\.\d+$/;
const wasiImport = /^(wasi:[a-z-]+\/[a-z-]+)@0\.2\.\d+$/;

export interface ComponentOptions {
  /** The exported function, of type `func(input: string) -> result<string, string>`. */
  readonly entry: string;
  readonly transpiler: ComponentTranspiler | undefined;
}

/** How a component is called: as a command, by stdin and stdout, or by a function of text. */
interface Shape {
  readonly kind: "command" | "function";
  readonly name: string;
}

/**
 * Makes a WASI 0.2 component: a `wasi:cli/run` command, or one that exports `run: func(input: string) -> result<string, string>`.
 *
 * @throws `ERR_ARTIFACT_INVALID`, `ERR_IMPORT_DENIED`, `ERR_LIMIT_COMPILE`, `ERR_BACKEND_UNAVAILABLE` where nothing transpiles components.
 */
export async function makeComponent(bytes: Uint8Array, making: Making, options: ComponentOptions): Promise<MadeParts> {
  const { tool } = making;
  const { transpiler, entry } = options;
  const component = read(bytes, tool);
  for (const { name, kind } of component.imports) assertGranted(name, kind, tool);
  const shape = shapeOf(component, tool, entry);
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
  const modules: Record<string, Uint8Array<ArrayBuffer>> = {};
  const memories: Record<string, Bounds> = {};
  for (const [name, core] of transpiled.cores) {
    // Core modules import from each other, as the component says; what they get from outside is checked where it imports.
    const { bytes: metered, memory } = await ingestModule(core, making, { allows: () => true, memory: "import" });
    modules[name] = metered;
    if (memory !== undefined) memories[name] = memory;
  }
  for (const [name, helper] of transpiled.helpers) modules[name] = Uint8Array.from(helper);
  return { facts: { entry, kind: shape.kind, name: shape.name, memories }, modules, script: transpiled.script };
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

function shapeOf(component: ComponentBinary, tool: string, entry: string): Shape {
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
