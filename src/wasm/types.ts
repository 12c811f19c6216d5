import { BinaryError, BoundError, type Reader } from "./binary.ts";

/** A function's type as text: `i32 i64 -> i32`, or `->`. */
export type FunctionType = string;

/** A function's type with what the rewriter needs of it. */
export interface Signature {
  readonly text: FunctionType;
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
}

export interface ValueType {
  readonly text: string;
  /** As the format writes it. */
  readonly bytes: Uint8Array;
}

const shortTypes: ReadonlyMap<number, string> = new Map([
  [0x7f, "i32"],
  [0x7e, "i64"],
  [0x7d, "f32"],
  [0x7c, "f64"],
  [0x7b, "v128"],
  [0x73, "nofuncref"],
  [0x72, "noexternref"],
  [0x70, "funcref"],
  [0x6f, "externref"],
  [0x69, "exnref"],
  [0x74, "noexnref"],
]);

/** One of each: a module may have as many values in its types as it has bytes. */
const shortValueTypes: ReadonlyMap<number, ValueType> = new Map(
  [...shortTypes].map(([code, text]) => [code, { text, bytes: Uint8Array.of(code) }] as const),
);

/** Heap types of the proposal for garbage collection, which are refused by name. */
const collectedTypes: ReadonlyMap<number, string> = new Map([
  [0x71, "none"],
  [0x6e, "any"],
  [0x6d, "eq"],
  [0x6c, "i31"],
  [0x6b, "struct"],
  [0x6a, "array"],
]);

const maxTagParameters = 16;

function collected(name: string): BinaryError {
  return new BinaryError(`uses garbage-collected references (${name}), which live where no limit of a run holds`);
}

export function readValueType(reader: Reader): ValueType {
  const start = reader.offset;
  const code = reader.byte();
  const short = shortValueTypes.get(code);
  if (short !== undefined) return short;
  const text = referenceText(code, reader);
  return { text, bytes: reader.bytes.subarray(start, reader.offset) };
}

function referenceText(code: number, reader: Reader): string {
  const name = collectedTypes.get(code);
  if (name !== undefined) throw collected(name);
  if (code !== 0x63 && code !== 0x64) throw new BinaryError(`has a value of the unknown type 0x${code.toString(16)}`);
  return `(ref ${code === 0x63 ? "null " : ""}${readHeapType(reader)})`;
}

/** The index of a function's type, or the name of an abstract heap type. */
export function readHeapType(reader: Reader): string {
  const { offset } = reader;
  const code = reader.byte();
  const name = collectedTypes.get(code);
  if (name !== undefined) throw collected(name);
  const short = shortTypes.get(code);
  if (short !== undefined) return short;
  reader.offset = offset;
  return String(reader.u32());
}

/**
 * Reads the type section. Only functions are taken: structs and arrays live on the engine's own heap, where no limit of
 * a run holds, and its exhaustion aborts the process.
 */
export function readSignatures(reader: Reader, bounds: SignatureBounds): Signature[] {
  const signatures: Signature[] = [];
  let values = 0;
  const read = (): void => {
    if (signatures.length >= bounds.types) throw new BoundError(`has more than ${bounds.types} types`);
    const signature = readSubtype(reader, bounds.typeValues - values);
    values += signature.parameters.length + signature.results.length;
    signatures.push(signature);
  };
  for (let left = reader.u32(); left > 0; left--) {
    const { offset } = reader;
    if (reader.byte() === 0x4e) {
      for (let inGroup = reader.u32(); inGroup > 0; inGroup--) read();
    } else {
      reader.offset = offset;
      read();
    }
  }
  return signatures;
}

export interface SignatureBounds {
  readonly types: number;
  /** Parameters and results of all types together. */
  readonly typeValues: number;
}

function readSubtype(reader: Reader, mostValues: number): Signature {
  let code = reader.byte();
  if (code === 0x4f || code === 0x50) {
    for (let supers = reader.u32(); supers > 0; supers--) reader.u32();
    code = reader.byte();
  }
  if (code !== 0x60) throw new BinaryError("has a type that is no function's; garbage-collected types have no cap");
  const parameters = readValueTypes(reader, mostValues);
  const results = readValueTypes(reader, mostValues - parameters.length);
  const names = (types: readonly ValueType[]): string[] => types.map(({ text }) => text);
  return { parameters, results, text: [...names(parameters), "->", ...names(results)].join(" ") };
}

function readValueTypes(reader: Reader, most: number): ValueType[] {
  const length = reader.u32();
  if (length > most) throw new BoundError("has too many parameters and results in its types");
  return Array.from({ length }, () => readValueType(reader));
}

/**
 * Refuses exceptions that carry much: they live on the engine's heap, and a guest can hold one in each local. One that carries
 * others would make lists of them, without end.
 */
export function checkTag(signature: Signature | undefined): void {
  const parameters = signature?.parameters ?? [];
  if (parameters.length > maxTagParameters) {
    throw new BinaryError(`has an exception of ${parameters.length} values, the most is ${maxTagParameters}`);
  }
  if (parameters.some(({ text }) => text.includes("exn"))) throw new BinaryError("has an exception that carries exceptions");
}
