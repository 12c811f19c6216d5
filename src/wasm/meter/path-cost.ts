import { shape } from "./opcodes.ts";
import { numberAt, skipNumber } from "./skip.ts";

/** Of code that cannot be come to. */
const dead = -(2 ** 40);

interface Block {
  readonly kind: number;
  /** The cost where it begins. */
  readonly from: number;
  /** The greatest cost of all ways that leave it by its label. */
  best: number;
  hasElse: boolean;
  /** Of a block with handlers: the depths of their labels, counted from outside. */
  readonly handlers: readonly number[];
}

/**
 * The cost of the dearest way from a function's beginning to each of its instructions, where ways back are not taken. What lies
 * between two instructions costs no more than the difference.
 */
export class PathCost {
  readonly #bytes: Uint8Array;
  readonly #blocks: Block[] = [];
  /** How many blocks with handlers are open: in them any instruction may be the last, so the cost never falls. */
  #tries = 0;
  #current = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get current(): number {
    return this.#current;
  }

  /** To be told the cost of what stands before each noted instruction, and then the instruction. */
  add(units: number): void {
    this.#current += units;
  }

  note(kind: number, at: number, operand: number): void {
    switch (kind) {
      case shape.block:
      case shape.loop:
      case shape.if:
      case shape.try:
      case shape.tryTable:
        this.#open(kind, at);
        return;
      case shape.else:
      case shape.catch:
      case shape.catchAll:
        this.#nextArm(kind);
        return;
      case shape.end:
      case shape.delegate:
        this.#close();
        return;
      case shape.branch:
        this.#branch(operand);
        this.#end();
        return;
      case shape.branchIf:
      case shape.branchOnNull:
        this.#branch(operand);
        return;
      case shape.branchTable:
        this.#branchTable(at, operand);
        this.#end();
        return;
      case shape.return:
      case shape.returnCall:
      case shape.returnCallIndirect:
      case shape.returnCallRef:
      case shape.throw:
      case shape.throwRef:
      case shape.rethrow:
        this.#end();
    }
  }

  #open(kind: number, at: number): void {
    const hasHandlers = kind === shape.try || kind === shape.tryTable;
    if (hasHandlers) this.#tries++;
    const handlers = kind === shape.tryTable ? this.#readHandlers(at) : [];
    this.#blocks.push({ kind, from: this.#current, best: dead, hasElse: false, handlers });
  }

  #readHandlers(at: number): number[] {
    const bytes = this.#bytes;
    const code = bytes[at + 1] ?? 0;
    let next = skipNumber(bytes, code === 0x63 || code === 0x64 ? at + 2 : at + 1);
    const labels: number[] = [];
    const count = numberAt(bytes, next);
    next = skipNumber(bytes, next);
    for (let left = count; left > 0; left--) {
      next = (bytes[next] ?? 0) < 2 ? skipNumber(bytes, next + 1) : next + 1;
      labels.push(numberAt(bytes, next));
      next = skipNumber(bytes, next);
    }
    return labels;
  }

  #nextArm(kind: number): void {
    const block = this.#blocks.at(-1);
    if (block === undefined) return;
    block.best = Math.max(block.best, this.#current);
    if (kind !== shape.else) return;
    block.hasElse = true;
    if (this.#tries === 0) this.#current = block.from;
  }

  #close(): void {
    const block = this.#blocks.pop();
    if (block === undefined) return;
    if (block.kind === shape.if && !block.hasElse) this.#current = Math.max(this.#current, block.from);
    this.#current = Math.max(this.#current, block.best);
    if (block.kind === shape.try || block.kind === shape.tryTable) this.#tries--;
    for (const label of block.handlers) this.#branch(label);
  }

  #branch(depth: number): void {
    const block = this.#blocks[this.#blocks.length - 1 - depth];
    // A loop's label is a way back, and the function's own leaves it.
    if (block !== undefined && block.kind !== shape.loop) block.best = Math.max(block.best, this.#current);
  }

  #branchTable(at: number, count: number): void {
    let from = skipNumber(this.#bytes, at + 1);
    for (let left = count; left >= 0; left--) {
      this.#branch(numberAt(this.#bytes, from));
      from = skipNumber(this.#bytes, from);
    }
  }

  /** Nothing goes on from here but what branches. */
  #end(): void {
    if (this.#tries === 0) this.#current = dead;
  }
}
