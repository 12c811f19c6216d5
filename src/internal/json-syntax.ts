/**
 * Where a text stops being JSON (RFC 8259): the index of the first character that no JSON text could have there, or the text's
 * length where it is only too short. Nothing where it is JSON. Engines say it in words of their own, or not at all.
 */
export function jsonErrorAt(text: string): number | undefined {
  const scanner = new Scanner(text);
  const open: number[] = [];
  let expected: Expected = "value";
  for (;;) {
    scanner.skipSpace();
    const code = scanner.code;
    if (expected === "key" || expected === "key or end") {
      if (expected === "key or end" && code === closeBrace) {
        expected = "comma or end";
        continue;
      }
      if (!scanner.takeString()) return scanner.at;
      scanner.skipSpace();
      if (!scanner.take(colon)) return scanner.at;
      expected = "value";
    } else if (expected === "comma or end") {
      const closing = open.at(-1);
      if (closing === undefined) return scanner.at === text.length ? undefined : scanner.at;
      if (scanner.take(closing)) open.pop();
      else if (scanner.take(comma)) expected = closing === closeBrace ? "key" : "value";
      else return scanner.at;
    } else if (expected === "value or end" && code === closeBracket) {
      expected = "comma or end";
    } else if (scanner.take(openBrace)) {
      open.push(closeBrace);
      expected = "key or end";
    } else if (scanner.take(openBracket)) {
      open.push(closeBracket);
      expected = "value or end";
    } else {
      if (!scanner.takeScalar()) return scanner.at;
      expected = "comma or end";
    }
  }
}

type Expected = "value" | "value or end" | "key" | "key or end" | "comma or end";

const [openBrace, closeBrace, openBracket, closeBracket] = [0x7b, 0x7d, 0x5b, 0x5d];
const [colon, comma, quote, backslash, minus, plus, dot] = [0x3a, 0x2c, 0x22, 0x5c, 0x2d, 0x2b, 0x2e];
const [zero, lowerE, upperE, lowerU] = [0x30, 0x65, 0x45, 0x75];
const spaces: ReadonlySet<number> = new Set([0x20, 0x09, 0x0a, 0x0d]);
const escapes: ReadonlySet<number> = new Set([...'"\\/bfnrt'].map((char) => char.charCodeAt(0)));
const literals = ["true", "false", "null"];

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function isHexDigit(code: number): boolean {
  return isDigit(code) || (code >= 0x41 && code <= 0x46) || (code >= 0x61 && code <= 0x66);
}

/** Goes through a text. What cannot take what it should leaves `at` where the text is wrong. */
class Scanner {
  at = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The character here; `NaN` at the end. */
  get code(): number {
    return this.#text.charCodeAt(this.at);
  }

  take(code: number): boolean {
    if (this.code !== code) return false;
    this.at++;
    return true;
  }

  skipSpace(): void {
    while (spaces.has(this.code)) this.at++;
  }

  takeScalar(): boolean {
    const { code } = this;
    if (code === quote) return this.takeString();
    if (code === minus || isDigit(code)) return this.#takeNumber();
    const literal = literals.find((word) => word.charCodeAt(0) === code);
    if (literal === undefined) return false;
    return [...literal].every((char) => this.take(char.charCodeAt(0)));
  }

  takeString(): boolean {
    if (!this.take(quote)) return false;
    for (;;) {
      const { code } = this;
      if (code === quote) break;
      if (code === backslash) {
        this.at++;
        if (!this.#takeEscape()) return false;
      } else if (code >= 0x20) {
        this.at++;
      } else {
        return false;
      }
    }
    this.at++;
    return true;
  }

  #takeEscape(): boolean {
    if (!this.take(lowerU)) {
      if (!escapes.has(this.code)) return false;
      this.at++;
      return true;
    }
    for (let left = 4; left > 0; left--, this.at++) if (!isHexDigit(this.code)) return false;
    return true;
  }

  #takeNumber(): boolean {
    this.take(minus);
    if (!this.take(zero) && !this.#takeDigits()) return false;
    if (this.take(dot) && !this.#takeDigits()) return false;
    if (!this.take(lowerE) && !this.take(upperE)) return true;
    if (!this.take(plus)) this.take(minus);
    return this.#takeDigits();
  }

  #takeDigits(): boolean {
    if (!isDigit(this.code)) return false;
    while (isDigit(this.code)) this.at++;
    return true;
  }
}
