import { ToolRuntimeError } from "../errors.ts";
import {
  BinaryError,
  concat,
  encodeBounds,
  encodeName,
  encodeU32,
  layerOf,
  readBounds,
  Reader,
  readSections,
  sectionIds,
  writeModule,
  type Bounds,
} from "./binary.ts";
import { checkTags, readFunctions, readTypes, type FunctionType } from "./types.ts";

export const pageBytes = 65_536;
/** The namespace and name of the memory that the host hands in. A module that imports or exports anything there is refused. */
export const hostNamespace = "toolruntime:host";
/** Under this name a module's start function is exported; see {@link IngestOptions.start}. */
export const startName = "toolruntime:start";
/** V8 aborts the whole process when a table of `externref` grows without end, so each table has a cap. */
export const maxTableElements = 100_000;
const maxTables = 16;
const maxExports = 10_000;
const maxImports = 10_000;
const maxGlobals = 10_000;

export interface IngestOptions {
  /** For messages. */
  readonly tool: string;
  /** Whether the module may import this; what nobody granted is refused by name. */
  readonly allows: (namespace: string, name: string, kind: ImportKind) => boolean;
  /**
   * `"import"`: the module's own memory becomes an import, so that the host chooses its cap for each run and can use it
   * again. A number: its maximum, in bytes, is written into the module.
   */
  readonly memory: "import" | number;
  /**
   * `"export"`: the start function does not run at instantiation, where nothing can suspend it, but is exported under
   * {@link startName}, for the host to call first. Default `"keep"`.
   */
  readonly start?: "keep" | "export";
}

export type ImportKind = "function" | "table" | "memory" | "global" | "tag";
const importKinds: readonly ImportKind[] = ["function", "table", "memory", "global", "tag"];

export interface Import {
  readonly namespace: string;
  readonly name: string;
  readonly kind: ImportKind;
  /** Of a function. */
  readonly type?: FunctionType;
}

export interface IngestedModule {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly imports: readonly Import[];
  /** The functions that the original exports, by name. */
  readonly functions: ReadonlyMap<string, FunctionType>;
  /** Whether there is a {@link startName} to be called first. */
  readonly hasStart: boolean;
  /** The module's own memory, in pages; absent where it has none. */
  readonly memory?: Bounds;
}

function invalid(tool: string, why: string, cause?: unknown): ToolRuntimeError {
  return new ToolRuntimeError("ERR_ARTIFACT_INVALID", `Cannot take the WebAssembly module of the tool "${tool}": it ${why}`, {
    details: { tool },
    cause,
  });
}

/**
 * Makes a module safe to instantiate: validates the original, refuses imports that nobody granted and what cannot be
 * bounded (shared, 64-bit and several memories), caps memory and tables, drops custom sections, validates the outcome.
 *
 * The original is validated first: otherwise it could name, out of range, what is added to it here.
 *
 * @throws `ERR_ARTIFACT_INVALID`, `ERR_IMPORT_DENIED`.
 */
export function ingestModule(bytes: Uint8Array, options: IngestOptions): IngestedModule {
  const { tool } = options;
  const original = ownBytes(bytes);
  if (layerOf(original) !== "module") throw invalid(tool, "does not begin as one");
  if (!WebAssembly.validate(original)) throw invalid(tool, "is malformed, or uses what this engine does not know");
  try {
    return rewrite(original, options);
  } catch (error) {
    throw error instanceof BinaryError ? invalid(tool, error.message, error) : error;
  }
}

function rewrite(original: Uint8Array<ArrayBuffer>, options: IngestOptions): IngestedModule {
  const sections = readSections(original).filter(({ id }) => id !== sectionIds.custom);
  const contents = new Map<number, Uint8Array>(sections.map(({ id, start, end }) => [id, original.subarray(start, end)]));
  const read = (id: number): Reader => new Reader(contents.get(id) ?? noEntries);
  const types = readTypes(read(sectionIds.type));
  const imports = readImports(read(sectionIds.import), types);
  for (const one of imports) assertAllowed(one, options);
  const defined = readFunctions(read(sectionIds.function), types);
  const functions = readExports(read(sectionIds.export), [...imports.map(({ type }) => type ?? ""), ...defined]);
  checkTags(read(sectionIds.tag), types);
  assertAtMost("globals", read(sectionIds.global).u32(), maxGlobals);
  const memory = readMemory(read(sectionIds.memory));
  if (memory !== undefined) placeMemory(contents, memory, imports.length, options.memory);
  if (contents.has(sectionIds.table)) contents.set(sectionIds.table, capTables(read(sectionIds.table)));
  const hasStart = options.start === "export" && exportStart(contents);
  const rewritten = writeModule(sectionOrder.flatMap((id) => toSection(id, contents.get(id))));
  if (!WebAssembly.validate(rewritten)) throw invalid(options.tool, "uses a part of the format that cannot be capped");
  return { bytes: rewritten, imports, functions, hasStart, ...(memory === undefined ? {} : { memory }) };
}

