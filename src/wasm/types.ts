import { BinaryError, type Reader } from "./binary.ts";

/** A function's type as text: `i32 i64 -> i32`, or `->`. */
export type FunctionType = string;

const valueTypes: ReadonlyMap<number, string> = new Map([
  [0x7f, "i32"],
  [0x7e, "i64"],
  [0x7d, "f32"],
  [0x7c, "f64"],
  [0x7b, "v128"],
  [0x70, "funcref"],
  [0x6f, "externref"],
]);

const maxTagParameters = 16;

/**
 * Reads the type section. Only functions over numbers, vectors, `funcref` and `externref` are taken: structs and arrays
 * live on the engine's own heap, where no limit of a run holds, and its exhaustion aborts the process.
 */
export function readTypes(reader: Reader): FunctionType[] {
  const types: FunctionType[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    if (reader.byte() !== 0x60) throw new BinaryError("has a type that is no function's; garbage-collected types have no cap");
    const parameters = readValueTypes(reader);
    types.push([...parameters, "->", ...readValueTypes(reader)].join(" "));
  }
  return types;
}

function readValueTypes(reader: Reader): string[] {
  const names: string[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    const name = valueTypes.get(reader.byte());
    if (name === undefined) throw new BinaryError("has a function over typed references");
    names.push(name);
  }
  return names;
}

/** Refuses exceptions that carry much: they live on the engine's heap, and a guest can hold one in each local. */
export function checkTags(reader: Reader, types: readonly FunctionType[]): void {
  for (let left = reader.u32(); left > 0; left--) {
    reader.byte();
    const parameters = (types[reader.u32()] ?? "").split(" ").length - 1;
    if (parameters > maxTagParameters) throw new BinaryError(`has an exception of ${parameters} values, the most is ${maxTagParameters}`);
  }
}

/** Reads the function section: the type of each function that the module defines. */
export function readFunctions(reader: Reader, types: readonly FunctionType[]): FunctionType[] {
  return Array.from({ length: reader.u32() }, () => types[reader.u32()] ?? "");
}
