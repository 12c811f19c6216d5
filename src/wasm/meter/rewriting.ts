import { BoundError, encodeBounds, encodeName, encodeU32, sectionIds, writeModule } from "../binary.ts";
import type { ValueType } from "../types.ts";
import { AddedFunctions } from "./added.ts";
import { assertAtMost } from "./bounds.ts";
import { frameBytes, stackBytes } from "./determinism.ts";
import { Emitter, type Body } from "./emit.ts";
import type { Frame } from "./frame-code.ts";
import { greatestHeight } from "./height.ts";
import { i32, noValues } from "./helpers.ts";
import type { MeterOptions } from "./module.ts";
import { checkpointName, depthName, fuelName, hostNamespace, memoryName, startName, waitName } from "./names.ts";
import { moveNames } from "./name-section.ts";
import { sectionOrder, type Original } from "./original.ts";
import { place, type Placement } from "./place.ts";
import { Scan } from "./scan.ts";
import { capTables, collectValues, copyElements, copyGlobals, type Moves } from "./sections.ts";
import { Writer } from "./writer.ts";

const pageBytes = 65_536;
/** One page less than 4 GiB, so that no range that lies in a memory ends at the end of the address space. */
const maxPages = 65_535;
/** A module of real code becomes a third longer, in deterministic mode twice as long. */
const maxGrowth = 4;
const maxAddedBytes = 2 ** 20;
/** For a call of an imported function as a value: what a direct call charges. */
const hostEntryCost = 64;

/**
 * One module's way from the original to the metered one.
 *
 * Functions: imports, the host's, the module's own, the added ones; so each of its own moves up by one or two. Globals and types
 * are added behind its own, and keep their indices.
 */
export class Rewriting {
  readonly #original: Original;
  readonly #options: MeterOptions;
  readonly #imported: number;
  /** The names of the functions of the host's that are added to the imports. */
  readonly #host: readonly string[];
  readonly #fuel: number;
  readonly #added: AddedFunctions;
  readonly #moves: Moves;
  readonly #contents: Map<number, Uint8Array>;
  /** By a function's type with several results: that of blocks with the same, which the format can only name by index. */
  readonly #blockTypes = new Map<number, { readonly block: readonly number[]; readonly added: readonly number[] }>();

