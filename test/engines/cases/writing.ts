import { Bytes, moduleHeader, TypeTable, writeType, type FunctionType, type ValueType } from "../../wasm-meter/encoding.ts";

export interface FunctionSpec extends FunctionType {
  /** Under which it is exported. */
  readonly name?: string;
  /** Besides the parameters. */
  readonly locals?: readonly (readonly [count: number, type: ValueType])[];
  /** With its `end`. */
  readonly code: Bytes;
}

interface Limits {
  readonly min: number;
  readonly max?: number;
}

/** A module whose parts stand in the order of their indexes. */
export interface ModuleSpec {
  readonly functions: readonly FunctionSpec[];
  /** Exported as `memory`. */
  readonly memory?: Limits;
  /** Exported as `table0` and so on. */
  readonly tables?: readonly (Limits & { readonly type: "funcref" | "externref" })[];
  /** Mutable, begin at 0, exported as `global0` and so on. */
  readonly globals?: readonly ("i32" | "i64")[];
  /** The parameters of each. Exported as `tag0` and so on. */
  readonly tags?: readonly (readonly ValueType[])[];
  /** Functions that stand in table 0 from its beginning on. */
  readonly elements?: readonly number[];
  /** Passive segments, each of one function. */
  readonly passiveElements?: readonly number[];
  /** Passive segments. */
  readonly data?: readonly (readonly number[])[];
  readonly start?: number;
}

function writeLimits({ min, max }: Limits, into: Bytes): void {
  into.raw(max === undefined ? 0 : 1).u32(min);
  if (max !== undefined) into.u32(max);
}

function writeFunctionType({ params, results }: FunctionType, into: Bytes): void {
  into.raw(0x60);
  for (const types of [params, results]) into.list(types, (type) => writeType(into, type));
}

function writeTable({ type, ...limits }: Limits & { readonly type: ValueType }, into: Bytes): void {
  writeType(into, type);
  writeLimits(limits, into);
}

function writeCode({ locals = [], code }: FunctionSpec, into: Bytes): void {
  const body = new Bytes().list(locals, ([count, type], _, group) => {
    group.u32(count);
    writeType(group, type);
  });
  into.sized(body.append(code));
}

function exportsOf({ functions, memory, tables = [], globals = [], tags = [] }: ModuleSpec): Bytes {
  const exported: (readonly [name: string, kind: number, index: number])[] = [];
  for (const [index, { name }] of functions.entries()) if (name !== undefined) exported.push([name, 0, index]);
  for (const index of tables.keys()) exported.push([`table${index}`, 1, index]);
  if (memory !== undefined) exported.push(["memory", 2, 0]);
  for (const index of globals.keys()) exported.push([`global${index}`, 3, index]);
  for (const index of tags.keys()) exported.push([`tag${index}`, 4, index]);
  return new Bytes().list(exported, ([name, kind, index], _, into) => into.name(name).raw(kind).u32(index));
}

function elementsOf({ elements = [], passiveElements = [] }: ModuleSpec): Bytes | undefined {
  const count = (elements.length > 0 ? 1 : 0) + passiveElements.length;
  if (count === 0) return undefined;
  const into = new Bytes().u32(count);
  if (elements.length > 0) into.raw(0, 0x41, 0, 0x0b).list(elements, (index) => into.u32(index));
  for (const index of passiveElements) into.raw(1, 0, 1).u32(index);
  return into;
}

function listed<T>(items: readonly T[], write: (item: T, into: Bytes) => void): Bytes | undefined {
  return items.length === 0 ? undefined : new Bytes().list(items, (item, _, into) => write(item, into));
}

/** Every function may be named by `ref.func`, since all are exported or stand in a segment. */
export function writeModule(spec: ModuleSpec): Uint8Array<ArrayBuffer> {
  const { functions, memory, tables = [], globals = [], tags = [], data = [], start } = spec;
  const types = new TypeTable();
  const functionTypes = functions.map(({ params, results }) => types.index(params, results));
  const tagTypes = tags.map((params) => types.index(params, []));
  const sections: readonly (readonly [id: number, content: Bytes | undefined])[] = [
    [1, listed(types.all, writeFunctionType)],
    [3, listed(functionTypes, (index, into) => into.u32(index))],
    [4, listed(tables, writeTable)],
    [5, listed(memory === undefined ? [] : [memory], writeLimits)],
    [13, listed(tagTypes, (index, into) => into.raw(0).u32(index))],
    [6, listed(globals, (type, into) => into.raw(type === "i32" ? 0x7f : 0x7e, 1, type === "i32" ? 0x41 : 0x42, 0, 0x0b))],
    [7, exportsOf(spec)],
    [8, start === undefined ? undefined : new Bytes().u32(start)],
    [9, elementsOf(spec)],
    [12, data.length === 0 ? undefined : new Bytes().u32(data.length)],
    [10, listed(functions, writeCode)],
    [
      11,
      listed(data, (bytes, into) =>
        into
          .raw(1)
          .u32(bytes.length)
          .raw(...bytes),
      ),
    ],
  ];
  const bytes = new Bytes().raw(...moduleHeader);
  for (const [id, content] of sections) if (content !== undefined) bytes.raw(id).sized(content);
  return Uint8Array.from(bytes.out);
}
