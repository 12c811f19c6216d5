import { BinaryError, BoundError, encodeBounds, encodeName, encodeU32, layerOf, readBounds, Reader, readSections, sectionIds, writeModule, type Bounds } from "../binary.ts";
import { checkTag, readSignatures, type FunctionType, type Signature } from "../types.ts";
import { defaultBounds, type ModuleBounds } from "./bounds.ts";
import { AddedFunctions } from "./added.ts";
import { Emitter, type Body } from "./emit.ts";
import { i32, noValues } from "./helpers.ts";
import { frameBytes, stackBytes } from "./determinism.ts";
import { greatestHeight } from "./height.ts";
import { checkpointName, depthName, fuelName, hostNamespace, memoryName, startName } from "./names.ts";
import { place } from "./place.ts";
import { Scan } from "./scan.ts";
import { assertAtMost, capTables, collectValues, copyElements, copyGlobals, readExports, readImports, readTag, type Export, type Import, type Imported, type Moves } from "./sections.ts";
import { Writer } from "./writer.ts";

export type { Import, ImportKind } from "./sections.ts";

const pageBytes = 65_536;
/** One page less than 4 GiB, so that no range that lies in a memory ends at the end of the address space. */
const maxPages = 65_535;

export interface MeterOptions {
  /**
   * `"keep"`: as the module has it. `"import"`: the module's own memory becomes an import, so that the host chooses its
   * cap for each run and can use it again. A number: its maximum, in bytes, is written into the module. Default `"keep"`.
   */
  readonly memory?: "keep" | "import" | number;
  /** `"export"`: the start function does not run at instantiation, where nothing can suspend it. Default `"keep"`. */
  readonly start?: "keep" | "export";
  /** Whether the names that debuggers show are kept. All other custom sections are dropped. Default `"drop"`. */
  readonly names?: "keep" | "drop";
  /** Canonical NaNs, counted stack depth, no relaxed SIMD: the same results and fuel on every engine. Default `false`. */
  readonly deterministic?: boolean;
  /** What the guest has before its first checkpoint, in units. Default 0. */
  readonly initialFuel?: number;
  readonly bounds?: Partial<ModuleBounds>;
}

export interface MeteredModule {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** What the original imports. */
  readonly imports: readonly Import[];
  /** The functions that the original exports, by name. */
  readonly functions: ReadonlyMap<string, FunctionType>;
  /** Whether there is a {@link startName} to be called first. */
  readonly hasStart: boolean;
  /** The module's own memory, in pages; absent where it has none. */
  readonly memory?: Bounds;
}

/**
 * Rewrites a module so that it cannot run, or grow, without end: see the entry's README for what is charged where.
 *
 * The original is validated first: otherwise it could name, out of range, what is added to it here.
 *
 * @throws BinaryError for what is malformed or refused by policy, BoundError for what is over a bound; the message names it.
 */
export function meterModule(bytes: Uint8Array, options: MeterOptions = {}): MeteredModule {
  const original = ownBytes(bytes);
  if (layerOf(original) !== "module") throw new BinaryError("does not begin as a WebAssembly module");
  if (!WebAssembly.validate(original)) throw new BinaryError("is malformed, or uses what this engine does not know");
  const metered = new Rewriting(original, options).rewrite();
  if (!WebAssembly.validate(metered.bytes)) throw new BinaryError("uses a part of the format that cannot be metered");
  return metered;
}

/** The engine's APIs take no view on shared memory. */
function ownBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer ? new Uint8Array(buffer, bytes.byteOffset, bytes.byteLength) : Uint8Array.from(bytes);
}

/** A section that is not there reads as one without entries. */
const noEntries = Uint8Array.of(0);

/** The order that the specification wants (§5.5.16). */
const sectionOrder: readonly number[] = [1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11];

class Rewriting {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #options: MeterOptions;
  readonly #bounds: ModuleBounds;
  readonly #contents: Map<number, Uint8Array>;
  readonly #signatures: readonly Signature[];
  readonly #imported: Imported;
  readonly #functionTypes: readonly number[];
  readonly #exports: readonly Export[];
  readonly #memory: Bounds | undefined;

