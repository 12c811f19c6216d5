import { constant, op } from "./helpers.ts";
import { oneByte, shape } from "./opcodes.ts";
import { numberAt, skipImmediates, skipNumber } from "./skip.ts";
import type { Writer } from "./writer.ts";

/**
 * A loop that ends with `i += step; continue if i != bound`, where nothing else in it changes `i` or the bound: the number
 * of its iterations is known when it begins.
 */
export interface CountedLoop {
  /** The local `i`. */
  readonly counter: number;
  readonly step: number;
  readonly bound: Operand;
  /** Where the bound stands in the test; an empty range before the branch where the test is `i` itself, that is `i != 0`. */
  readonly boundAt: number;
  readonly boundEnd: number;
  /** Whether something else than its test leaves it. */
  readonly hasExits: boolean;
}

export interface Operand {
  readonly kind: "local" | "constant";
  readonly value: number;
}

/** So that no counter comes round the whole of 32 bits inside one piece. */
const maxStep = 65_536;
/** Charged at once, at most, in units: what a trap charges beyond what was run; less where the loop can be left early. */
const pieceUnits = 4096;
const pieceUnitsWithExits = 256;

const i32NeOp = 0x47;

/** How many instructions before the branch back are looked at. */
const window = 8;

/** The last instructions that were read. */
class Tail {
  readonly #at = new Int32Array(window);
  #count = 0;

  push(at: number): void {
    this.#at[this.#count++ % window] = at;
  }

  /** Where the instruction begins that is `back` before the next one; -1 where there is none. */
  at(back: number): number {
    return back > this.#count ? -1 : (this.#at[(this.#count - back) % window] ?? -1);
  }
}

/** Looks at the body of a loop in which nothing calls, that takes and gives no values, and that has one branch back. */
export function findCounted(bytes: Uint8Array, bodyAt: number): CountedLoop | undefined {
  const tail = new Tail();
  const sets = new Map<number, number>();
  let step: Step | undefined;
  let test: Test | undefined;
  let hasExits = false;
  let depth = 0;
  for (let at = bodyAt; ; at = skipImmediates(bytes, at)) {
    const code = bytes[at] ?? 0;
    const kind = oneByte[code] ?? 0;
    if (kind === shape.end && depth-- === 0) break;
    if (kind === shape.block || kind === shape.if) depth++;
    else if (isForeign(kind, code)) return undefined;
    if (code === op.localSet || code === op.localTee) {
      const local = numberAt(bytes, at + 1);
      sets.set(local, (sets.get(local) ?? 0) + 1);
      if (depth === 0) step = readStep(bytes, tail, local) ?? step;
    } else if (kind === shape.branch || kind === shape.branchIf) {
      const target = numberAt(bytes, at + 1);
      if (target > depth) hasExits = true;
      if (target === depth) {
        if (depth !== 0 || kind !== shape.branchIf || step === undefined) return undefined;
        test = readTest(bytes, tail, step, at);
        if (test === undefined) return undefined;
      }
    } else if (kind === shape.branchTable || kind === shape.branchOnNull || kind === shape.return) {
      hasExits = true;
    }
    tail.push(at);
  }
  if (test === undefined || sets.get(test.counter) !== 1) return undefined;
  if (test.bound.kind === "local" && sets.has(test.bound.value)) return undefined;
  return { ...test, hasExits };
}

/** What a counted loop has none of: loops inside it, handlers, and what charges by itself. */
function isForeign(kind: number, code: number): boolean {
  if (kind === shape.prefix) return code === 0xfc;
  return kind === shape.loop || kind === shape.try || kind === shape.tryTable || kind === shape.memoryGrow;
}

type Step = Pick<CountedLoop, "counter" | "step">;
type Test = Omit<CountedLoop, "hasExits">;

/** `local.get i; i32.const step; i32.add`, just before `i` is set. */
function readStep(bytes: Uint8Array, tail: Tail, counter: number): Step | undefined {
  const [get, amount, add] = [tail.at(3), tail.at(2), tail.at(1)];
  if (bytes[get] !== op.localGet || numberAt(bytes, get + 1) !== counter) return undefined;
  if (bytes[amount] !== op.i32Const || bytes[add] !== op.i32Add) return undefined;
  const step = signedAt(bytes, amount + 1);
  return step === 0 || Math.abs(step) > maxStep ? undefined : { counter, step };
}

