import { ToolRuntimeError } from "../errors.ts";

/** One part of a multipart body. Its content must be read, or let go, before the next part is asked for. */
export interface Part {
  readonly name: string;
  readonly filename: string | undefined;
  readonly content: ReadableStream<Uint8Array>;
}

export interface MultipartLimits {
  readonly maxParts: number;
  /** Header lines of one part, in bytes. */
  readonly maxHeaderBytes: number;
}

const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true });
const CR = 13;

function malformed(problem: string): ToolRuntimeError {
  return new ToolRuntimeError("ERR_INPUT_INVALID", `Cannot read the multipart body: ${problem}`, { details: { problem } });
}

/** The boundary of a Content-Type (RFC 2046 §5.1.1). @throws `ERR_INPUT_INVALID`. */
export function boundaryOf(contentType: string): string {
  const match = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))\s*(?:;|$)/i.exec(contentType);
  const boundary = match?.[1] ?? match?.[2];
  if (boundary === undefined || !/^[0-9A-Za-z'()+_,\-./:=? ]*[0-9A-Za-z'()+_,\-./:=?]$/.test(boundary)) {
    throw malformed("its Content-Type has no good boundary");
  }
  return boundary;
}

/**
 * Reads a `multipart/form-data` body (RFC 7578) as it comes; nothing is held but the bytes that may be the start of a
 * boundary.
 *
 * @throws `ERR_INPUT_INVALID`, `ERR_INPUT_TOO_LARGE`.
 */
export async function* readMultipart(body: ReadableStream<Uint8Array>, boundary: string, limits: MultipartLimits): AsyncGenerator<Part> {
  const source = new Source(body, encoder.encode(`\r\n--${boundary}`));
  try {
    await source.skipPreamble();
    for (let count = 0; !(await source.atEnd()); count++) {
      if (count >= limits.maxParts) {
        throw new ToolRuntimeError("ERR_INPUT_TOO_LARGE", `Cannot take the multipart body: it has more than ${limits.maxParts} parts`, {
          details: { maxParts: limits.maxParts },
        });
      }
      const { name, filename } = parseHeaders(await source.headers(limits.maxHeaderBytes));
      const content = source.content();
      yield { name, filename, content };
      await source.finishPart();
    }
    await source.drain();
  } finally {
    await source.close();
  }
}

function parseHeaders(block: Uint8Array): { readonly name: string; readonly filename: string | undefined } {
  let text: string;
  try {
    text = strict.decode(block);
  } catch {
    throw malformed("the header of a part is not UTF-8");
  }
  const dispositions = text.split("\r\n").filter((line) => /^content-disposition\s*:/i.test(line));
  const [line, ...others] = dispositions;
  if (line === undefined || others.length > 0) throw malformed("a part must have one Content-Disposition");
  if (!/^content-disposition\s*:\s*form-data\s*;/i.test(line)) throw malformed("the Content-Disposition of a part is not form-data");
  const name = parameterOf(line, "name");
  if (name === undefined) throw malformed("a part has no name");
  return { name, filename: parameterOf(line, "filename") };
}

/** Browsers and fetch write `"`, CR and LF as `%22`, `%0D`, `%0A` and leave all else as it is (HTML, §4.10.21.8). */
function parameterOf(line: string, parameter: string): string | undefined {
  const raw = new RegExp(`;\\s*${parameter}="([^"]*)"`, "i").exec(line)?.[1];
  return raw?.replace(/%22|%0D|%0A/gi, (escape) => String.fromCharCode(Number.parseInt(escape.slice(1), 16)));
}

/** The body as a buffer that is refilled and searched for the delimiter. */
class Source {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #delimiter: Uint8Array;
  /** The first boundary stands at the start, as if a line had ended before it. */
  #buffer: Uint8Array = encoder.encode("\r\n");
  #isInPart = false;

  constructor(body: ReadableStream<Uint8Array>, delimiter: Uint8Array) {
    this.#reader = body.getReader();
    this.#delimiter = delimiter;
  }

