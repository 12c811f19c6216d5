import { floatKind, writeCanonical, type FloatKind } from "./determinism.ts";
import { constant, noValues, op } from "./helpers.ts";
import type { Writer } from "./writer.ts";

/** What deterministic mode counts for a function's frame. */
export interface Frame {
  readonly bytes: number;
  /** The type of a block that has the function's results and takes nothing. */
  readonly resultBlock: readonly number[];
}

/** The instructions of deterministic mode, for one function at a time: the stack's depth, and canonical NaNs. */
export class FrameCode {
  readonly #out: Writer;
  readonly #depth: number;
  #frame: Frame | undefined;
  #local = 0;
  #hasTry = false;

  /** `depth`: the global that has what is left of the stack. */
  constructor(out: Writer, depth: number) {
    this.#out = out;
    this.#depth = depth;
  }

  /** Begins a function; without a frame nothing is written for it. `local`: the first of {@link declare}'s. */
  begin(frame: Frame | undefined, local: number, hasTry: boolean): void {
    this.#frame = frame;
    this.#local = local;
    this.#hasTry = hasTry;
  }

  get isOn(): boolean {
    return this.#frame !== undefined;
  }

  /** How many groups of locals {@link declare} writes. */
  static readonly groups = 4;

  /** The depth of this frame, and a float of each kind. */
  declare(): void {
    this.#out.put(1, 0x7f, 1, 0x7d, 1, 0x7c, 1, 0x7b);
  }

  /** Counts this frame, and ends the guest where the stack has no room for it: before the engine would. */
  enter(): void {
    if (this.#frame === undefined) return;
    const out = this.#out;
    out.put(op.globalGet);
    out.u32(this.#depth);
    constant(out, this.#frame.bytes);
    out.put(op.i32Sub, op.localTee);
    out.u32(this.#local);
    out.put(op.globalSet);
    out.u32(this.#depth);
    out.put(op.localGet);
    out.u32(this.#local);
    out.put(op.i32Const, 0, op.i32LtS, op.if, noValues, op.unreachable, op.end);
    // A branch to the function's own label must pass where the frame is left.
    out.put(op.block, ...this.#frame.resultBlock);
  }

  /** At the function's end. */
  end(): void {
    if (this.#frame === undefined) return;
    this.#out.put(op.end);
    this.leave();
  }

  leave(): void {
    if (this.#frame === undefined) return;
    const out = this.#out;
    out.put(op.localGet);
    out.u32(this.#local);
    constant(out, this.#frame.bytes);
    out.put(op.i32Add, op.globalSet);
    out.u32(this.#depth);
  }

  /** Whether an exception may come, at labels and handlers, from frames that were not left. */
  get needsRestoring(): boolean {
    return this.isOn && this.#hasTry;
  }

  restore(): void {
    this.#out.put(op.localGet);
    this.#out.u32(this.#local);
    this.#out.put(op.globalSet);
    this.#out.u32(this.#depth);
  }

  /** After an instruction that may give a NaN, by its noted operand. */
  canonical(operand: number): void {
    const kind = floatKind(operand);
    writeCanonical(this.#out, kind, this.#local + floatOffsets[kind]);
  }
}

const floatOffsets: Readonly<Record<FloatKind, number>> = { f32: 1, f64: 2, f32x4: 3, f64x2: 3 };
