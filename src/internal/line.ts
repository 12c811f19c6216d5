/** One who stands in a {@link Line}. */
export interface Spot<T> {
  readonly value: T;
  previous: Spot<T> | undefined;
  next: Spot<T> | undefined;
}

/** First come, first served; whoever gives up leaves from the middle. Each step takes the same time however long it is. */
export class Line<T> {
  #first: Spot<T> | undefined;
  #last: Spot<T> | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(value: T): Spot<T> {
    const spot: Spot<T> = { value, previous: this.#last, next: undefined };
    if (this.#last === undefined) this.#first = spot;
    else this.#last.next = spot;
    this.#last = spot;
    this.#length++;
    return spot;
  }

  /** Takes whoever came first. */
  shift(): T | undefined {
    const spot = this.#first;
    if (spot === undefined) return undefined;
    this.remove(spot);
    return spot.value;
  }

  /** To be called once for a spot that is still in the line. */
  remove(spot: Spot<T>): void {
    const { previous, next } = spot;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    spot.previous = spot.next = undefined;
    this.#length--;
  }
}
