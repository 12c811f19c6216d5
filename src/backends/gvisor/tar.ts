/** One entry of an archive. Its content is to be read before the next entry is asked for, or not at all. */
export interface TarEntry {
  /** As written, without what is empty or `.` in it. */
  readonly path: string;
  /** The type flag: `0` a file, `1` a hard link, `2` a symbolic link, `5` a folder (POSIX.1-2024, pax, "ustar Interchange Format"). */
  readonly type: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970. */
  readonly modifiedAt: number;
  readonly target: string;
  readonly size: number;
  content(): AsyncIterable<Uint8Array>;
}

const blockBytes = 512;
/** Threat: a head without end, which is held in memory. */
const maxHeadBytes = 2 ** 20;
const latin1 = new TextDecoder("latin1");
const utf8 = new TextDecoder();

/** Takes bytes by number from what comes in pieces. */
class Bytes {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** At least one byte and at most so many; nothing at the end. */
  async some(most: number): Promise<Uint8Array | undefined> {
    while (this.#rest.length === 0) {
      const { value, done } = await this.#source.next();
      if (done === true) return undefined;
      this.#rest = new Uint8Array(value);
    }
    const part = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(part.length);
    return part;
  }

  async *read(count: number): AsyncGenerator<Uint8Array> {
    for (let left = count; left > 0;) {
      const part = await this.some(left);
      if (part === undefined) throw new Error("the archive ends in the middle of an entry");
      left -= part.length;
      yield part;
    }
  }

  async exactly(count: number): Promise<Uint8Array> {
    const whole = new Uint8Array(count);
    let at = 0;
    for await (const part of this.read(count)) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  async drain(): Promise<void> {
    while ((await this.some(Number.POSITIVE_INFINITY)) !== undefined);
  }
}

function textAt(head: Uint8Array, at: number, length: number, decoder = utf8): string {
  const field = head.subarray(at, at + length);
  const end = field.indexOf(0);
  return decoder.decode(end === -1 ? field : field.subarray(0, end));
}

/** Octal digits, or where the first bit is set the number itself, the highest byte first (GNU tar manual, "Extensions"). */
function numberAt(head: Uint8Array, at: number, length: number): number {
  const field = head.subarray(at, at + length);
  if (((field[0] ?? 0) & 0x80) !== 0) return field.subarray(1).reduce((sum, byte) => sum * 256 + byte, (field[0] ?? 0) & 0x7f);
  const text = textAt(head, at, length, latin1).trim();
  const value = text === "" ? 0 : Number.parseInt(text, 8);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error("the head of an entry is no archive's");
  return value;
}

function isSound(head: Uint8Array): boolean {
  const sum = head.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 32 : byte), 0);
  return sum === numberAt(head, 148, 8);
}

/** `<length> <name>=<value>\n`, where the length counts all of it in bytes. */
function parseExtended(bytes: Uint8Array): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(32, at);
    const length = Number(latin1.decode(bytes.subarray(at, space)));
    if (space === -1 || !Number.isInteger(length) || length <= space - at) break;
    const record = utf8.decode(bytes.subarray(space + 1, at + length - 1));
    const equals = record.indexOf("=");
    records.set(record.slice(0, equals), record.slice(equals + 1));
    at += length;
  }
  return records;
}

function shorten(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  return parts.join("/");
}

/** @throws where it is no archive, or ends too early. Reads its source to the end. */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry> {
  const bytes = new Bytes(source);
  let extended = new Map<string, string>();
  for (;;) {
    const head = await bytes.exactly(blockBytes);
    if (head.every((byte) => byte === 0)) break;
    if (!isSound(head)) throw new Error("the head of an entry is no archive's");
    const type = textAt(head, 156, 1, latin1) || "0";
    const size = Number(extended.get("size") ?? numberAt(head, 124, 12));
    const padding = (blockBytes - (size % blockBytes)) % blockBytes;
    if ("xgLK".includes(type)) {
      if (size > maxHeadBytes) throw new Error("the head of an entry is too large");
      const content = await bytes.exactly(size);
      await bytes.exactly(padding);
      if (type === "x") extended = parseExtended(content);
      if (type === "L") extended.set("path", textAt(content, 0, size));
      if (type === "K") extended.set("linkpath", textAt(content, 0, size));
      continue;
    }
    let left = size;
    yield {
      ...entryOf(head, extended),
      type,
      size,
      async *content() {
        for await (const part of bytes.read(left)) {
          left -= part.length;
          yield part;
        }
      },
    };
    for await (const part of bytes.read(left)) left -= part.length;
    await bytes.exactly(padding);
    extended = new Map();
  }
  await bytes.drain();
}

function entryOf(head: Uint8Array, extended: ReadonlyMap<string, string>): Omit<TarEntry, "type" | "size" | "content"> {
  const prefix = textAt(head, 257, 6, latin1) === "ustar" ? textAt(head, 345, 155) : "";
  const name = textAt(head, 0, 100);
  return {
    path: shorten(extended.get("path") ?? (prefix === "" ? name : `${prefix}/${name}`)),
    mode: numberAt(head, 100, 8) & 0o7777,
    uid: Number(extended.get("uid") ?? numberAt(head, 108, 8)),
    gid: Number(extended.get("gid") ?? numberAt(head, 116, 8)),
    modifiedAt: Number(extended.get("mtime") ?? numberAt(head, 136, 12)),
    target: extended.get("linkpath") ?? textAt(head, 157, 100),
  };
}