  async #fill(): Promise<void> {
    const { done, value } = await this.#reader.read();
    if (done) throw malformed("it ends before its last boundary");
    if (this.#buffer.length === 0) {
      this.#buffer = value;
      return;
    }
    const joined = new Uint8Array(this.#buffer.length + value.length);
    joined.set(this.#buffer);
    joined.set(value, this.#buffer.length);
    this.#buffer = joined;
  }

  async #need(count: number): Promise<void> {
    while (this.#buffer.length < count) await this.#fill();
  }

  #take(count: number): Uint8Array {
    const taken = this.#buffer.subarray(0, count);
    this.#buffer = this.#buffer.subarray(count);
    return taken;
  }

  /** Gives what is surely content, and nothing where the delimiter came; that is then taken too. */
  async #next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const at = indexOf(this.#buffer, this.#delimiter);
      if (at > 0) return this.#take(at);
      if (at === 0) {
        this.#take(this.#delimiter.length);
        this.#isInPart = false;
        return undefined;
      }
      const safe = this.#buffer.length - this.#delimiter.length + 1;
      if (safe > 0) return this.#take(safe);
      await this.#fill();
    }
  }

  async skipPreamble(): Promise<void> {
    while ((await this.#next()) !== undefined);
  }

  /** After a delimiter: `--` ends the body, blanks and a line end start a part. */
  async atEnd(): Promise<boolean> {
    await this.#need(2);
    if (this.#buffer[0] === 45 && this.#buffer[1] === 45) return true;
    for (let padding = 0; this.#buffer[0] === 32 || this.#buffer[0] === 9; padding++) {
      if (padding > 64) throw malformed("a boundary is followed by blanks without end");
      this.#take(1);
      await this.#need(2);
    }
    if (this.#buffer[0] !== CR || this.#buffer[1] !== 10) throw malformed("a boundary is followed by something else");
    return false;
  }

  /** The lines from the boundary's end to the empty line. */
  async headers(maxBytes: number): Promise<Uint8Array> {
    for (let from = 0; ;) {
      const at = indexOf(this.#buffer, headerEnd, from);
      if (at > maxBytes || (at === -1 && this.#buffer.length > maxBytes)) {
        throw new ToolRuntimeError("ERR_INPUT_TOO_LARGE", `Cannot take the multipart body: the header of a part is over ${maxBytes} bytes`);
      }
      if (at !== -1) {
        const block = this.#take(at);
        // The last line end is left where it is: an empty part's delimiter begins with it.
        this.#take(2);
        return block.subarray(Math.min(2, block.length));
      }
      from = Math.max(0, this.#buffer.length - headerEnd.length);
      await this.#fill();
    }
  }

  content(): ReadableStream<Uint8Array> {
    this.#isInPart = true;
    let isFirst = true;
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          if (isFirst) await this.#openContent();
          isFirst = false;
          const chunk = this.#isInPart ? await this.#next() : undefined;
          if (chunk === undefined) controller.close();
          else controller.enqueue(chunk);
        },
      },
      { highWaterMark: 0 },
    );
  }

  /** Takes the line end that ends the headers, unless the delimiter begins with it. */
  async #openContent(): Promise<void> {
    await this.#need(2);
    while (this.#buffer.length < this.#delimiter.length && startsLike(this.#buffer, this.#delimiter)) await this.#fill();
    if (indexOf(this.#buffer, this.#delimiter) !== 0) this.#take(2);
  }

  /** Whatever of a part was not read is skipped. */
  async finishPart(): Promise<void> {
    if (this.#isInPart) throw malformed("a part was not read");
  }

  /** The epilogue is read and left aside. */
  async drain(): Promise<void> {
    while (!(await this.#reader.read()).done);
  }

  async close(): Promise<void> {
    await this.#reader.cancel().catch(() => undefined);
  }
}

const headerEnd = encoder.encode("\r\n\r\n");

function startsLike(bytes: Uint8Array, pattern: Uint8Array): boolean {
  for (let index = 0; index < bytes.length && index < pattern.length; index++) if (bytes[index] !== pattern[index]) return false;
  return true;
}

/** Where a pattern that starts with CR first stands, or -1. */
function indexOf(bytes: Uint8Array, pattern: Uint8Array, from = 0): number {
  for (let at = bytes.indexOf(CR, from); at !== -1 && at + pattern.length <= bytes.length; at = bytes.indexOf(CR, at + 1)) {
    let matched = 1;
    while (matched < pattern.length && bytes[at + matched] === pattern[matched]) matched++;
    if (matched === pattern.length) return at;
  }
  return -1;
}
