/** A generator of numbers, texts and choices that are the same wherever and whenever it runs. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** A whole number below another. Mulberry32. */
  below(end: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % end;
  }

  chance(of: number): boolean {
    return this.below(of) === 0;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new RangeError("there is nothing to pick from");
    return item;
  }

  times<T>(most: number, make: (index: number) => T): T[] {
    return Array.from({ length: this.below(most + 1) }, (_, index) => make(index));
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }

  word(): string {
    return this.pick(words);
  }

  /** Words and what is hard about text, with line feeds. */
  text(most: number): string {
    return this.times(most, () => this.word() + this.pick([" ", " ", " ", ", ", ".\n", "\n", "\n\n", "\t"])).join("");
  }

  number(): number {
    return this.pick([
      () => this.below(1000),
      () => -this.below(100_000),
      () => this.below(2 ** 31) / 997,
      () => this.below(2 ** 31) * 1e15,
      () => this.below(2 ** 31) * 1e-17,
      () => this.pick(oddNumbers),
    ])();
  }

  /** A JSON value, at most so deep. */
  json(depth: number): unknown {
    if (depth === 0 || this.chance(3)) {
      return this.pick([() => this.number(), () => this.word(), () => this.text(5), () => this.chance(2), () => null])();
    }
    if (this.chance(2)) return this.times(5, () => this.json(depth - 1));
    return Object.fromEntries(this.times(5, (index) => [this.chance(3) ? this.word() : `key${index}`, this.json(depth - 1)]));
  }
}

const oddNumbers = [0, -0, 0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 2 ** 53, -(2 ** 53) - 2, 1e21, 1e-7, 123456789012345680000];

const words = [
  "tea", "sea", "calm", "wide", "ship", "the", "and", "of", "naïve", "Änderung", "日本語", "Ωmega", "é", "e\u0301", "😀", "👩‍👩‍👧",
  "a\u0000b", "\u2028", "\ufeff", "\ud800", "quote\"d", "back\\slash", "<b>bold</b>", "&amp;", "# head", "* item", "`code`", "[link](https://example.org)",
  "1.5", "007", "-3e4", "x".repeat(300), "ﬁ", "ß", "İ", "ǅ", "ع", "\u202e",
]; // oxfmt-ignore
