import { BinaryError, type Reader } from "../binary.ts";
import { each, readExternName, skipAlias } from "./binary-items.ts";
import { checkExternName } from "./names.ts";

/** Types may hold types; a recursion this deep is nobody's interface. */
const maxDepth = 32;

/** Walks a section of types. Their names become part of the generated JavaScript, so each one is checked. */
export function readTypes(reader: Reader, isCore: boolean): void {
  each(reader, () => (isCore ? skipCoreType(reader) : skipType(reader, 0)));
}

function unknown(what: string, form: number): BinaryError {
  return new BinaryError(`has ${what} of the unknown form 0x${form.toString(16)}`);
}

/** Only function types: a type of modules would be for handing modules in or out, which WASI does not do. */
function skipCoreType(reader: Reader): void {
  const form = reader.byte();
  if (form !== 0x60) throw unknown("a core type", form);
  for (const _ of ["parameters", "results"]) each(reader, () => skipCoreValueType(reader));
}

function skipCoreValueType(reader: Reader): void {
  const type = reader.byte();
  if (type < 0x6f || (type > 0x70 && type < 0x7b) || type > 0x7f) throw unknown("a core value type", type);
}

function skipType(reader: Reader, depth: number): void {
  if (depth > maxDepth) throw new BinaryError(`has types nested deeper than ${maxDepth}`);
  const form = reader.byte();
  const skip = typeForms[form];
  if (skip !== undefined) return skip(reader, depth);
  if (!isPrimitive(form)) throw unknown("a type", form);
}

/** `bool` to `string`; what comes with later versions is not among them. */
function isPrimitive(form: number): boolean {
  return form >= 0x73 && form <= 0x7f;
}

type Skip = (reader: Reader, depth: number) => void;

const skipLabel = (reader: Reader): void => void checkExternName(reader.name());

const skipLabelled = (reader: Reader): void => {
  skipLabel(reader);
  skipValueType(reader);
};

const typeForms: { readonly [form: number]: Skip } = {
  0x72: (reader) => each(reader, () => skipLabelled(reader)),
  0x71: (reader) =>
    each(reader, () => {
      skipLabel(reader);
      skipOptional(reader);
      if (reader.byte() !== 0) throw new BinaryError("has a variant that refines another");
    }),
  0x70: (reader) => skipValueType(reader),
  0x6f: (reader) => each(reader, () => skipValueType(reader)),
  0x6e: (reader) => each(reader, () => skipLabel(reader)),
  0x6d: (reader) => each(reader, () => skipLabel(reader)),
  0x6b: (reader) => skipValueType(reader),
  0x6a: (reader) => {
    skipOptional(reader);
    skipOptional(reader);
  },
  0x69: (reader) => void reader.u32(),
  0x68: (reader) => void reader.u32(),
  0x40: (reader) => skipFunction(reader),
  0x41: (reader, depth) => each(reader, () => skipDeclaration(reader, depth, true)),
  0x42: (reader, depth) => each(reader, () => skipDeclaration(reader, depth, false)),
  0x3f: (reader) => {
    if (reader.byte() !== 0x7f) throw new BinaryError("has a resource that is no 32-bit number");
    if (reader.byte() !== 0) reader.u32();
  },
};

function skipFunction(reader: Reader): void {
  each(reader, () => skipLabelled(reader));
  const results = reader.byte();
  if (results === 0) skipValueType(reader);
  else if (results === 1) each(reader, () => skipLabelled(reader));
  else throw unknown("results", results);
}

/** A type's index, or a primitive type as a negative number of one byte. */
function skipValueType(reader: Reader): void {
  const first = reader.byte();
  if (first >= 0x40 && first < 0x80) {
    if (!isPrimitive(first)) throw unknown("a value type", first);
    return;
  }
  for (let byte = first, left = 4; byte >= 0x80; left--) {
    if (left === 0) throw new BinaryError("has an index over 32 bits");
    byte = reader.byte();
  }
}

function skipOptional(reader: Reader): void {
  const form = reader.byte();
  if (form === 1) skipValueType(reader);
  else if (form !== 0) throw unknown("an optional type", form);
}

function skipDeclaration(reader: Reader, depth: number, isComponent: boolean): void {
  const form = reader.byte();
  if (form === 0) skipCoreType(reader);
  else if (form === 1) skipType(reader, depth + 1);
  else if (form === 2) skipAlias(reader);
  else if (form === 4 || (form === 3 && isComponent)) {
    readExternName(reader);
    skipExternDescription(reader);
  } else throw unknown("a declaration", form);
}

/** Gives back the sort of what is described. */
export function skipExternDescription(reader: Reader): number {
  const sort = reader.byte();
  if (sort === 0) {
    if (reader.byte() !== 0x11) throw new BinaryError("describes a core item that is no module");
    reader.u32();
  } else if (sort === 3) {
    const bound = reader.byte();
    if (bound === 0) reader.u32();
    else if (bound !== 1) throw unknown("a bound", bound);
  } else if (sort === 1 || sort === 4 || sort === 5) reader.u32();
  else throw unknown("a description", sort);
  return sort;
}
