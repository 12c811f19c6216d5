/**
 * The decisions of a generator, each a number below a bound. They come from a seed and are kept, so that a failing module
 * can be had again from its decisions and made smaller by taking some of them away: where none is left, the answer is 0,
 * and 0 is everywhere the plainest choice.
 */
export class Choices {
  readonly #replayed: readonly number[] | undefined;
  readonly made: number[] = [];
  #state: number;

  constructor(source: number | readonly number[]) {
    this.#replayed = typeof source === "number" ? undefined : source;
    this.#state = typeof source === "number" ? source : 0;
  }

  /** At least 0 and less than `bound`, which is at most 2^32. */
  below(bound: number): number {
    const value = this.#replayed === undefined ? this.#random() % bound : (this.#replayed[this.made.length] ?? 0) % bound;
    this.made.push(value);
    return value;
  }

  /** True once in so many times. */
  once(inTimes: number): boolean {
    return this.below(inTimes) === inTimes - 1;
  }

  /** False once in so many times. */
  mostly(ofTimes: number): boolean {
    return !this.once(ofTimes);
  }

  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  pick<const T>(from: readonly T[]): T {
    for (const one of from.slice(this.below(Math.max(1, from.length)))) return one;
    throw new RangeError("nothing to pick from");
  }

  /** Mulberry32. */
  #random(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }
}
