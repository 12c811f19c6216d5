import { BinaryError, type Reader } from "../binary.ts";
import { checkCoreName, checkExternName } from "./names.ts";

export type ExternKind = "module" | "function" | "value" | "type" | "component" | "instance";
const sorts: readonly ExternKind[] = ["module", "function", "value", "type", "component", "instance"];

export function each(reader: Reader, read: () => unknown): void {
  for (let left = reader.u32(); left > 0; left--) read();
}

export function kindOf(sort: number): ExternKind {
  const kind = sorts[sort];
  if (kind === undefined) throw new BinaryError(`has an item of the unknown sort ${sort}`);
  return kind;
}

function skipSort(reader: Reader): ExternKind {
  const sort = reader.byte();
  if (sort === 0) reader.byte();
  return kindOf(sort);
}

export function skipSortIndex(reader: Reader): ExternKind {
  const kind = skipSort(reader);
  reader.u32();
  return kind;
}

/** The name of an import or export. */
export function readExternName(reader: Reader): string {
  const form = reader.byte();
  if (form > 1) throw new BinaryError(`has a name of the unknown form ${form}`);
  return checkExternName(reader.name());
}

export function skipAlias(reader: Reader): void {
  skipSort(reader);
  const form = reader.byte();
  if (form > 2) throw new BinaryError(`has an alias of the unknown form ${form}`);
  reader.u32();
  if (form === 0) checkExternName(reader.name());
  else if (form === 1) checkCoreName(reader.name());
  else reader.u32();
}
