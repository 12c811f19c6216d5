import { costs } from "../../src/wasm/meter/opcodes.ts";
import type { Choices } from "./choices.ts";
import { Bytes, isTyped, typeIndexOf, writeType, type FunctionType, type ValueType } from "./encoding.ts";
import type { Plan } from "./plan.ts";

/** The most that a frame of a function may have paid for iterations that it has not begun. */
export const mostCredit = 8192;

/** The most that may be charged for turns of a loop that counts when it is left before they are made, or one turn's cost. */
const mostAhead = 256;

export interface Label {
  readonly kind: "function" | "block" | "loop" | "if" | "try" | "catch";
  /** What a branch to it takes. */
  readonly types: readonly ValueType[];
  /** What its frame leaves on the stack. */
  readonly results: readonly ValueType[];
  /** Whether any branch may go there. Not so for a loop that would not end then. */
  readonly isOpen: boolean;
}

/** How the parts of the grammar ask for each other. */
export interface Grammar {
  /** Writes instructions that leave one value of a type. */
  readonly expression: (body: Body, type: ValueType) => void;
  /** Writes instructions that leave nothing. */
  readonly statement: (body: Body) => void;
  /** Writes instructions after which nothing is reached, and perhaps some of that. */
  readonly ending: (body: Body) => void;
}

/** Instructions after which another place may be next, or which another place may come to. */
const leaves: ReadonlySet<number> = new Set([
  0x00, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x18, 0x19,
  0x1f, 0xd5, 0xd6,
]);

/** A number of five bytes, to be set later. */
const paddedZero = [0x80, 0x80, 0x80, 0x80, 0] as const;

function setPadded(out: number[], at: number, value: number): void {
  const bits = value < 0 ? value + 2 ** 35 : value;
  for (let byte = 0; byte < 5; byte++) out[at + byte] = (Math.floor(bits / 128 ** byte) % 128) | (byte < 4 ? 0x80 : 0);
}

/** Units that these cost at most: a call with what a caller may pay for the function called, a throw with what a frame had paid before. */
const mostUnits: ReadonlyMap<number, number> = new Map([
  [0xfd, 8],
  ...[0x10, 0x11, 0x12, 0x13, 0x14, 0x15].map((call) => [call, 300] as const),
  ...[0x08, 0x09, 0x0a].map((exception) => [exception, 300 + mostCredit] as const),
]);
/** What is charged for entering a region, with the instrumentation at its end. */
const mostUnitsOfRegion = 8;

const openers = { block: 0x02, loop: 0x03, if: 0x04, try: 0x06 } as const;

export interface BodyOptions {
  readonly type: FunctionType;
  readonly index?: number;
  readonly grammar: Grammar;
  /** How many parts the function may have. */
  readonly budget: number;
}

/** One function's code in the making. */
export class Body {
  readonly plan: Plan;
  readonly choices: Choices;
  readonly type: FunctionType;
  /** Of the function among all of the module's, where it can be called. */
  readonly index: number | undefined;
  readonly grammar: Grammar;
  readonly code = new Bytes();
  readonly locals: ValueType[];
  /** The innermost last. */
  readonly labels: Label[];
  /** Locals that are not written, because a loop counts with them. */
  readonly pinned = new Set<number>();
  readonly #hidden = new Map<ValueType, number>();
  /** How many more parts this function may have. */
  budget: number;
  #depth = 0;
  /** The cost of the instructions since those that were counted last. */
  #uncounted = 0;
  #isAhead = false;
  /** The units that all instructions until here may cost. */
  #most = 0;
  /** Loops around this place. */
  loops = 0;

  constructor(plan: Plan, { type, index, grammar, budget }: BodyOptions) {
    this.plan = plan;
    this.index = index;
    this.choices = plan.choices;
    this.type = type;
    this.grammar = grammar;
    this.budget = budget;
    this.locals = [...type.params];
    this.labels = [{ kind: "function", types: type.results, results: type.results, isOpen: true }];
  }

  /** An instruction. */
  op(opcode: number, ...rest: readonly number[]): this {
    this.#uncounted += costs[opcode] ?? 0;
    if (leaves.has(opcode)) this.#count();
    this.#most += mostUnits.get(opcode) ?? costs[opcode] ?? 0;
    this.code.raw(opcode, ...rest);
    return this;
  }

