/** Makes a value once per key, however many ask at once, and keeps what was used last up to a weight in bytes. */
export class WeightedCache<V extends { readonly weight: number }> {
  readonly #ready = new Map<string, V>();
  readonly #making = new Map<string, Promise<V>>();
  readonly #maxWeight: number;
  #weight = 0;

  constructor(maxWeight: number) {
    this.#maxWeight = maxWeight;
  }

  /** What is there, without making anything. Counts as use. */
  peek(key: string): V | undefined {
    const ready = this.#ready.get(key);
    if (ready === undefined) return undefined;
    this.#ready.delete(key);
    this.#ready.set(key, ready);
    return ready;
  }

  /** A value that failed to be made is not kept: the next one who asks tries again. */
  get(key: string, make: () => Promise<V>): Promise<V> {
    const ready = this.peek(key);
    if (ready !== undefined) return Promise.resolve(ready);
    const known = this.#making.get(key);
    if (known !== undefined) return known;
    const making = make()
      .then((value) => this.#keep(key, value))
      .finally(() => this.#making.delete(key));
    this.#making.set(key, making);
    return making;
  }

  #keep(key: string, value: V): V {
    this.#ready.set(key, value);
    this.#weight += value.weight;
    for (const [oldest, old] of this.#ready) {
      if (this.#weight <= this.#maxWeight || oldest === key) break;
      this.#ready.delete(oldest);
      this.#weight -= old.weight;
    }
    return value;
  }

  clear(): void {
    this.#ready.clear();
    this.#weight = 0;
  }
}