/** The instructions just before the branch back: `i`, or `i` and the bound compared in either order. */
function readTest(bytes: Uint8Array, tail: Tail, step: Step, branchAt: number): Test | undefined {
  if (isCounter(bytes, tail.at(1), step.counter)) {
    return { ...step, bound: { kind: "constant", value: 0 }, boundAt: branchAt, boundEnd: branchAt };
  }
  if (bytes[tail.at(1)] !== i32NeOp) return undefined;
  const [first, second] = [tail.at(3), tail.at(2)];
  if (isCounter(bytes, first, step.counter)) return withBound(bytes, second, step);
  if (!isCounter(bytes, second, step.counter)) return undefined;
  // Between the bound and the test there may be the whole step: `bound; i; const; add; tee i; ne`.
  return withBound(bytes, bytes[second] === op.localTee ? tail.at(6) : first, step);
}

function isCounter(bytes: Uint8Array, at: number, counter: number): boolean {
  return (bytes[at] === op.localTee || bytes[at] === op.localGet) && numberAt(bytes, at + 1) === counter;
}

function withBound(bytes: Uint8Array, at: number, step: Step): Test | undefined {
  const place = { boundAt: at, boundEnd: skipNumber(bytes, at + 1) };
  if (bytes[at] === op.i32Const) return { ...step, ...place, bound: { kind: "constant", value: signedAt(bytes, at + 1) } };
  if (bytes[at] !== op.localGet) return undefined;
  const value = numberAt(bytes, at + 1);
  return value === step.counter ? undefined : { ...step, ...place, bound: { kind: "local", value } };
}

function signedAt(bytes: Uint8Array, at: number): number {
  let value = 0;
  let shift = 0;
  for (let next = at; ; next++) {
    const byte = bytes[next] ?? 0;
    value |= (byte & 127) << shift;
    shift += 7;
    if (byte < 128) return shift < 32 && (byte & 64) !== 0 ? value | (-1 << shift) : value;
  }
}

/** Locals that a range is counted with. */
export interface RangeLocals {
  readonly iterations: number;
  readonly bound: number;
}

export function writeOperand(out: Writer, { kind, value }: Operand): void {
  if (kind === "constant") return constant(out, value);
  out.put(op.localGet);
  out.u32(value);
}

/**
 * Before a range: how many iterations the next piece has, without the first, on the stack as units; and where it ends.
 *
 * `iterations = min((bound - i) / step - 1, piece)`, all unsigned, so that what cannot be reached by whole steps, or only
 * after all 32 bits, is a whole piece; `end = i + (iterations + 1) * step`.
 */
export function writeRange(out: Writer, loop: CountedLoop, cost: number, locals: RangeLocals): void {
  const { counter, step, bound } = loop;
  const piece = Math.max(1, Math.floor((loop.hasExits ? pieceUnitsWithExits : pieceUnits) / cost));
  const get = (local: number): void => {
    out.put(op.localGet);
    out.u32(local);
  };
  const set = (local: number, code: number = op.localSet): void => {
    out.put(code);
    out.u32(local);
  };
  if (step > 0) writeOperand(out, bound);
  get(counter);
  if (step < 0) writeOperand(out, bound);
  out.put(op.i32Sub);
  writeDivision(out, Math.abs(step), locals.iterations);
  constant(out, 1);
  out.put(op.i32Sub);
  set(locals.iterations, op.localTee);
  constant(out, piece);
  get(locals.iterations);
  constant(out, piece);
  out.put(op.i32LtU, op.select);
  set(locals.iterations, op.localTee);
  constant(out, 1);
  out.put(op.i32Add);
  constant(out, step);
  out.put(i32Mul);
  get(counter);
  out.put(op.i32Add);
  set(locals.bound);
  get(locals.iterations);
  constant(out, cost);
  out.put(i32Mul);
}

const i32Mul = 0x6c;
const i32DivU = 0x6e;
const i32Rotr = 0x78;

/** Divides the top of the stack, where it is a multiple; where it is none, gives a number that is beyond any piece, or zero. */
function writeDivision(out: Writer, by: number, scratch: number): void {
  if (by === 1) return;
  const bits = Math.log2(by);
  if (Number.isInteger(bits)) {
    // What is left over comes to the top.
    constant(out, bits);
    out.put(i32Rotr);
    return;
  }
  const scratchGet = (): void => {
    out.put(op.localGet);
    out.u32(scratch);
  };
  out.put(op.localTee);
  out.u32(scratch);
  constant(out, by);
  out.put(i32DivU);
  constant(out, 0);
  scratchGet();
  constant(out, by);
  out.put(i32RemU, op.i32Eqz, op.select);
}

const i32RemU = 0x70;
