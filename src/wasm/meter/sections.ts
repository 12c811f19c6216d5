import { BinaryError, encodeBounds, readBounds, Reader, type Bounds } from "../binary.ts";
import { readHeapType, readValueType, type FunctionType, type Signature } from "../types.ts";
import { assertAtMost, type ModuleBounds } from "./bounds.ts";
import { hostNamespace, reservedPrefix } from "./names.ts";
import { afterFd } from "./opcodes.ts";
import type { Writer } from "./writer.ts";

export type ImportKind = "function" | "table" | "memory" | "global" | "tag";
const importKinds: readonly ImportKind[] = ["function", "table", "memory", "global", "tag"];

export interface Import {
  readonly namespace: string;
  readonly name: string;
  readonly kind: ImportKind;
  /** Of a function. */
  readonly type?: FunctionType;
}

/** Functions are found elsewhere in the rewritten module: as those that are called, and as values. */
export interface Moves {
  readonly called: (index: number) => number;
  readonly asValue: (index: number) => number;
}

/** What a module imports, by the index spaces that it begins. */
export interface Imported {
  readonly imports: readonly Import[];
  readonly functionTypes: readonly number[];
  readonly tables: readonly (readonly number[])[];
  readonly memories: number;
  readonly globals: number;
}

export function readImports(reader: Reader, signatures: readonly Signature[], bounds: ModuleBounds): Imported {
  const imports: Import[] = [];
  const functionTypes: number[] = [];
  const tables: (readonly number[])[] = [];
  let [memories, globals] = [0, 0];
  const count = reader.u32();
  assertAtMost("imports", count, bounds.imports);
  for (let left = count; left > 0; left--) {
    const namespace = reader.name();
    const name = reader.name();
    if (namespace === hostNamespace) throw new BinaryError(`imports from ${JSON.stringify(hostNamespace)}, which belongs to the host`);
    const kind = importKinds[reader.byte()];
    if (kind === undefined) throw new BinaryError("imports something of an unknown kind");
    if (kind === "function") {
      const type = reader.u32();
      functionTypes.push(type);
      imports.push({ namespace, name, kind, type: signatures[type]?.text ?? "" });
      continue;
    }
    imports.push({ namespace, name, kind });
    if (kind === "table") tables.push(readTableType(reader).type);
    else if (kind === "memory") memories += readBounds(reader, "memory").min >= 0 ? 1 : 0;
    else if (kind === "global") globals += readGlobalType(reader);
    else readTag(reader);
  }
  return { imports, functionTypes, tables, memories, globals };
}

function readGlobalType(reader: Reader): 1 {
  readValueType(reader);
  reader.byte();
  return 1;
}

/** The index of a tag's type. */
export function readTag(reader: Reader): number {
  reader.byte();
  return reader.u32();
}

function readTableType(reader: Reader): { readonly type: readonly number[]; readonly bounds: Bounds } {
  const { text, bytes } = readValueType(reader);
  // An exception may weigh a kilobyte on the engine's heap, and a table holds a hundred thousand.
  if (text.includes("exn")) throw new BinaryError("has a table of exceptions, which live where no limit of a run holds");
  return { type: [...bytes], bounds: readBounds(reader, "table") };
}

/** Reads the tables, and writes each with a maximum. */
export function capTables(reader: Reader, out: Writer, moves: Moves, bounds: ModuleBounds): (readonly number[])[] {
  const count = reader.u32();
  assertAtMost("tables", count, bounds.tables);
  out.u32(count);
  const types: (readonly number[])[] = [];
  for (let left = count; left > 0; left--) {
    const { offset } = reader;
    const hasInitializer = reader.byte() === 0x40;
    if (hasInitializer) reader.byte();
    else reader.offset = offset;
    const { type, bounds: size } = readTableType(reader);
    assertAtMost("elements in a table", size.min, bounds.tableElements);
    if (hasInitializer) out.put(0x40, 0);
    out.put(...type, ...encodeBounds({ min: size.min, max: Math.min(size.max ?? bounds.tableElements, bounds.tableElements) }));
    if (hasInitializer) copyConstant(reader, out, moves);
    types.push(type);
  }
  return types;
}

