// A strict pull reader of JSON (RFC 8259) over UTF-8 bytes, for tools in AssemblyScript.
// A method that meets something else than it was asked for sets `problem` and answers empty; the caller
// looks at `problem` when it is done. Nesting is the caller's own: unknown values cannot be skipped.

export class JsonReader {
  problem: string = "";
  private at: i32 = 0;
  private isFirst: bool = true;

  constructor(private readonly bytes: Uint8Array) {}

  openObject(): bool {
    return this.open(0x7b /* { */, "an object");
  }

  openArray(): bool {
    return this.open(0x5b /* [ */, "an array");
  }

  /** The next field's name, whose value must be read next; null at the object's end and after a problem. */
  nextField(): string | null {
    if (!this.next(0x7d /* } */)) return null;
    const name = this.readString();
    this.skipSpace();
    if (this.problem.length == 0 && this.take() != 0x3a /* : */) this.fail("a colon is missing");
    return this.problem.length == 0 ? String.UTF8.decode(name.buffer) : null;
  }

  /** Whether a value of the array follows. */
  nextItem(): bool {
    return this.next(0x5d /* ] */);
  }

  /** The string's UTF-8 bytes, in a buffer of exactly their length. */
  readString(): Uint8Array {
    const none = new Uint8Array(0);
    this.skipSpace();
    if (this.take() != 0x22 /* " */) {
      this.fail("a string is missing");
      return none;
    }
    // Unescaping never makes a string longer.
    const end = this.stringEnd();
    if (end < 0) return none;
    const to = new Uint8Array(end - this.at);
    let length = 0;
    while (this.at < end) {
      const byte = this.take();
      if (byte != 0x5c /* \ */) {
        to[length++] = <u8>byte;
        continue;
      }
      const point = this.readEscape();
      if (point < 0) return none;
      length = putUtf8(to, length, point);
    }
    this.at = end + 1;
    const text = to.slice(0, length);
    if (!isUtf8(text)) this.fail("it is not UTF-8");
    return text;
  }

  /** A whole number from `low` to `high`. */
  readInteger(low: i32, high: i32): i32 {
    this.skipSpace();
    const start = this.at;
    let value: i64 = 0;
    while (this.at < this.bytes.length && this.at - start < 10 && isDigit(this.bytes[this.at])) value = value * 10 + (this.take() - 0x30);
    const isPadded = this.at - start > 1 && this.bytes[start] == 0x30;
    const isLonger = this.at < this.bytes.length && isNumberPart(this.bytes[this.at]);
    if (this.at == start || isPadded || isLonger || value < low || value > high) {
      this.fail("a number must be whole and from " + low.toString() + " to " + high.toString());
      return low;
    }
    return <i32>value;
  }

  /** Checks that nothing follows the value. */
  finish(): void {
    this.skipSpace();
    if (this.at < this.bytes.length) this.fail("something follows the JSON");
  }

  fail(problem: string): void {
    if (this.problem.length == 0) this.problem = problem;
  }

  private open(bracket: i32, what: string): bool {
    this.skipSpace();
    if (this.take() != bracket) this.fail(what + " is missing");
    this.isFirst = true;
    return this.problem.length == 0;
  }

  private next(end: i32): bool {
    if (this.problem.length > 0) return false;
    this.skipSpace();
    const isFirst = this.isFirst;
    this.isFirst = false;
    if (this.peek() == end) {
      this.at++;
      return false;
    }
    if (!isFirst && this.take() != 0x2c /* , */) {
      this.fail("a comma is missing");
      return false;
    }
    return true;
  }

  /** The index of the closing quote of the string that starts here; -1 where there is none. */
  private stringEnd(): i32 {
    for (let i = this.at; i < this.bytes.length; i++) {
      const byte = this.bytes[i];
      if (byte == 0x22) return i;
      if (byte == 0x5c) i++;
      else if (byte < 0x20) break;
    }
    this.fail("a string does not end");
    return -1;
  }