  constructor(bytes: Uint8Array<ArrayBuffer>, options: MeterOptions) {
    this.#bytes = bytes;
    this.#options = options;
    this.#bounds = { ...defaultBounds, ...options.bounds };
    const sections = readSections(bytes).filter(({ id }) => id !== sectionIds.custom);
    for (const { id } of sections) if (!sectionOrder.includes(id)) throw new BinaryError(`has a section of the unknown kind ${id}`);
    this.#contents = new Map(sections.map(({ id, start, end }) => [id, bytes.subarray(start, end)]));
    this.#assertCounts();
    this.#signatures = readSignatures(this.#read(sectionIds.type));
    this.#imported = readImports(this.#read(sectionIds.import), this.#signatures, this.#bounds);
    const functions = this.#read(sectionIds.function);
    this.#functionTypes = Array.from({ length: functions.u32() }, () => functions.u32());
    this.#exports = readExports(this.#read(sectionIds.export), this.#bounds);
    this.#checkTags(this.#read(sectionIds.tag));
    this.#memory = this.#readMemory(this.#read(sectionIds.memory));
  }

  #read(id: number): Reader {
    return new Reader(this.#contents.get(id) ?? noEntries);
  }

  #assertCounts(): void {
    assertAtMost("types", this.#read(sectionIds.type).u32(), this.#bounds.types);
    assertAtMost("functions", this.#read(sectionIds.function).u32(), this.#bounds.functions);
    assertAtMost("tags", this.#read(sectionIds.tag).u32(), this.#bounds.types);
    assertAtMost("data segments", this.#read(sectionIds.data).u32(), this.#bounds.segments);
  }

  #checkTags(reader: Reader): void {
    for (let left = reader.u32(); left > 0; left--) checkTag(this.#signatures[readTag(reader)]);
  }

  #readMemory(reader: Reader): Bounds | undefined {
    const count = reader.u32();
    if (count + this.#imported.memories > 1) throw new BinaryError("has several memories");
    return count === 0 ? undefined : readBounds(reader, "memory");
  }

  rewrite(): MeteredModule {
    const imported = this.#imported.functionTypes.length;
    const bodies = this.#scanBodies(imported);
    const values = this.#values(bodies.scan);
    const start = this.#contents.get(sectionIds.start);
    const startIndex = start === undefined ? undefined : new Reader(start).u32();
    const functions = bodies.list.map(({ scan }) => scan);
    const placement = place(bodies.scan, functions, imported, (index) => values.has(index + imported) || index + imported === startIndex);

    const defined = this.#functionTypes.length;
    const importedGlobals = this.#imported.globals;
    const ownGlobals = this.#read(sectionIds.global).u32();
    const fuel = importedGlobals + ownGlobals;
    const added = new AddedFunctions({
      firstFunction: imported + 1 + defined,
      checkpoint: imported,
      fuel,
    });
    const called = (index: number): number => (index < imported ? index : index + 1);
    const asValue = (index: number): number => {
      if (index < imported) return added.entry(called(index), hostEntryCost, this.#signatureOf(index));
      return called(index);
    };
    const moves: Moves = { called, asValue };

    const contents = new Map<number, Uint8Array>(this.#contents);
    const table = new Writer();
    const definedTables = capTables(this.#read(sectionIds.table), table, moves, this.#bounds);
    if (contents.has(sectionIds.table)) contents.set(sectionIds.table, table.bytes());
    added.tableTypes = [...this.#imported.tables, ...definedTables];

    const globals = new Writer();
    const ownValues = [this.#options.initialFuel ?? 0, ...(this.#isDeterministic ? [stackBytes] : [])];
    copyGlobals(this.#read(sectionIds.global), globals, moves, ownValues, this.#bounds);
    contents.set(sectionIds.global, globals.bytes());
    if (contents.has(sectionIds.element)) {
      const elements = new Writer(contents.get(sectionIds.element)?.length);
      copyElements(this.#read(sectionIds.element), elements, moves, this.#bounds);
      contents.set(sectionIds.element, elements.bytes());
    }

    const code = new Writer(Math.ceil((contents.get(sectionIds.code)?.length ?? 0) * 1.3) + 256);
    const body = new Writer(4096);
    const emitter = new Emitter(
      {
        bytes: this.#bytes,
        scan: bodies.scan,
        placement,
        indices: added.indices,
        moved: called,
        asValue,
        growHelper: () => added.grow(),
        bulkHelper: (op, immediates) => added.bulk(op, immediates),
        depth: fuel + 1,
      },
      body,
    );
    const emitted = new Writer(Math.ceil((contents.get(sectionIds.code)?.length ?? 0) * 1.3) + 256);
    for (const one of bodies.list) {
      body.clear();
      emitter.write(one);
      emitted.u32(body.length);
      emitted.append(body.bytes());
    }
    const exported = this.#writeExports(contents, called, placement.paidByCaller, added, imported, startIndex);
    for (const { body: more } of added.functions) {
      emitted.u32(more.length);
      emitted.append(more);
    }
    code.u32(defined + added.functions.length);
    code.append(emitted.bytes());
    contents.set(sectionIds.code, code.bytes());
    contents.set(sectionIds.export, exported);
    this.#writeTypesAndFunctions(contents, added);
    this.#placeMemory(contents);
    const bytes = writeModule(sectionOrder.flatMap((id) => toSection(id, contents.get(id))));
    const functionsByName = new Map<string, FunctionType>();
    for (const { name, kind, index } of this.#exports) if (kind === 0) functionsByName.set(name, this.#signatureOf(index).text);
    return {
      bytes,
      imports: this.#imported.imports,
      functions: functionsByName,
      hasStart: startIndex !== undefined && this.#options.start === "export",
      ...(this.#memory === undefined ? {} : { memory: this.#memory }),
    };
  }

  #signatureOf(index: number): Signature {
    const imported = this.#imported.functionTypes;
    const type = index < imported.length ? imported[index] : this.#functionTypes[index - imported.length];
    const signature = this.#signatures[type ?? -1];
    if (signature === undefined) throw new BinaryError(`has a function ${index} without a type`);
    return signature;
  }

  #values(scan: Scan): Set<number> {
    const scratch = new Writer();
    const values = collectValues([
      (moves) => void capTables(this.#read(sectionIds.table), scratch, moves, this.#bounds),
      (moves) => void copyGlobals(this.#read(sectionIds.global), scratch, moves, [], this.#bounds),
      (moves) => copyElements(this.#read(sectionIds.element), scratch, moves, this.#bounds),
    ]);
    for (const index of scan.referenced) values.add(index);
    return values;
  }

  #scanBodies(imported: number): { readonly scan: Scan; readonly list: readonly Body[] } {
    const content = this.#contents.get(sectionIds.code) ?? noEntries;
    const reader = new Reader(this.#bytes, content.byteOffset - this.#bytes.byteOffset, content.byteOffset - this.#bytes.byteOffset + content.length);
    const scan = new Scan(this.#bytes, { importedFunctions: imported, bounds: this.#bounds, isDeterministic: this.#isDeterministic });
    if (content === noEntries) return { scan, list: [] };
    const list: Body[] = [];
    const count = reader.u32();
    for (let index = 0; index < count; index++) {
      const size = reader.u32();
      const end = reader.offset + size;
      if (size > this.#bounds.bodyBytes) throw new BoundError(`has a function of ${size} bytes, the most is ${this.#bounds.bodyBytes}`);
      const signature = this.#signatureOf(imported + index);
      const localGroups = reader.u32();
      const localsAt = reader.offset;
      let locals = signature.parameters.length;
      for (let left = localGroups; left > 0; left--) {
        locals += reader.u32();
        skipValueType(reader);
      }
      if (locals > this.#bounds.locals) throw new BoundError(`has a function of ${locals} locals, the most is ${this.#bounds.locals}`);
      const codeAt = reader.offset;
      list.push({
        index,
        localsAt,
        codeAt,
        end,
        localGroups,
        locals,
        scan: scan.scan(codeAt, end, locals),
        ...(this.#isDeterministic ? { frame: this.#frameOf(signature, codeAt, end, locals) } : {}),
      });
      reader.offset = end;
    }
    return { scan, list };
  }

  get #isDeterministic(): boolean {
    return this.#options.deterministic === true;
  }

  /** Types for blocks with several results, which the format can only name by index; after the original's own. */
  readonly #blockTypes = new Map<string, readonly number[]>();

  #frameOf(signature: Signature, codeAt: number, end: number, locals: number): { bytes: number; resultBlock: readonly number[] } {
    const types = { signatures: this.#signatures, signatureOf: (index: number) => this.#signatureOf(index) };
    const bytes = frameBytes(locals, greatestHeight(this.#bytes, codeAt, end, types));
    const [first, ...more] = signature.results;
    if (first === undefined) return { bytes, resultBlock: [noValues] };
    if (more.length === 0) return { bytes, resultBlock: [...first.bytes] };
    const type = [0, ...encodeU32(signature.results.length), ...signature.results.flatMap((result) => [...result.bytes])];
    const key = type.join();
    if (!this.#blockTypes.has(key)) this.#blockTypes.set(key, type);
    const index = new Writer(8);
    index.s32(this.#signatures.length + [...this.#blockTypes.keys()].indexOf(key));
    return { bytes, resultBlock: [...index.bytes()] };
  }

  #writeExports(
    contents: Map<number, Uint8Array>,
    called: (index: number) => number,
    paid: readonly number[],
    added: AddedFunctions,
    imported: number,
    startIndex: number | undefined,
  ): Uint8Array {
    const out = new Writer();
    const exportsStart = startIndex !== undefined && this.#options.start === "export";
    out.u32(this.#exports.length + 1 + (exportsStart ? 1 : 0) + (this.#isDeterministic ? 1 : 0));
    for (const { nameBytes, kind, index } of this.#exports) {
      out.append(nameBytes);
      out.byte(kind);
      const cost = kind === 0 && index >= imported ? (paid[index - imported] ?? 0) : 0;
      if (kind !== 0) out.u32(index);
      else out.u32(cost > 0 ? added.entry(called(index), cost, this.#signatureOf(index)) : called(index));
    }
    out.put(...encodeName(fuelName), 3);
    out.u32(added.indices.fuel);
    if (this.#isDeterministic) {
      out.put(...encodeName(depthName), 3);
      out.u32(added.indices.fuel + 1);
    }
    if (exportsStart) {
      out.put(...encodeName(startName), 0);
      out.u32(called(startIndex));
      contents.delete(sectionIds.start);
    } else if (startIndex !== undefined) {
      contents.set(sectionIds.start, Uint8Array.from(encodeU32(called(startIndex))));
    }
    return out.bytes();
  }

  #writeTypesAndFunctions(contents: Map<number, Uint8Array>, added: AddedFunctions): void {
    const types = this.#read(sectionIds.type);
    const groups = types.u32();
    const type = new Writer();
    const { functions } = added;
    // The checkpoint's own type comes last.
    const bare = [...this.#blockTypes.values(), ...functions.map((one) => one.type), [0, 1, i32]];
    type.u32(groups + bare.length);
    type.append(types.rest());
    for (const one of bare) type.put(0x60, ...one);
    contents.set(sectionIds.type, type.bytes());

    const firstAdded = this.#signatures.length + this.#blockTypes.size;
    const own = this.#read(sectionIds.function);
    const count = own.u32();
    const section = new Writer();
    section.u32(count + functions.length);
    section.append(own.rest());
    for (const index of functions.keys()) section.u32(firstAdded + index);
    contents.set(sectionIds.function, section.bytes());

    const imports = this.#read(sectionIds.import);
    const importCount = imports.u32();
    const imported = new Writer();
    const takesMemory = this.#options.memory === "import" && this.#memory !== undefined;
    imported.u32(importCount + (takesMemory ? 2 : 1));
    imported.append(imports.rest());
    imported.put(...encodeName(hostNamespace), ...encodeName(checkpointName), 0);
    imported.u32(firstAdded + functions.length);
    if (takesMemory && this.#memory !== undefined) {
      const { min, max } = this.#memory;
      const bounds = max === undefined ? { min } : { min, max };
      imported.put(...encodeName(hostNamespace), ...encodeName(memoryName), 2, ...encodeBounds(bounds));
    }
    contents.set(sectionIds.import, imported.bytes());
  }

  #placeMemory(contents: Map<number, Uint8Array>): void {
    const { memory = "keep" } = this.#options;
    if (this.#memory === undefined) return;
    const { min, max } = this.#memory;
    if (memory === "import") {
      contents.delete(sectionIds.memory);
      return;
    }
    const cap = memory === "keep" ? maxPages : Math.min(Math.floor(memory / pageBytes), maxPages);
    if (min > cap) throw new BoundError(`begins with ${min * pageBytes} bytes of memory, the limit is ${cap * pageBytes}`);
    contents.set(sectionIds.memory, Uint8Array.from([1, ...encodeBounds({ min, max: Math.min(max ?? cap, cap) })]));
  }
}

/** For a call of an imported function as a value: what a direct call charges, and its own instruction. */
const hostEntryCost = 64;

function skipValueType(reader: Reader): void {
  const code = reader.byte();
  if (code === 0x63 || code === 0x64) while (reader.byte() > 127);
}

function toSection(id: number, content: Uint8Array | undefined): { id: number; content: Uint8Array }[] {
  return content === undefined ? [] : [{ id, content }];
}
