import { BinaryError, readBounds, Reader, readSections, sectionIds, type Bounds } from "../binary.ts";
import { checkTag, readSignatures, type Signature } from "../types.ts";
import { assertAtMost, type ModuleBounds } from "./bounds.ts";
import { readExports, readImports, readTag, type Export, type Imported } from "./sections.ts";

/** The order that the specification wants (§5.5.16). */
export const sectionOrder: readonly number[] = [1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11];

/** A section that is not there reads as one without entries. */
const noEntries = Uint8Array.of(0);

/** Where one function of the code section is. */
export interface CodePlace {
  /** Where the declarations of locals begin, after their count; where the instructions begin and end. */
  readonly localsAt: number;
  readonly codeAt: number;
  readonly end: number;
  readonly localGroups: number;
  /** Parameters and declared locals. */
  readonly locals: number;
  /** Whether a local is a vector. */
  readonly hasVectors: boolean;
}

/** A valid module, read as far as its sections, with what policy refuses refused. */
export class Original {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly bounds: ModuleBounds;
  readonly signatures: readonly Signature[];
  readonly imported: Imported;
  /** The types of the functions that it defines. */
  readonly functionTypes: readonly number[];
  readonly exports: readonly Export[];
  /** Its own memory. */
  readonly memory: Bounds | undefined;
  readonly startIndex: number | undefined;
  readonly #contents: ReadonlyMap<number, Uint8Array>;

  constructor(bytes: Uint8Array<ArrayBuffer>, bounds: ModuleBounds) {
    this.bytes = bytes;
    this.bounds = bounds;
    const contents = new Map<number, Uint8Array>();
    let customSections = 0;
    for (const { id, start, end } of readSections(bytes)) {
      if (id === sectionIds.custom) {
        assertAtMost("custom sections", ++customSections, bounds.customSections);
        continue;
      }
      if (!sectionOrder.includes(id)) throw new BinaryError(`has a section of the unknown kind ${id}`);
      contents.set(id, bytes.subarray(start, end));
    }
    this.#contents = contents;
    this.#assertCounts();
    this.signatures = readSignatures(this.read(sectionIds.type), bounds);
    this.imported = readImports(this.read(sectionIds.import), this.signatures, bounds);
    const functions = this.read(sectionIds.function);
    this.functionTypes = Array.from({ length: functions.u32() }, () => functions.u32());
    this.exports = readExports(this.read(sectionIds.export), bounds);
    this.startIndex = this.has(sectionIds.start) ? this.read(sectionIds.start).u32() : undefined;
    const tags = this.read(sectionIds.tag);
    for (let left = tags.u32(); left > 0; left--) checkTag(this.signatures[readTag(tags)]);
    this.memory = this.#readMemory(this.read(sectionIds.memory));
  }

  has(id: number): boolean {
    return this.#contents.has(id);
  }

  content(id: number): Uint8Array {
    return this.#contents.get(id) ?? noEntries;
  }

  read(id: number): Reader {
    return new Reader(this.content(id));
  }

  /** Of its names, the custom section's content. */
  names(): Uint8Array | undefined {
    for (const { id, start, end } of readSections(this.bytes)) {
      const reader = new Reader(this.bytes, start, end);
      if (id === sectionIds.custom && reader.name() === "name") return reader.rest();
    }
    return undefined;
  }

  /** All sections but the custom ones. */
  get contents(): ReadonlyMap<number, Uint8Array> {
    return this.#contents;
  }

  /** By a function's index, imported or defined: the index of its type. */
  typeOf(index: number): number {
    const { functionTypes } = this.imported;
    const type = index < functionTypes.length ? functionTypes[index] : this.functionTypes[index - functionTypes.length];
    if (type === undefined) throw new BinaryError(`has no function ${index}`);
    return type;
  }

  signatureOf(index: number): Signature {
    const signature = this.signatures[this.typeOf(index)];
    if (signature === undefined) throw new BinaryError(`has a function ${index} without a type`);
    return signature;
  }

  *code(): Generator<CodePlace> {
    if (!this.has(sectionIds.code)) return;
    const { byteOffset, length } = this.content(sectionIds.code);
    const start = byteOffset - this.bytes.byteOffset;
    const reader = new Reader(this.bytes, start, start + length);
    const imported = this.imported.functionTypes.length;
    const count = reader.u32();
    for (let index = 0; index < count; index++) {
      const size = reader.u32();
      const end = reader.offset + size;
      assertAtMost("bytes in one function", size, this.bounds.bodyBytes);
      const localGroups = reader.u32();
      const localsAt = reader.offset;
      let locals = this.signatureOf(imported + index).parameters.length;
      let hasVectors = false;
      for (let left = localGroups; left > 0; left--) {
        locals += reader.u32();
        if (skipValueType(reader) === vectorType) hasVectors = true;
      }
      assertAtMost("locals in one function", locals, this.bounds.locals);
      yield { localsAt, codeAt: reader.offset, end, localGroups, locals, hasVectors };
      reader.offset = end;
    }
  }

  #assertCounts(): void {
    const { types, functions, segments } = this.bounds;
    assertAtMost("functions", this.read(sectionIds.function).u32(), functions);
    assertAtMost("tags", this.read(sectionIds.tag).u32(), types);
    assertAtMost("data segments", this.read(sectionIds.data).u32(), segments);
  }

  #readMemory(reader: Reader): Bounds | undefined {
    const count = reader.u32();
    if (count + this.imported.memories > 1) throw new BinaryError("has several memories");
    return count === 0 ? undefined : readBounds(reader, "memory");
  }
}

const vectorType = 0x7b;

/** The type's first byte. */
function skipValueType(reader: Reader): number {
  const code = reader.byte();
  if (code === 0x63 || code === 0x64) while (reader.byte() > 127);
  return code;
}
