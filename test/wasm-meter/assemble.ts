import { Bytes, moduleHeader, writeType, type FunctionType, type ValueType } from "./encoding.ts";

export interface Assembly {
  readonly types: readonly FunctionType[];
  /** Functions of the namespace `host`, by name: the index of a type. */
  readonly imports?: Readonly<Record<string, number>>;
  /** Each is exported as `f` and its number, from 0. */
  readonly functions: readonly {
    readonly type: number;
    readonly locals?: readonly ValueType[];
    /** Without the last `end`. */
    readonly code: readonly number[];
  }[];
  /** Functions in a table, by index. */
  readonly table?: readonly number[];
  /** Of exceptions: the index of a type of each. */
  readonly tags?: readonly number[];
  /** In pages; exported. */
  readonly memory?: number;
  /** Of one passive segment. */
  readonly data?: readonly number[];
}

/** A module written by hand. */
export function assemble({ types, imports = {}, functions, table, tags, memory, data }: Assembly): Uint8Array<ArrayBuffer> {
  const imported = Object.entries(imports);
  const exported = functions.map((_, index) => ({ name: `f${index}`, kind: 0, index: imported.length + index }));
  if (memory !== undefined) exported.push({ name: "memory", kind: 2, index: 0 });
  const sections: [number, Bytes | undefined][] = [
    [1, new Bytes().list(types, ({ params, results }, _, into) => into.raw(0x60).list(params, write).list(results, write))],
    [2, new Bytes().list(imported, ([name, type], _, into) => into.name("host").name(name).raw(0).u32(type))],
    [3, new Bytes().list(functions, ({ type }, _, into) => into.u32(type))],
    [4, table && new Bytes().raw(1, 0x70, 0).u32(table.length)],
    [5, memory === undefined ? undefined : new Bytes().raw(1, 0).u32(memory)],
    [13, tags && new Bytes().list(tags, (type, _, into) => into.raw(0).u32(type))],
    [7, new Bytes().list(exported, ({ name, kind, index }, _, into) => into.name(name).raw(kind).u32(index))],
    [9, table && new Bytes().raw(1, 0, 0x41, 0, 0x0b).list(table, (index, _, into) => into.u32(index))],
    [12, data && new Bytes().raw(1)],
    [10, new Bytes().list(functions, (one, _, into) => into.sized(body(one)))],
    [11, data && new Bytes().raw(1, 1).list(data, (byte, _, into) => into.raw(byte))],
  ];
  const bytes = new Bytes().raw(...moduleHeader);
  for (const [id, content] of sections) if (content !== undefined) bytes.raw(id).sized(content);
  return Uint8Array.from(bytes.out);
}

function write(type: ValueType, _: number, into: Bytes): void {
  writeType(into, type);
}

function body({ locals = [], code }: Assembly["functions"][number]): Bytes {
  return new Bytes()
    .list(locals, (type, _, into) => {
      into.raw(1);
      writeType(into, type);
    })
    .raw(...code, 0x0b);
}
