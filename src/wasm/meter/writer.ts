/** Bytes that grow. */
export class Writer {
  #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** A view of what was written; valid until the next write. */
  bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  #room(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + more));
    grown.set(this.bytes());
    this.#bytes = grown;
  }

  byte(value: number): void {
    this.#room(1);
    this.#bytes[this.#length++] = value;
  }

  /** Each is one byte. */
  put(...values: readonly number[]): void {
    this.#room(values.length);
    for (const value of values) this.#bytes[this.#length++] = value;
  }

  /** LEB128, unsigned. */
  u32(value: number): void {
    this.#room(5);
    let rest = value >>> 0;
    while (rest > 127) {
      this.#bytes[this.#length++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    this.#bytes[this.#length++] = rest;
  }

  /** LEB128, signed. */
  s32(value: number): void {
    this.#room(5);
    let rest = value | 0;
    for (;;) {
      const low = rest & 127;
      rest >>= 7;
      const isLast = (rest === 0 && (low & 64) === 0) || (rest === -1 && (low & 64) !== 0);
      this.#bytes[this.#length++] = isLast ? low : low | 128;
      if (isLast) return;
    }
  }

  copy(from: Uint8Array, start: number, end: number): void {
    const count = end - start;
    if (count <= 0) return;
    this.#room(count);
    if (count < 40) {
      const bytes = this.#bytes;
      let at = this.#length;
      for (let index = start; index < end; index++) bytes[at++] = from[index] ?? 0;
    } else {
      this.#bytes.set(from.subarray(start, end), this.#length);
    }
    this.#length += count;
  }

  append(part: Uint8Array): void {
    this.copy(part, 0, part.length);
  }
}