  /**
   * Adds to the global `most`, whenever this place is reached, what all that is written inside may cost, reached or not.
   * What is given is called first, and may take as much away where control comes to this place from before.
   */
  region(inside: () => void, before: (place: (less: number) => void) => void = () => {}): void {
    if (!this.plan.isBounded) {
      before(() => {});
      return inside();
    }
    const { out } = this.code;
    const places: { readonly at: number; readonly less: number }[] = [];
    const add = (sign: 0x7c | 0x7d, less: number): void => {
      this.code.raw(0x23).u32(this.plan.most).raw(0x42);
      places.push({ at: out.length, less });
      this.code.raw(...paddedZero, sign, 0x24).u32(this.plan.most);
      this.#most += 4;
    };
    before((less) => add(0x7d, less));
    const start = this.#most;
    add(0x7c, 0);
    inside();
    // Locals are set to zero where a function begins.
    const units = this.#most - start + mostUnitsOfRegion + this.locals.length;
    for (const { at, less } of places) setPadded(out, at, less === 0 ? units : units - Math.max(less, units));
    this.#most = start + units;
  }

  /**
   * Adds to the global `work` the cost of what has been written since that was done last: where control comes or goes, so that
   * the global never has more than what was executed. What a trap cuts off is missing.
   */
  #count(): void {
    if (this.#uncounted === 0 || this.#isAhead || !this.plan.isInstrumented) return;
    const { work } = this.plan;
    this.#most += 4;
    this.code
      .raw(0x23)
      .u32(work)
      .raw(0x42)
      .s64(BigInt(this.#uncounted + 4))
      .raw(0x7c, 0x24)
      .u32(work);
    this.#uncounted = 0;
  }

  /** Counts what is written inside before it, so that its instructions stand together. Nothing of it may trap. */
  ahead(inside: () => void): void {
    if (!this.plan.isInstrumented) return inside();
    const { out } = this.code.raw(0x23).u32(this.plan.work).raw(0x42);
    const at = out.length;
    this.code.raw(...paddedZero, 0x7c, 0x24).u32(this.plan.work);
    this.#most += 4;
    this.#isAhead = true;
    inside();
    this.#isAhead = false;
    setPadded(out, at, this.#uncounted + 4);
    this.#uncounted = 0;
  }

  /** An instruction with indexes. */
  at(opcode: number | readonly [prefix: number, opcode: number], ...indexes: readonly number[]): this {
    if (typeof opcode === "number") this.op(opcode);
    else this.op(...opcode);
    return this.indexes(...indexes);
  }

  /** More of an instruction. */
  indexes(...indexes: readonly number[]): this {
    for (const index of indexes) this.code.u32(index, this.plan.isPadded && this.choices.once(8) ? this.choices.between(1, 4) : 0);
    return this;
  }

  /** More of an instruction. */
  raw(...bytes: readonly number[]): this {
    this.code.raw(...bytes);
    return this;
  }

  i32(value: number): this {
    this.op(0x41).code.s32(value);
    return this;
  }

  i64(value: bigint): this {
    this.op(0x42).code.s64(value);
    return this;
  }

  /** Zero, or a null reference. */
  zero(type: ValueType): void {
    if (type === "i32") this.i32(0);
    else if (type === "i64") this.i64(0n);
    else if (type === "f32") this.op(0x43, 0, 0, 0, 0);
    else if (type === "f64") this.op(0x44, 0, 0, 0, 0, 0, 0, 0, 0);
    else if (type === "v128") this.op(0xfd, 12, ...Array.from({ length: 16 }, () => 0));
    else this.null(type);
  }

  null(type: ValueType): void {
    if (!isTyped(type)) this.op(0xd0, type === "funcref" ? 0x70 : type === "externref" ? 0x6f : 0x69);
    else this.op(0xd0).code.s32(typeIndexOf(type));
    if (type.startsWith("own ")) this.op(0xd4);
  }

  get isSpent(): boolean {
    return this.budget <= 0 || this.#depth > 12;
  }

  expression(type: ValueType): void {
    this.budget--;
    this.#depth++;
    this.grammar.expression(this, type);
    this.#depth--;
  }

  statement(): void {
    this.budget--;
    this.#depth++;
    this.grammar.statement(this);
    this.#depth--;
  }

  values(types: readonly ValueType[]): void {
    for (const type of types) this.expression(type);
  }

  /** Some statements, and then these values or something after which nothing is reached. */
  sequence(results: readonly ValueType[], statements = this.choices.below(4)): void {
    for (let left = statements; left > 0 && !this.isSpent; left--) this.statement();
    if (this.choices.once(5) && !this.isSpent) this.grammar.ending(this);
    else this.values(results);
  }

  /** Takes the values of these types off the stack, the last first. */
  consume(types: readonly ValueType[]): void {
    for (const type of types.toReversed()) {
      if (this.choices.once(2)) this.at(0x21, this.writableLocal(type));
      else this.op(0x1a);
    }
  }

  blockType(params: readonly ValueType[], results: readonly ValueType[]): void {
    // A block that moves values costs for each.
    this.#most += params.length + results.length;
    const [only] = results;
    if (params.length === 0 && only === undefined) this.raw(0x40);
    else if (params.length === 0 && results.length === 1 && only !== undefined && (!isInTypes(only) || this.choices.mostly(6))) {
      writeType(this.code, only);
    } else this.code.s32(this.plan.types.index(params, results));
  }

  /** A frame of control, whose parameters are on the stack. */
  frame(kind: keyof typeof openers, type: FunctionType, inside: (label: Label) => void, { isOpen = true, isCounted = false } = {}): void {
    const label: Label = { kind, types: kind === "loop" ? type.params : type.results, results: type.results, isOpen };
    const open = (): void => {
      this.op(openers[kind]);
      this.blockType(type.params, type.results);
    };
    const fill = (): void => this.within(label, () => inside(label));
    if (kind === "loop") {
      // The first turn is part of what is around the loop.
      this.region(fill, (takeAway) => {
        takeAway(isCounted ? mostAhead : 0);
        open();
      });
    } else {
      open();
      fill();
    }
    this.op(0x0b);
  }

  within(label: Label, inside: () => void): void {
    this.labels.push(label);
    if (label.kind === "loop") this.loops++;
    inside();
    if (label.kind === "loop") this.loops--;
    this.labels.pop();
  }

  /** How many frames out a label is. */
  depthOf(label: Label): number {
    return this.labels.length - 1 - this.labels.lastIndexOf(label);
  }

  branch(opcode: number, label: Label): void {
    this.at(opcode, this.depthOf(label));
  }

  /** Labels that any branch may go to, and that take these types. */
  openLabels(types?: readonly ValueType[]): Label[] {
    return this.labels.filter((label) => label.isOpen && (types === undefined || isSame(label.types, types)));
  }

  freshLocal(type: ValueType): number {
    this.locals.push(type);
    return this.locals.length - 1;
  }

  /** A local that nothing but what asks for it here uses. */
  hiddenLocal(type: ValueType): number {
    const known = this.#hidden.get(type);
    if (known !== undefined) return known;
    const local = this.freshLocal(type);
    this.#hidden.set(type, local);
    return local;
  }

  /** A local that has this type, or a fresh one. */
  readableLocal(type: ValueType): number {
    const hidden = this.#hidden.get(type);
    const found = this.locals.flatMap((one, index) => (one === type && index !== hidden ? [index] : []));
    return found.length === 0 ? this.freshLocal(type) : this.choices.pick(found);
  }

  writableLocal(type: ValueType): number {
    const hidden = this.#hidden.get(type);
    const found = this.locals.flatMap((one, index) => (one === type && index !== hidden && !this.pinned.has(index) ? [index] : []));
    return found.length === 0 || (found.length < 3 && this.choices.once(4)) ? this.freshLocal(type) : this.choices.pick(found);
  }

  globals(type: ValueType, use: "read" | "write"): number[] {
    return this.plan.globals.flatMap((one, index) => {
      return one.type === type && (use === "read" || (one.isMutable && !one.isReserved)) ? [index] : [];
    });
  }

  /** Takes steps off those that the module may make. Where too few are left: `leave`, or a trap. */
  countDown(leave: () => void, steps = 1): void {
    const { options, atLastStep } = this.plan;
    if (options.ends === "maybe never") return;
    this.at(0x23, this.plan.steps).i32(steps).op(0x49);
    this.frame("if", { params: [], results: [] }, () => {
      if (atLastStep === "trap") this.op(0x00);
      else leave();
    });
    this.at(0x23, this.plan.steps).i32(steps).op(0x6b).at(0x24, this.plan.steps);
  }

  /** Leaves the function with zeros. */
  leave(): void {
    for (const type of this.type.results) this.zero(type);
    this.op(0x0f);
  }
}

/** Whether a module's type section has functions over it. The policy refuses some. */
function isInTypes(type: ValueType): boolean {
  return !isTyped(type) && type !== "exnref";
}

export function isSame(a: readonly ValueType[], b: readonly ValueType[]): boolean {
  return a.length === b.length && a.every((type, index) => type === b[index]);
}