  /** The code point after a backslash; -1 for a malformed one and for half a surrogate pair. */
  private readEscape(): i32 {
    switch (this.take()) {
      case 0x22: return 0x22;
      case 0x5c: return 0x5c;
      case 0x2f: return 0x2f;
      case 0x62: return 0x08;
      case 0x66: return 0x0c;
      case 0x6e: return 0x0a;
      case 0x72: return 0x0d;
      case 0x74: return 0x09;
      case 0x75: return this.readCodePoint();
      default:
        this.fail("a string has an unknown escape");
        return -1;
    }
  }

  private readCodePoint(): i32 {
    const high = this.readUnit();
    if (high < 0xd800 || high > 0xdfff) return high;
    if (high <= 0xdbff && this.take() == 0x5c && this.take() == 0x75) {
      const low = this.readUnit();
      if (low >= 0xdc00 && low <= 0xdfff) return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    }
    this.fail("a string has half a surrogate pair");
    return -1;
  }

  private readUnit(): i32 {
    let unit = 0;
    for (let i = 0; i < 4; i++) {
      const digit = hexDigit(this.take());
      if (digit < 0) {
        this.fail("a string has an unknown escape");
        return -1;
      }
      unit = (unit << 4) | digit;
    }
    return unit;
  }

  private skipSpace(): void {
    while (this.at < this.bytes.length) {
      const byte = this.bytes[this.at];
      if (byte != 0x20 && byte != 0x0a && byte != 0x0d && byte != 0x09) return;
      this.at++;
    }
  }

  private peek(): i32 {
    return this.at < this.bytes.length ? this.bytes[this.at] : -1;
  }

  private take(): i32 {
    return this.at < this.bytes.length ? this.bytes[this.at++] : -1;
  }
}

export function hexDigit(byte: i32): i32 {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1;
}

/** RFC 3629: no overlong forms, no surrogates, nothing beyond U+10FFFF. */
export function isUtf8(bytes: Uint8Array): bool {
  let i = 0;
  while (i < bytes.length) {
    const first = bytes[i];
    if (first < 0x80) {
      i++;
      continue;
    }
    let low: u8 = 0x80;
    let high: u8 = 0xbf;
    let more = 0;
    if (first >= 0xc2 && first <= 0xdf) more = 1;
    else if (first >= 0xe0 && first <= 0xef) more = 2;
    else if (first >= 0xf0 && first <= 0xf4) more = 3;
    else return false;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
    if (bytes.length - i <= more || bytes[i + 1] < low || bytes[i + 1] > high) return false;
    for (let k = 2; k <= more; k++) {
      if (bytes[i + k] < 0x80 || bytes[i + k] > 0xbf) return false;
    }
    i += more + 1;
  }
  return true;
}

function isDigit(byte: u8): bool {
  return byte >= 0x30 && byte <= 0x39;
}

function isNumberPart(byte: u8): bool {
  return isDigit(byte) || byte == 0x2e || byte == 0x65 || byte == 0x45;
}

function putUtf8(to: Uint8Array, at: i32, point: i32): i32 {
  if (point < 0x80) {
    to[at++] = <u8>point;
  } else if (point < 0x800) {
    to[at++] = <u8>(0xc0 | (point >> 6));
    to[at++] = <u8>(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    to[at++] = <u8>(0xe0 | (point >> 12));
    to[at++] = <u8>(0x80 | ((point >> 6) & 0x3f));
    to[at++] = <u8>(0x80 | (point & 0x3f));
  } else {
    to[at++] = <u8>(0xf0 | (point >> 18));
    to[at++] = <u8>(0x80 | ((point >> 12) & 0x3f));
    to[at++] = <u8>(0x80 | ((point >> 6) & 0x3f));
    to[at++] = <u8>(0x80 | (point & 0x3f));
  }
  return at;
}