  constructor(original: Original, options: MeterOptions) {
    this.#original = original;
    this.#options = options;
    this.#imported = original.imported.functionTypes.length;
    this.#host = options.wait === true ? [checkpointName, waitName] : [checkpointName];
    this.#fuel = original.imported.globals + original.read(sectionIds.global).u32();
    this.#added = new AddedFunctions({
      firstFunction: this.#imported + this.#host.length + original.functionTypes.length,
      checkpoint: this.#imported,
      wait: options.wait === true ? this.#imported + 1 : undefined,
      fuel: this.#fuel,
    });
    this.#contents = new Map(original.contents);
    this.#moves = {
      called: (index) => (index < this.#imported ? index : index + this.#host.length),
      // A call through a value cannot be seen to be one of the host's, so it is charged behind it.
      asValue: (index) => (index < this.#imported ? this.#entry(index, hostEntryCost) : this.#moves.called(index)),
    };
  }

  rewrite(): Uint8Array<ArrayBuffer> {
    const { scan, bodies } = this.#scan();
    const isAddressed = this.#findAddressed(scan);
    const placement = place(scan, bodies.map((body) => body.scan), this.#imported, isAddressed); // prettier-ignore
    this.#writeTables();
    this.#writeGlobals();
    this.#writeElements();
    const code = this.#emit(scan, placement, bodies);
    this.#writeExports(placement);
    this.#writeStart();
    // Only here is it known which functions were added.
    this.#writeCode(code);
    this.#writeTypes();
    this.#writeFunctions();
    this.#writeImports();
    this.#writeMemory();
    const sections = sectionOrder.flatMap((id) => {
      const content = this.#contents.get(id);
      return content === undefined ? [] : [{ id, content }];
    });
    const names = this.#options.names === "keep" ? this.#original.names() : undefined;
    if (names !== undefined) sections.push({ id: sectionIds.custom, content: moveNames(names, this.#moves.called) });
    return writeModule(sections);
  }

  get #isDeterministic(): boolean {
    return this.#options.deterministic === true;
  }

  #scan(): { readonly scan: Scan; readonly bodies: readonly Body[] } {
    const { bytes, bounds, signatures } = this.#original;
    const arityOf = (type: number): number => (signatures[type]?.parameters.length ?? 0) + (signatures[type]?.results.length ?? 0);
    const scan = new Scan(bytes, { importedFunctions: this.#imported, bounds, arityOf, isDeterministic: this.#isDeterministic });
    const bodies: Body[] = [];
    let hasVectors = this.#original.signatures.some(({ parameters, results }) =>
      [...parameters, ...results].some(({ text }) => text === "v128"),
    );
    for (const code of this.#original.code()) {
      const scanned = scan.scan(code.codeAt, code.end, code.locals);
      hasVectors ||= code.hasVectors || scanned.hasVectors;
      bodies.push({ index: bodies.length, ...code, scan: scanned });
    }
    if (!this.#isDeterministic) return { scan, bodies };
    const slotBytes = hasVectors ? 32 : 16;
    return { scan, bodies: bodies.map((body) => ({ ...body, frame: this.#frameOf(body, slotBytes) })) };
  }

  #frameOf({ index: defined, codeAt, end, locals }: Body, slotBytes: 16 | 32): Frame {
    const { bytes, signatures } = this.#original;
    const { parameters, results } = this.#original.signatureOf(this.#imported + defined);
    const resultBlock = this.#resultBlock(this.#original.typeOf(this.#imported + defined), results);
    const height = greatestHeight(bytes, codeAt, end, { signatures, signatureOf: (index) => this.#original.signatureOf(index) });
    return { bytes: frameBytes({ locals, height, passed: parameters.length + results.length }, slotBytes), resultBlock };
  }

  /** The type of a block that has the results of a function's type. */
  #resultBlock(type: number, results: readonly ValueType[]): readonly number[] {
    const [first] = results;
    if (first === undefined) return [noValues];
    if (results.length === 1) return [...first.bytes];
    const known = this.#blockTypes.get(type);
    if (known !== undefined) return known.block;
    const block = new Writer(8);
    block.s32(this.#original.signatures.length + this.#blockTypes.size);
    const added = [0, ...encodeU32(results.length), ...results.flatMap(({ bytes }) => [...bytes])];
    this.#blockTypes.set(type, { block: [...block.bytes()], added });
    return [...block.bytes()];
  }

  /** Functions that are called from where their callers' charges cannot be written: through values, and at the start. */
  #findAddressed(scan: Scan): (defined: number) => boolean {
    const original = this.#original;
    const scratch = new Writer();
    const values = collectValues([
      (moves) => void capTables(original.read(sectionIds.table), scratch, moves, original.bounds),
      (moves) => void copyGlobals(original.read(sectionIds.global), scratch, moves, [], original.bounds),
      (moves) => copyElements(original.read(sectionIds.element), scratch, moves, original.bounds),
    ]);
    return (defined) => {
      const index = defined + this.#imported;
      return values.has(index) || scan.referenced.has(index) || index === original.startIndex;
    };
  }

  #writeTables(): void {
    const { imported, bounds } = this.#original;
    const out = new Writer();
    const own = capTables(this.#original.read(sectionIds.table), out, this.#moves, bounds);
    this.#added.tableTypes = [...imported.tables, ...own];
    if (this.#original.has(sectionIds.table)) this.#contents.set(sectionIds.table, out.bytes());
  }

  #writeGlobals(): void {
    const own = [this.#options.initialFuel ?? 0, ...(this.#isDeterministic ? [stackBytes] : [])];
    const out = new Writer();
    copyGlobals(this.#original.read(sectionIds.global), out, this.#moves, own, this.#original.bounds);
    this.#contents.set(sectionIds.global, out.bytes());
  }

  #writeElements(): void {
    if (!this.#original.has(sectionIds.element)) return;
    const out = new Writer(this.#original.content(sectionIds.element).length * 2);
    copyElements(this.#original.read(sectionIds.element), out, this.#moves, this.#original.bounds);
    this.#contents.set(sectionIds.element, out.bytes());
  }

  #emit(scan: Scan, placement: Placement, bodies: readonly Body[]): Writer {
    const code = new Writer(Math.ceil(this.#original.content(sectionIds.code).length * 1.2) + 256);
    const body = new Writer(4096);
    const emitter = new Emitter(
      {
        bytes: this.#original.bytes,
        scan,
        placement,
        indices: this.#added.indices,
        moves: this.#moves,
        importedFunctions: this.#imported,
        growHelper: () => this.#added.grow(),
        bulkHelper: (op, immediates) => this.#added.bulk(op, immediates),
        depth: this.#fuel + 1,
      },
      body,
    );
    for (const one of bodies) {
      body.clear();
      emitter.write(one);
      code.u32(body.length);
      code.append(body.bytes());
      assertAtMost("bytes of metered code", code.length, maxGrowth * this.#original.bytes.length + maxAddedBytes);
    }
    return code;
  }

  /** The host is a caller that does not pay: what it calls charges itself. */
  #writeExports({ paidByCaller }: Placement): void {
    const { exports, startIndex } = this.#original;
    const out = new Writer();
    const exportsStart = startIndex !== undefined && this.#options.start === "export";
    out.u32(exports.length + 1 + (exportsStart ? 1 : 0) + (this.#isDeterministic ? 1 : 0));
    for (const { nameBytes, kind, index } of exports) {
      out.append(nameBytes);
      out.byte(kind);
      const paid = kind === 0 ? (paidByCaller[index - this.#imported] ?? 0) : 0;
      if (kind !== 0) out.u32(index);
      else out.u32(paid > 0 ? this.#entry(index, paid) : this.#moves.called(index));
    }
    out.put(...encodeName(fuelName), 3);
    out.u32(this.#fuel);
    if (this.#isDeterministic) {
      out.put(...encodeName(depthName), 3);
      out.u32(this.#fuel + 1);
    }
    if (exportsStart) {
      out.put(...encodeName(startName), 0);
      out.u32(this.#moves.called(startIndex));
    }
    this.#contents.set(sectionIds.export, out.bytes());
  }

  #entry(index: number, cost: number): number {
    return this.#added.entry(this.#moves.called(index), cost, this.#original.signatureOf(index), this.#original.typeOf(index));
  }

  #writeStart(): void {
    const { startIndex } = this.#original;
    if (startIndex === undefined) return;
    if (this.#options.start === "export") this.#contents.delete(sectionIds.start);
    else this.#contents.set(sectionIds.start, Uint8Array.from(encodeU32(this.#moves.called(startIndex))));
  }

  #writeCode(code: Writer): void {
    for (const { body } of this.#added.functions) {
      code.u32(body.length);
      code.append(body);
    }
    const out = new Writer(code.length + 8);
    out.u32(this.#original.functionTypes.length + this.#added.functions.length);
    out.append(code.bytes());
    this.#contents.set(sectionIds.code, out.bytes());
  }

  /** The types of added blocks, of added functions, and of the host's. */
  #writeTypes(): void {
    const types = this.#original.read(sectionIds.type);
    const added = [...[...this.#blockTypes.values()].map(({ added }) => added), ...this.#addedTypes, [0, 1, i32]];
    const out = new Writer();
    out.u32(types.u32() + added.length);
    out.append(types.rest());
    for (const type of added) out.put(0x60, ...type);
    this.#contents.set(sectionIds.type, out.bytes());
  }

  /** Those that the added functions do not share with the original's. */
  get #addedTypes(): (readonly number[])[] {
    return this.#added.functions.flatMap(({ type }) => (typeof type === "number" ? [] : [type]));
  }

  get #firstAddedType(): number {
    return this.#original.signatures.length + this.#blockTypes.size;
  }

  #writeFunctions(): void {
    const own = this.#original.read(sectionIds.function);
    const { functions } = this.#added;
    const out = new Writer();
    out.u32(own.u32() + functions.length);
    out.append(own.rest());
    let next = this.#firstAddedType;
    for (const { type } of functions) out.u32(typeof type === "number" ? type : next++);
    this.#contents.set(sectionIds.function, out.bytes());
  }

  #writeImports(): void {
    const own = this.#original.read(sectionIds.import);
    const memory = this.#options.memory === "import" ? this.#original.memory : undefined;
    const out = new Writer();
    out.u32(own.u32() + this.#host.length + (memory === undefined ? 0 : 1));
    out.append(own.rest());
    for (const name of this.#host) {
      out.put(...encodeName(hostNamespace), ...encodeName(name), 0);
      out.u32(this.#firstAddedType + this.#addedTypes.length);
    }
    if (memory !== undefined) out.put(...encodeName(hostNamespace), ...encodeName(memoryName), 2, ...encodeBounds(memory));
    this.#contents.set(sectionIds.import, out.bytes());
  }

  #writeMemory(): void {
    const { memory: place = "keep" } = this.#options;
    const { memory } = this.#original;
    if (memory === undefined) return;
    if (place === "import") {
      this.#contents.delete(sectionIds.memory);
      return;
    }
    const cap = place === "keep" ? maxPages : Math.min(Math.floor(place / pageBytes), maxPages);
    if (memory.min > cap) throw new BoundError(`begins with ${memory.min * pageBytes} bytes of memory, the limit is ${cap * pageBytes}`);
    this.#contents.set(
      sectionIds.memory,
      Uint8Array.from([1, ...encodeBounds({ min: memory.min, max: Math.min(memory.max ?? cap, cap) })]),
    );
  }
}
