/** Writing of WebAssembly's binary format, kept apart from the one under test. */

const text = new TextEncoder();

export class Bytes {
  readonly out: number[] = [];

  raw(...bytes: readonly number[]): this {
    for (const byte of bytes) this.out.push(byte);
    return this;
  }

  append(other: Bytes): this {
    for (const byte of other.out) this.out.push(byte);
    return this;
  }

  /** An unsigned LEB128 number, longer than it need be by so many bytes. */
  u32(value: number, padding = 0): this {
    const length = value < 2 ** 7 ? 1 : value < 2 ** 14 ? 2 : value < 2 ** 21 ? 3 : value < 2 ** 28 ? 4 : 5;
    const padded = Math.min(5, length + padding);
    let rest = value;
    for (let at = 1; at < padded; at++) {
      this.out.push((rest % 128) | 0x80);
      rest = Math.floor(rest / 128);
    }
    this.out.push(rest);
    return this;
  }

  s32(value: number): this {
    return this.s64(BigInt(value | 0));
  }

  s64(value: bigint): this {
    let rest = BigInt.asIntN(64, value);
    for (;;) {
      const low = Number(rest & 0x7fn);
      rest >>= 7n;
      const isLast = (rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0);
      this.out.push(isLast ? low : low | 0x80);
      if (isLast) return this;
    }
  }

  /** So many bytes of a number, the lowest first. */
  little(value: bigint, length: number): this {
    for (let at = 0; at < length; at++) this.out.push(Number((value >> BigInt(8 * at)) & 0xffn));
    return this;
  }

  name(value: string): this {
    const bytes = text.encode(value);
    return this.u32(bytes.length).raw(...bytes);
  }

  /** How many there are, and then each. */
  list<T>(items: readonly T[], write: (item: T, index: number, into: Bytes) => void): this {
    this.u32(items.length);
    for (const [index, item] of items.entries()) write(item, index, this);
    return this;
  }

  /** Its length, and then it. */
  sized(other: Bytes, padding = 0): this {
    return this.u32(other.out.length, padding).append(other);
  }
}

export const moduleHeader = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0] as const;

export type NumberType = "i32" | "i64" | "f32" | "f64" | "v128";
/** `ref n` is a nullable reference to a function of type n; `own n` one that is never null. */
export type ValueType = NumberType | "funcref" | "externref" | "exnref" | `ref ${number}` | `own ${number}`;

const typeCodes: Partial<Record<ValueType, number>> = {
  i32: 0x7f,
  i64: 0x7e,
  f32: 0x7d,
  f64: 0x7c,
  v128: 0x7b,
  funcref: 0x70,
  externref: 0x6f,
  exnref: 0x69,
};

export function typeIndexOf(type: `ref ${number}` | `own ${number}`): number {
  return Number(type.slice(4));
}

export function isTyped(type: ValueType): type is `ref ${number}` | `own ${number}` {
  return type.startsWith("ref ") || type.startsWith("own ");
}

export function writeType(bytes: Bytes, type: ValueType): void {
  if (isTyped(type)) bytes.raw(type.startsWith("ref ") ? 0x63 : 0x64).s32(typeIndexOf(type));
  else bytes.raw(typeCodes[type] ?? 0);
}

export interface FunctionType {
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/** The types of a module, each once, in the order in which they were asked for. */
export class TypeTable {
  readonly all: FunctionType[] = [];
  readonly #indexes = new Map<string, number>();

  index(params: readonly ValueType[], results: readonly ValueType[]): number {
    const key = `${params.join()}>${results.join()}`;
    const known = this.#indexes.get(key);
    if (known !== undefined) return known;
    this.#indexes.set(key, this.all.length);
    this.all.push({ params, results });
    return this.all.length - 1;
  }
}
