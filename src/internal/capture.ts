/** Keeps what a tool wrote to one stream: the first bytes, up to a size, and how many there were. */
export class Capture {
  readonly #chunks: Uint8Array[] = [];
  readonly #capacity: number;
  #kept = 0;
  #total = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get total(): number {
    return this.#total;
  }

  add(bytes: Uint8Array): void {
    this.#total += bytes.length;
    const room = this.#capacity - this.#kept;
    if (room <= 0) return;
    const part = bytes.length <= room ? bytes : bytes.subarray(0, room);
    this.#chunks.push(part);
    this.#kept += part.length;
  }

  /** What was kept, in one piece. */
  bytes(): Uint8Array {
    const [first] = this.#chunks;
    if (first === undefined) return new Uint8Array(0);
    if (this.#chunks.length === 1) return first;
    const whole = new Uint8Array(this.#kept);
    let offset = 0;
    for (const chunk of this.#chunks) {
      whole.set(chunk, offset);
      offset += chunk.length;
    }
    return whole;
  }
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });

export interface Text {
  readonly text: string;
  /** Bytes that are no UTF-8 stand as U+FFFD in `text`. */
  readonly replaced: boolean;
}

/** Decodes at most `limit` bytes; a character that the limit cuts in two is left out. */
export function decodeText(bytes: Uint8Array, limit = bytes.length): Text {
  if (bytes.length === 0) return { text: "", replaced: false };
  const part = bytes.length > limit ? bytes.subarray(0, characterEnd(bytes, limit)) : bytes;
  try {
    return { text: strict.decode(part), replaced: false };
  } catch {
    return { text: lenient.decode(part), replaced: true };
  }
}

/** The last boundary of a UTF-8 character at or before `end`. */
function characterEnd(bytes: Uint8Array, end: number): number {
  for (let at = end; at > end - 4 && at > 0; at--) {
    if (((bytes[at] ?? 0) & 0xc0) !== 0x80) return at;
  }
  return end;
}
