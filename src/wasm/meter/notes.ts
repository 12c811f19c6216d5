/**
 * What the scan notes of an instruction that the rewriter has to look at: its shape, where it begins and ends, its first
 * operand (a function's index, a label's depth, an opcode after a prefix), and the static cost of the function before it.
 */
export const noteStride = 5;

/** Notes, as plain numbers. */
export class Notes {
  values: Int32Array;
  length = 0;

  constructor(capacity: number) {
    this.values = new Int32Array(capacity);
  }

  push(kind: number, at: number, next: number, operand: number, cost: number): void {
    if (this.length + noteStride > this.values.length) this.#grow();
    const { values } = this;
    values[this.length] = kind;
    values[this.length + 1] = at;
    values[this.length + 2] = next;
    values[this.length + 3] = operand;
    values[this.length + 4] = cost;
    this.length += noteStride;
  }

  #grow(): void {
    const grown = new Int32Array(this.values.length * 2);
    grown.set(this.values);
    this.values = grown;
  }
}
