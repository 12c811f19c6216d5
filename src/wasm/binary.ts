/** Reading and writing of the WebAssembly binary format, as far as its sections (Core specification 3.0, §5). */

/** Thrown for bytes that do not follow the format, or use a part of it that this reader does not know. */
export class BinaryError extends Error {
  override readonly name: string = "BinaryError";
}

/** Thrown for a module that is well formed, but has more of something than it may: compiling it could take without end. */
export class BoundError extends BinaryError {
  override readonly name = "BoundError";
}

/** Of a memory (Core specification 3.0, §4.2.8). */
export const pageBytes = 65_536;

export const sectionIds = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  global: 6,
  export: 7,
  start: 8,
  element: 9,
  code: 10,
  data: 11,
  dataCount: 12,
  tag: 13,
} as const;

/** A module begins with `\0asm` and version 1; a component with `\0asm`, version 13 and layer 1. */
export type Layer = "module" | "component";

export function layerOf(bytes: Uint8Array): Layer | undefined {
  const [a, s, b, c, version, zero, layer, last] = bytes;
  if (a !== 0 || s !== 0x61 || b !== 0x73 || c !== 0x6d || zero !== 0 || last !== 0) return undefined;
  if (version === 1 && layer === 0) return "module";
  return layer === 1 ? "component" : undefined;
}

export class Reader {
  readonly bytes: Uint8Array;
  offset: number;
  readonly end: number;

  constructor(bytes: Uint8Array, offset = 0, end = bytes.length) {
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
  }

  get isAtEnd(): boolean {
    return this.offset >= this.end;
  }

  byte(): number {
    if (this.offset >= this.end) throw new BinaryError(`ends in the middle at byte ${this.offset}`);
    return this.bytes[this.offset++] ?? 0;
  }

  /** An unsigned LEB128 number of at most 32 bits. */
  u32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      if (shift === 28 && byte > 0x0f) break;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new BinaryError(`has a number over 32 bits at byte ${this.offset}`);
  }

  take(length: number): Uint8Array {
    if (length > this.end - this.offset) throw new BinaryError(`ends in the middle at byte ${this.offset}`);
    const part = this.bytes.subarray(this.offset, this.offset + length);
    this.offset += length;
    return part;
  }

  /** What has not been read. */
  rest(): Uint8Array {
    return this.bytes.subarray(this.offset, this.end);
  }

  name(): string {
    const bytes = this.take(this.u32());
    try {
      return utf8.decode(bytes);
    } catch (error) {
      throw new BinaryError(`has a name that is no UTF-8 before byte ${this.offset}`, { cause: error });
    }
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

export function encodeU32(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? low | 0x80 : low);
  } while (rest > 0);
  return bytes;
}

export function encodeName(name: string): number[] {
  const bytes = encoder.encode(name);
  return [...encodeU32(bytes.length), ...bytes];
}

export interface Section {
  readonly id: number;
  /** Where its content is in the module's bytes. */
  readonly start: number;
  readonly end: number;
}

/** Splits a module into its sections. The content is not looked at. */
export function* readSections(bytes: Uint8Array): Generator<Section> {
  const reader = new Reader(bytes, 8);
  while (!reader.isAtEnd) {
    const id = reader.byte();
    const size = reader.u32();
    const start = reader.offset;
    reader.take(size);
    yield { id, start, end: start + size };
  }
}

/** The bounds of a memory (in pages) or a table (in elements). */
export interface Bounds {
  readonly min: number;
  readonly max?: number;
}

/** Reads limits; refuses shared and 64-bit ones and page sizes other than 64 KiB, by name. */
export function readBounds(reader: Reader, what: "memory" | "table"): Bounds {
  const flags = reader.byte();
  if ((flags & 2) !== 0) throw new BinaryError(`has a shared ${what}`);
  if ((flags & 4) !== 0) throw new BinaryError(`has a 64-bit ${what}`);
  if ((flags & 8) !== 0) throw new BinaryError(`has a ${what} of a custom page size`);
  if (flags > 1) throw new BinaryError(`has a ${what} with unknown limits 0x${flags.toString(16)}`);
  const min = reader.u32();
  return flags === 0 ? { min } : { min, max: reader.u32() };
}

export function encodeBounds({ min, max }: Bounds): number[] {
  return max === undefined ? [0, ...encodeU32(min)] : [1, ...encodeU32(min), ...encodeU32(max)];
}

/** Puts a module together again: the header and the given sections. */
export function writeModule(sections: readonly { readonly id: number; readonly content: Uint8Array }[]): Uint8Array<ArrayBuffer> {
  const heads = sections.map(({ id, content }) => Uint8Array.from([id, ...encodeU32(content.length)]));
  const size = sections.reduce((sum, { content }, index) => sum + content.length + (heads[index]?.length ?? 0), 8);
  const bytes = new Uint8Array(size);
  bytes.set([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
  let offset = 8;
  for (const [index, { content }] of sections.entries()) {
    const head = heads[index] ?? new Uint8Array(0);
    bytes.set(head, offset);
    bytes.set(content, offset + head.length);
    offset += head.length + content.length;
  }
  return bytes;
}

/** The parts in one piece. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
