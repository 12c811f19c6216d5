import { BinaryError, concat, encodeU32, layerOf, readBounds, Reader, readSections, sectionIds, writeModule } from "../binary.ts";
import { readValueType } from "../types.ts";
import { each, kindOf, readExternName, skipAlias, skipSortIndex, type ExternKind } from "./binary-items.ts";
import { readTypes, skipExternDescription } from "./binary-types.ts";
import { checkCoreName, checkExternName } from "./names.ts";

/**
 * Reading of the component binary format as WASI 0.2 uses it
 * (https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md).
 */
const componentSections = {
  custom: 0,
  coreModule: 1,
  coreInstance: 2,
  coreType: 3,
  component: 4,
  instance: 5,
  alias: 6,
  type: 7,
  canon: 8,
  import: 10,
  export: 11,
} as const;

const maxDepth = 16;

interface Extern {
  readonly name: string;
  readonly kind: ExternKind;
}

export interface ComponentBinary {
  /** The component without custom sections: debug names and documentation never reach what is generated from it. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly imports: readonly Extern[];
  readonly exports: readonly Extern[];
}

/**
 * Reads a component, with every name in it checked, the names of its core modules included.
 *
 * @throws BinaryError for what is malformed, has names that are not accepted, or uses a part of the format that WASI 0.2 does not.
 */
export function readComponent(bytes: Uint8Array): ComponentBinary {
  const imports: Extern[] = [];
  const exports: Extern[] = [];
  return { bytes: rewrite(bytes, 0, { imports, exports }), imports, exports };
}

function rewrite(bytes: Uint8Array, depth: number, found: { imports: Extern[]; exports: Extern[] }): Uint8Array<ArrayBuffer> {
  if (layerOf(bytes) !== "component") throw new BinaryError("does not begin as a component");
  if (depth > maxDepth) throw new BinaryError(`has components nested deeper than ${maxDepth}`);
  const parts: Uint8Array[] = [bytes.subarray(0, 8)];
  for (const { id, start, end } of readSections(bytes)) {
    if (id === componentSections.custom) continue;
    const content = bytes.subarray(start, end);
    const kept =
      id === componentSections.component ? rewrite(content, depth + 1, { imports: [], exports: [] }) : checkSection(id, content, found);
    parts.push(Uint8Array.from([id, ...encodeU32(kept.length)]), kept);
  }
  return concat(parts);
}

/** Gives back what is to be kept of the section. */
function checkSection(id: number, content: Uint8Array, found: { imports: Extern[]; exports: Extern[] }): Uint8Array {
  if (id === componentSections.coreModule) return checkCoreModule(content);
  const reader = new Reader(content);
  if (id === componentSections.coreInstance) each(reader, () => skipCoreInstance(reader));
  else if (id === componentSections.coreType || id === componentSections.type) readTypes(reader, id === componentSections.coreType);
  else if (id === componentSections.instance) each(reader, () => skipInstance(reader));
  else if (id === componentSections.alias) each(reader, () => skipAlias(reader));
  else if (id === componentSections.import) each(reader, () => found.imports.push(readImport(reader)));
  else if (id === componentSections.export) each(reader, () => found.exports.push(readExport(reader)));
  else if (id === componentSections.canon) return content;
  else throw new BinaryError(`has a section ${id}, which WASI 0.2 does not use`);
  if (!reader.isAtEnd) throw new BinaryError(`has bytes left over in a section ${id}`);
  return content;
}

/**
 * Checks the names that a core module imports and exports, and takes its custom sections away. They are read here: a platform that
 * compiles nothing inside a request has no module to ask.
 */
function checkCoreModule(content: Uint8Array): Uint8Array {
  const own = Uint8Array.from(content);
  if (!WebAssembly.validate(own)) throw new BinaryError("has a core module that is malformed, or uses what this engine does not know");
  const kept = [...readSections(own)].filter(({ id }) => id !== sectionIds.custom);
  for (const { id, start, end } of kept) {
    const reader = new Reader(own, start, end);
    if (id === sectionIds.import) each(reader, () => checkCoreImport(reader));
    if (id === sectionIds.export) each(reader, () => checkCoreExport(reader));
  }
  return writeModule(kept.map(({ id, start, end }) => ({ id, content: own.subarray(start, end) })));
}

function checkCoreImport(reader: Reader): void {
  checkCoreName(reader.name());
  checkCoreName(reader.name());
  const kind = reader.byte();
  if (kind === 0) reader.u32();
  else if (kind === 1) skipTable(reader);
  else if (kind === 2) readBounds(reader, "memory");
  else if (kind === 3) skipGlobal(reader);
  else if (kind === 4) skipTag(reader);
  else throw new BinaryError(`has a core module that imports something of the unknown kind ${kind}`);
}

function skipTable(reader: Reader): void {
  readValueType(reader);
  readBounds(reader, "table");
}

function skipGlobal(reader: Reader): void {
  readValueType(reader);
  reader.byte();
}

function skipTag(reader: Reader): void {
  reader.byte();
  reader.u32();
}

function checkCoreExport(reader: Reader): void {
  checkCoreName(reader.name());
  reader.byte();
  reader.u32();
}

function skipCoreInstance(reader: Reader): void {
  const form = reader.byte();
  if (form > 1) throw new BinaryError(`has a core instance of the unknown form ${form}`);
  if (form === 0) reader.u32();
  each(reader, () => {
    checkCoreName(reader.name());
    reader.byte();
    reader.u32();
  });
}

function skipInstance(reader: Reader): void {
  const form = reader.byte();
  if (form > 1) throw new BinaryError(`has an instance of the unknown form ${form}`);
  if (form === 0) reader.u32();
  each(reader, () => {
    if (form === 0) checkExternName(reader.name());
    else readExternName(reader);
    skipSortIndex(reader);
  });
}

function readImport(reader: Reader): Extern {
  const name = readExternName(reader);
  return { name, kind: kindOf(skipExternDescription(reader)) };
}

function readExport(reader: Reader): Extern {
  const name = readExternName(reader);
  const kind = skipSortIndex(reader);
  if (reader.byte() !== 0) skipExternDescription(reader);
  return { name, kind };
}
