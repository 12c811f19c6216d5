/**
 * Keeps what a tool wrote to one stream: the first bytes, up to a size, and how many there were. One buffer, because an
 * object for each of a million one-byte writes takes a hundred times the bytes (ABUSE C1).
 */
export class Capture {
  readonly #capacity: number;
  #buffer: Uint8Array = new Uint8Array(0);
  /** Whether the buffer is this object's own and may have room behind what is kept. The first piece is kept as it came. */
  #isOwn = false;
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
    if (this.#kept === 0) this.#buffer = part;
    else this.#append(part);
    this.#kept += part.length;
  }

  #append(part: Uint8Array): void {
    const needed = this.#kept + part.length;
    if (!this.#isOwn || needed > this.#buffer.length) {
      const grown = new Uint8Array(Math.min(Math.max(1024, needed * 2), this.#capacity));
      grown.set(this.#buffer.subarray(0, this.#kept));
      this.#buffer = grown;
      this.#isOwn = true;
    }
    this.#buffer.set(part, this.#kept);
  }

  /** What was kept, in one piece. */
  bytes(): Uint8Array {
    return this.#kept === this.#buffer.length ? this.#buffer : this.#buffer.subarray(0, this.#kept);
  }
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });

export interface Text {
  readonly text: string;
  /** Bytes that are no UTF-8 stand as U+FFFD in `text`. */
  readonly replaced: boolean;
}

export interface Cut {
  /** Decode at most so many bytes. */
  readonly limit?: number;
  /** Whether the bytes themselves are only the beginning of what there was. */
  readonly isCut?: boolean;
}

/** Decodes the bytes; a character that a cut parts in two is left out. */
export function decodeText(bytes: Uint8Array, { limit = bytes.length, isCut = false }: Cut = {}): Text {
  if (bytes.length === 0) return { text: "", replaced: false };
  const head = bytes.length > limit ? bytes.subarray(0, limit) : bytes;
  const part = isCut || head !== bytes ? head.subarray(0, lastBoundary(head)) : head;
  try {
    return { text: strict.decode(part), replaced: false };
  } catch {
    return { text: lenient.decode(part), replaced: true };
  }
}

/** Where the last whole UTF-8 character ends. */
function lastBoundary(bytes: Uint8Array): number {
  for (let at = bytes.length - 1; at >= 0 && at > bytes.length - 4; at--) {
    const byte = bytes[at] ?? 0;
    if ((byte & 0xc0) === 0x80) continue;
    return at + lengthFrom(byte) > bytes.length ? at : bytes.length;
  }
  return bytes.length;
}

/** How long a character is by its first byte (RFC 3629 §3). */
function lengthFrom(lead: number): number {
  if (lead >= 0xf0) return 4;
  if (lead >= 0xe0) return 3;
  return lead >= 0xc0 ? 2 : 1;
}