/** A section that is not there reads as one without entries. */
const noEntries = Uint8Array.of(0);

function assertAtMost(what: string, count: number, most: number): void {
  if (count > most) throw new BinaryError(`has ${count} ${what}, the most is ${most}`);
}

/** The order that the specification wants (§5.5.16). */
const sectionOrder: readonly number[] = [1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11];

function toSection(id: number, content: Uint8Array | undefined): { id: number; content: Uint8Array }[] {
  return content === undefined ? [] : [{ id, content }];
}

/** The engine's APIs take no view on shared memory. */
function ownBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer ? new Uint8Array(buffer, bytes.byteOffset, bytes.byteLength) : Uint8Array.from(bytes);
}

function assertAllowed({ namespace, name, kind }: Import, { tool, allows }: IngestOptions): void {
  if (namespace !== hostNamespace && allows(namespace, name, kind)) return;
  throw new ToolRuntimeError(
    "ERR_IMPORT_DENIED",
    `Cannot take the WebAssembly module of the tool "${tool}": it imports the ${kind} ${JSON.stringify(name)} from ${JSON.stringify(namespace)}, which nothing grants it`,
    {
      details: { tool, namespace, name, kind },
    },
  );
}

function readImports(reader: Reader, types: readonly FunctionType[]): Import[] {
  const imports: Import[] = [];
  const count = reader.u32();
  assertAtMost("imports", count, maxImports);
  for (let left = count; left > 0; left--) {
    const namespace = reader.name();
    const name = reader.name();
    const kind = importKinds[reader.byte()];
    // Only functions can be granted; the description of any other kind need not be understood, since it is refused.
    if (kind !== "function") return [...imports, { namespace, name, kind: kind ?? "tag" }];
    imports.push({ namespace, name, kind, type: types[reader.u32()] ?? "" });
  }
  return imports;
}

function readExports(reader: Reader, types: readonly FunctionType[]): Map<string, FunctionType> {
  const functions = new Map<string, FunctionType>();
  const count = reader.u32();
  assertAtMost("exports", count, maxExports);
  for (let left = count; left > 0; left--) {
    const name = reader.name();
    if (name === startName) throw new BinaryError(`exports ${JSON.stringify(startName)}, a name that belongs to the host`);
    const kind = reader.byte();
    const index = reader.u32();
    if (importKinds[kind] === "function") functions.set(name, types[index] ?? "");
  }
  return functions;
}

/** Turns the start section into an export. Whether there was one. */
function exportStart(contents: Map<number, Uint8Array>): boolean {
  const start = contents.get(sectionIds.start);
  if (start === undefined) return false;
  const reader = new Reader(contents.get(sectionIds.export) ?? noEntries);
  const count = reader.u32();
  const added = Uint8Array.from([...encodeName(startName), importKinds.indexOf("function")]);
  contents.set(sectionIds.export, concat([Uint8Array.from(encodeU32(count + 1)), reader.rest(), added, start]));
  contents.delete(sectionIds.start);
  return true;
}

function readMemory(reader: Reader): Bounds | undefined {
  const count = reader.u32();
  if (count > 1) throw new BinaryError("has several memories");
  return count === 0 ? undefined : readBounds(reader, "memory");
}

function placeMemory(contents: Map<number, Uint8Array>, memory: Bounds, importCount: number, place: "import" | number): void {
  if (place !== "import") {
    const cap = Math.floor(place / pageBytes);
    if (memory.min > cap) throw new BinaryError(`begins with ${memory.min * pageBytes} bytes of memory, the limit is ${cap * pageBytes}`);
    contents.set(sectionIds.memory, Uint8Array.from([1, ...encodeBounds({ min: memory.min, max: Math.min(memory.max ?? cap, cap) })]));
    return;
  }
  const reader = new Reader(contents.get(sectionIds.import) ?? noEntries);
  reader.u32();
  const added = [...encodeName(hostNamespace), ...encodeName("memory"), 2, ...encodeBounds(memory)];
  contents.set(sectionIds.import, concat([Uint8Array.from(encodeU32(importCount + 1)), reader.rest(), Uint8Array.from(added)]));
  contents.delete(sectionIds.memory);
}

/** Gives each table a maximum. Elements are references; the smallest heap type is one byte. */
function capTables(reader: Reader): Uint8Array {
  const count = reader.u32();
  assertAtMost("tables", count, maxTables);
  const parts: Uint8Array[] = [Uint8Array.from(encodeU32(count))];
  for (let left = count; left > 0; left--) {
    const type = reader.byte();
    if (type !== 0x70 && type !== 0x6f) throw new BinaryError("has a table that is neither of funcref nor of externref");
    const { min, max } = readBounds(reader, "table");
    if (min > maxTableElements) throw new BinaryError(`has a table of ${min} elements, the most is ${maxTableElements}`);
    parts.push(Uint8Array.from([type, ...encodeBounds({ min, max: Math.min(max ?? maxTableElements, maxTableElements) })]));
  }
  return concat(parts);
}