/** Copies the globals, and adds the host's behind them: an index that the original, which was validated, cannot name. */
export function copyGlobals(reader: Reader, out: Writer, moves: Moves, added: readonly number[], bounds: ModuleBounds): number {
  const count = reader.u32();
  assertAtMost("globals", count, bounds.globals);
  out.u32(count + added.length);
  for (let left = count; left > 0; left--) {
    const { offset } = reader;
    readGlobalType(reader);
    out.copy(reader.bytes, offset, reader.offset);
    copyConstant(reader, out, moves);
  }
  for (const value of added) {
    out.put(0x7f, 1, 0x41);
    out.s32(value);
    out.put(0x0b);
  }
  return count;
}

export interface Export {
  readonly name: string;
  readonly kind: number;
  readonly index: number;
  /** The name as it stands in the module. */
  readonly nameBytes: Uint8Array;
}

export function readExports(reader: Reader, bounds: ModuleBounds): Export[] {
  const count = reader.u32();
  assertAtMost("exports", count, bounds.exports);
  return Array.from({ length: count }, () => {
    const { offset } = reader;
    const name = reader.name();
    const nameBytes = reader.bytes.subarray(offset, reader.offset);
    if (name.startsWith(reservedPrefix)) throw new BinaryError(`exports ${JSON.stringify(name)}, a name that belongs to the host`);
    return { name, nameBytes, kind: reader.byte(), index: reader.u32() };
  });
}

/** Copies the element segments with their functions moved. */
export function copyElements(reader: Reader, out: Writer, moves: Moves, bounds: ModuleBounds): void {
  const count = reader.u32();
  assertAtMost("element segments", count, bounds.segments);
  out.u32(count);
  let allElements = 0;
  for (let left = count; left > 0; left--) {
    const flags = reader.u32();
    if (flags > 7) throw new BinaryError(`has an element segment of the unknown form ${flags}`);
    out.u32(flags);
    const [isPassive, isExplicit, hasExpressions] = [(flags & 1) !== 0, (flags & 2) !== 0, (flags & 4) !== 0];
    if (!isPassive) {
      if (isExplicit) out.u32(reader.u32());
      copyConstant(reader, out, moves);
    }
    // The kind of its elements stands in all forms but the two oldest.
    if (isPassive || isExplicit) {
      if (hasExpressions) out.put(...readValueType(reader).bytes);
      else out.byte(reader.byte());
    }
    const elements = reader.u32();
    assertAtMost("elements in a segment", elements, bounds.tableElements);
    assertAtMost("elements in all segments", (allElements += elements), bounds.segmentElements);
    out.u32(elements);
    for (let index = 0; index < elements; index++) {
      if (hasExpressions) copyConstant(reader, out, moves);
      else out.u32(moves.asValue(reader.u32()));
    }
  }
}

/** The functions that element segments, and constants of globals and tables, name. */
export function collectValues(copies: readonly ((moves: Moves) => void)[]): Set<number> {
  const values = new Set<number>();
  const moves: Moves = {
    called: (index) => index,
    asValue: (index) => {
      values.add(index);
      return index;
    },
  };
  for (const copy of copies) copy(moves);
  return values;
}

/** Copies a constant expression (Core specification 3.0, §3.4.13). */
function copyConstant(reader: Reader, out: Writer, moves: Moves): void {
  for (;;) {
    const { offset } = reader;
    const code = reader.byte();
    if (code === 0xd2) {
      out.byte(code);
      out.u32(moves.asValue(reader.u32()));
      continue;
    }
    skipConstant(reader, code);
    out.copy(reader.bytes, offset, reader.offset);
    if (code === 0x0b) return;
  }
}

function skipConstant(reader: Reader, code: number): void {
  switch (code) {
    case 0x0b: // end
    case 0x6a: // i32.add, sub, mul
    case 0x6b:
    case 0x6c:
    case 0x7c: // i64.add, sub, mul
    case 0x7d:
    case 0x7e:
      return;
    case 0x23: // global.get
    case 0x41: // i32.const
    case 0x42: // i64.const
      while (reader.byte() > 127);
      return;
    case 0x43:
      reader.take(4);
      return;
    case 0x44:
      reader.take(8);
      return;
    case 0xd0:
      readHeapType(reader);
      return;
    case 0xfd:
      if (reader.u32() === 12 && afterFd.length > 0) {
        reader.take(16);
        return;
      }
  }
  if (code === 0xfb) throw new BinaryError("makes garbage-collected values in a constant, which live where no limit of a run holds");
  throw new BinaryError(`has the unknown instruction 0x${code.toString(16)} in a constant`);
}
