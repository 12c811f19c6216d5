import { findCounted, writeOperand, writeRange, type CountedLoop } from "./counted.ts";
import { floatKind, writeCanonical, type FloatKind } from "./determinism.ts";
import { shape } from "./opcodes.ts";
import { op, noValues, constant, type Indices } from "./helpers.ts";
import type { Placement } from "./place.ts";
import { noteStride, numberAt, skipNumber, type FunctionScan, type Scan } from "./scan.ts";
import type { Writer } from "./writer.ts";

/** One function of the original module. */
export interface Body {
  /** Among the defined functions. */
  readonly index: number;
  /** Where the declarations of locals begin, after their count; where the instructions begin and end. */
  readonly localsAt: number;
  readonly codeAt: number;
  readonly end: number;
  readonly localGroups: number;
  /** Parameters and declared locals. */
  readonly locals: number;
  readonly scan: FunctionScan;
  /** In deterministic mode: what its frame counts, and the type of a block that has its results and takes nothing. */
  readonly frame?: { readonly bytes: number; readonly resultBlock: readonly number[] };
}

/** What is the same for all functions of a module. */
export interface Emission {
  readonly bytes: Uint8Array;
  readonly scan: Scan;
  readonly placement: Placement;
  readonly indices: Indices;
  /** Where a function of the original is found now. */
  readonly moved: (index: number) => number;
  /** For `ref.func` and what else takes a function as a value. */
  readonly asValue: (index: number) => number;
  readonly growHelper: () => number;
  readonly bulkHelper: (code: number, immediates: Uint8Array) => number;
  /** The global that counts the depth of the stack, in deterministic mode. */
  readonly depth: number;
}

/** A label of the original that is open. */
interface Label {
  /** Its loop, or -1. */
  readonly loop: number;
  /** How many loops were wrapped, it and those around it. */
  readonly wraps: number;
  /** Where the loop is charged for its range, and not at its branch back. */
  readonly counted?: CountedLoop | undefined;
}

const i32Ne = 0x47;
/** Above this, what is spared by charging a range is little. */
const maxCountedCost = 1024;

const outermost: Label = { loop: -1, wraps: 0 };

/** Writes one function with its charges. One object for a whole module. */
export class Emitter {
  readonly #from: Emission;
  readonly #out: Writer;
  #labels: Label[] = [];
  /** How many loops are open in which nothing calls. */
  #loopDepth = 0;
  /** The local that has what the fuel global has while such a loop runs, and what is between two steps of a charge elsewhere. */
  #local = 0;
  /** Exceptions come back at labels, where the local is not known to be true; so with them each charge loads. */
  #isCached = true;
  /** The first of two locals that a range is counted with. */
  #rangeLocal = 0;
  /** In deterministic mode: the local that has the depth of this frame, and those for floats. */
  #depthLocal = 0;
  #floatLocals: Readonly<Record<FloatKind, number>> = { f32: 0, f64: 0, f32x4: 0, f64x2: 0 };
  #body: Body | undefined;
  #position = 0;
  #loop = 0;

  constructor(from: Emission, out: Writer) {
    this.#from = from;
    this.#out = out;
  }

  /** Writes locals and instructions. */
  write(body: Body): void {
    const { scan, placement } = this.#from;
    const { notesFrom, notesTo, loopsFrom, loopsTo, hasTry } = body.scan;
    const point = placement.point[body.index];
    this.#body = body;
    this.#labels = [];
    this.#loopDepth = 0;
    this.#isCached = !hasTry;
    this.#local = body.locals;
    this.#loop = loopsFrom;
    this.#writeLocals(body, loopsTo > loopsFrom || point !== undefined);
    this.#position = body.codeAt;
    this.#enterFrame();
    if (point === -1) this.#charge(placement.pointCost[body.index] ?? 0);
    const { values } = scan.notes;
    // The last note is the function's own end.
    for (let note = notesFrom; note < notesTo - noteStride; note += noteStride) {
      const at = values[note + 1] ?? 0;
      if (note === point) {
        this.#copyTo(at);
        this.#charge(placement.pointCost[body.index] ?? 0);
      }
      this.#writeNote(values[note] ?? 0, at, values[note + 2] ?? 0, values[note + 3] ?? 0);
    }
    this.#copyTo(body.end - 1);
    if (body.frame !== undefined) {
      this.#out.put(op.end);
      this.#leaveFrame();
    }
    this.#out.put(op.end);
  }

  #writeLocals({ localsAt, codeAt, localGroups, locals, frame, scan }: Body, needsOwn: boolean): void {
    const out = this.#out;
    this.#rangeLocal = locals + 1;
    if (frame === undefined) {
      out.u32(localGroups + (needsOwn ? 1 : 0));
      out.copy(this.#from.bytes, localsAt, codeAt);
      if (needsOwn) out.put(scan.loopsTo > scan.loopsFrom ? 3 : 1, 0x7f);
      return;
    }
    // Four numbers, and three floats where it has any.
    out.u32(localGroups + (scan.hasFloats ? 4 : 1));
    out.copy(this.#from.bytes, localsAt, codeAt);
    out.put(4, 0x7f);
    if (scan.hasFloats) out.put(1, 0x7d, 1, 0x7c, 1, 0x7b);
    this.#depthLocal = locals + 3;
    this.#floatLocals = { f32: locals + 4, f64: locals + 5, f32x4: locals + 6, f64x2: locals + 6 };
  }

  /** Counts this frame, and ends the guest where the stack has no room for it: before the engine would. */
  #enterFrame(): void {
    const frame = this.#body?.frame;
    if (frame === undefined) return;
    const out = this.#out;
    const { depth } = this.#from;
    out.put(op.globalGet);
    out.u32(depth);
    constant(out, frame.bytes);
    out.put(op.i32Sub, op.localTee);
    out.u32(this.#depthLocal);
    out.put(op.globalSet);
    out.u32(depth);
    out.put(op.localGet);
    out.u32(this.#depthLocal);
    out.put(op.i32Const, 0, op.i32LtS, op.if, noValues, op.unreachable, op.end);
    // A branch to the function's own label must pass where the frame is left.
    out.put(op.block, ...frame.resultBlock);
  }

  #leaveFrame(): void {
    const frame = this.#body?.frame;
    if (frame === undefined) return;
    const out = this.#out;
    out.put(op.localGet);
    out.u32(this.#depthLocal);
    constant(out, frame.bytes);
    out.put(op.i32Add, op.globalSet);
    out.u32(this.#from.depth);
  }

  /** Where an exception may have come from frames that were not left. */
  #restoreDepth(next: number): void {
    if (this.#body?.frame === undefined || !this.#body.scan.hasTry) return;
    if (this.#position < next) this.#copyTo(next);
    this.#out.put(op.localGet);
    this.#out.u32(this.#depthLocal);
    this.#out.put(op.globalSet);
    this.#out.u32(this.#from.depth);
  }

  #leaveAt(at: number): void {
    if (this.#body?.frame === undefined) return;
    this.#copyTo(at);
    this.#leaveFrame();
  }

  #copyTo(end: number): void {
    this.#out.copy(this.#from.bytes, this.#position, end);
    this.#position = end;
  }

  /** `fuel -= units; if (fuel < 0) refill()`. */
  #charge(units: number): void {
    this.#subtract(units);
    this.#out.put(op.if, noValues);
    this.#refill();
    this.#out.put(op.end);
  }

  /**
   * Leaves on the stack whether fuel is below zero. The global always has what is true, so that nothing is to be written back
   * where a trap, an exception or a call leaves; inside a loop the local spares the load.
   */
  #subtract(units: number): void {
    this.#getFuel();
    constant(this.#out, units);
    this.#takeUnits();
  }

  #takeUnits(): void {
    const out = this.#out;
    out.put(op.i32Sub, op.localTee);
    out.u32(this.#local);
    out.put(op.globalSet);
    out.u32(this.#from.indices.fuel);
    this.#getLocal();
    out.put(op.i32Const, 0, op.i32LtS);
  }

  #refill(): void {
    this.#out.put(op.call);
    this.#out.u32(this.#from.indices.refill);
    this.#reload();
  }

  #load(): void {
    this.#out.put(op.globalGet);
    this.#out.u32(this.#from.indices.fuel);
  }

  #getLocal(): void {
    this.#out.put(op.localGet);
    this.#out.u32(this.#local);
  }

  #setLocal(): void {
    this.#out.put(op.localSet);
    this.#out.u32(this.#local);
  }

  /** After whatever may have charged: a call, a helper. */
  #reload(): void {
    if (this.#loopDepth === 0 || !this.#isCached) return;
    this.#load();
    this.#setLocal();
  }

  #writeNote(kind: number, at: number, next: number, operand: number): void {
    switch (kind) {
      case shape.block:
      case shape.if:
      case shape.try:
        this.#open(-1, 0);
        return;
      case shape.tryTable:
        this.#writeTryTable(at, next);
        return;
      case shape.loop:
        this.#writeLoop(at, next);
        return;
      case shape.end:
      case shape.delegate:
        this.#writeEnd(kind, at, next, operand);
        return;
      case shape.branch:
      case shape.branchIf:
        this.#writeBranch(kind, at, next, operand);
        return;
      case shape.branchOnNull:
      case shape.rethrow:
        this.#rewriteDepth(at, next, operand);
        return;
      case shape.branchTable:
        this.#writeBranchTable(at, next, operand);
        return;
      case shape.call:
        this.#rewriteOperand(at, next, this.#from.moved(operand));
        return;
      case shape.returnCall:
        this.#leaveAt(at);
        this.#rewriteOperand(at, next, this.#from.moved(operand));
        return;
      case shape.return:
      case shape.returnCallIndirect:
      case shape.returnCallRef:
        this.#leaveAt(at);
        return;
      case shape.catch:
      case shape.catchAll:
        this.#restoreDepth(next);
        return;
      case shape.float:
        this.#writeFloat(next, operand);
        return;
      case shape.refFunc:
        this.#rewriteOperand(at, next, this.#from.asValue(operand));
        return;
      case shape.memoryGrow:
        this.#replaceByCall(at, next, this.#from.growHelper());
        return;
      case shape.bulk:
        this.#writeBulk(at, next, operand);
        return;
    }
  }

  #open(loop: number, wraps: number, counted?: CountedLoop): void {
    const around = this.#labels.at(-1) ?? outermost;
    this.#labels.push({ loop, wraps: around.wraps + wraps, counted });
    if (this.#isQuiet(loop)) this.#loopDepth++;
  }

  #isQuiet(loop: number): boolean {
    return loop >= 0 && this.#from.scan.loopCalls[loop] !== true;
  }

  /** Writes an instruction of one byte and one number, with another number. */
  #rewriteOperand(at: number, next: number, operand: number): void {
    this.#copyTo(at + 1);
    this.#out.u32(operand);
    this.#position = next;
  }

  #rewriteDepth(at: number, next: number, depth: number): void {
    const moved = this.#depth(depth);
    if (moved !== depth) this.#rewriteOperand(at, next, moved);
  }

  /** A label's depth with the loops that were wrapped between it and here. */
  #depth(depth: number): number {
    const inside = (this.#labels.at(-1) ?? outermost).wraps;
    // Of the function's own label, all of them are inside.
    const target = this.#labels[this.#labels.length - 1 - depth] ?? outermost;
    return depth + inside - target.wraps;
  }

  /** The helper charges by itself. */
  #replaceByCall(at: number, next: number, target: number): void {
    this.#copyTo(at);
    this.#out.put(op.call);
    this.#out.u32(target);
    this.#position = next;
    this.#reload();
  }

  #writeBulk(at: number, next: number, code: number): void {
    const { bytes, bulkHelper } = this.#from;
    const immediates = bytes.subarray(skipNumber(bytes, at + 1), next);
    this.#replaceByCall(at, next, bulkHelper(code, immediates));
  }

  #writeBranchTable(at: number, next: number, count: number): void {
    if ((this.#labels.at(-1) ?? outermost).wraps === 0) return;
    const { bytes } = this.#from;
    this.#copyTo(at + 1);
    this.#out.u32(count);
    let from = skipNumber(bytes, at + 1);
    for (let left = count; left >= 0; left--) {
      this.#out.u32(this.#depth(numberAt(bytes, from)));
      from = skipNumber(bytes, from);
    }
    this.#position = next;
  }

  /** The labels of its clauses are counted from outside of the block. */
  #writeTryTable(at: number, next: number): void {
    const { bytes } = this.#from;
    let from = skipNumber(bytes, bytes[at + 1] === 0x63 || bytes[at + 1] === 0x64 ? at + 2 : at + 1);
    this.#copyTo(from);
    const count = numberAt(bytes, from);
    this.#out.u32(count);
    from = skipNumber(bytes, from);
    for (let left = count; left > 0; left--) {
      const label = (bytes[from] ?? 0) < 2 ? skipNumber(bytes, from + 1) : from + 1;
      this.#out.copy(bytes, from, label);
      this.#out.u32(this.#depth(numberAt(bytes, label)));
      from = skipNumber(bytes, label);
    }
    this.#position = next;
    this.#open(-1, 0);
  }

  #writeEnd(kind: number, at: number, next: number, operand: number): void {
    const label = this.#labels.pop() ?? outermost;
    if (this.#isQuiet(label.loop)) this.#loopDepth--;
    if (kind === shape.delegate) this.#rewriteDepth(at, next, operand);
    if (label.wraps !== (this.#labels.at(-1) ?? outermost).wraps) {
      this.#copyTo(next);
      this.#out.put(op.end);
    }
    this.#restoreDepth(next);
  }

  #writeFloat(next: number, operand: number): void {
    if (this.#body?.frame === undefined) return;
    const kind = floatKind(operand);
    this.#copyTo(next);
    writeCanonical(this.#out, kind, this.#floatLocals[kind]);
  }

  /** A branch back to a loop that is charged there is charged first, and goes by the outer one of two where that refills. */
  #writeBranch(kind: number, at: number, next: number, operand: number): void {
    const { placement, scan } = this.#from;
    const target = this.#labels[this.#labels.length - 1 - operand];
    const loop = target?.loop ?? -1;
    if (target?.counted !== undefined) {
      this.#writeCountedBranch(target.counted, loop, at, next);
      return;
    }
    if (loop < 0 || placement.isChargedAtHeader[loop] === true) {
      this.#rewriteDepth(at, next, operand);
      return;
    }
    const out = this.#out;
    const depth = this.#depth(operand) + (kind === shape.branchIf ? 1 : 0);
    const cost = placement.loopCost[loop] ?? 0;
    this.#copyTo(at);
    if (kind === shape.branchIf) out.put(op.if, noValues);
    if (scan.loopCalls[loop] === true) {
      this.#charge(cost);
    } else {
      this.#subtract(cost);
      out.put(op.branchIf);
      out.u32(depth + 1);
    }
    out.put(op.branch);
    out.u32(depth);
    if (kind === shape.branchIf) out.put(op.end);
    this.#position = next;
  }

  /**
   * A loop in which nothing calls becomes the inner one of two, and the call for more fuel stands in the outer one alone:
   * engines unroll loops without calls, and keep their values in registers.
   */
  #writeLoop(at: number, next: number): void {
    const { placement } = this.#from;
    const loop = this.#loop++;
    const out = this.#out;
    const cost = placement.loopCost[loop] ?? 0;
    const isAtHeader = placement.isChargedAtHeader[loop] === true;
    const isWrapped = this.#isQuiet(loop);
    const wasInside = this.#loopDepth > 0;
    const counted = this.#isCountable(loop, at) ? findCounted(this.#from.bytes, next) : undefined;
    this.#copyTo(at);
    this.#open(loop, isWrapped ? 1 : 0, counted);
    if (!wasInside) this.#reload();
    if (counted !== undefined) {
      this.#writeCounted(counted, cost, at, next);
      return;
    }
    // The first iteration is charged around the loop: a header that charges it too is given it back.
    if (isAtHeader) this.#add(cost);
    if (isWrapped) {
      // The outer loop has the same type, for what the loop takes lies on the stack at both headers.
      this.#copyTo(next);
      this.#getFuel();
      out.put(op.i32Const, 0, op.i32LtS, op.if, noValues);
      this.#refill();
      if (isAtHeader) this.#add(cost);
      out.put(op.end);
      out.copy(this.#from.bytes, at, next);
    }
    if (!isAtHeader) {
      this.#restoreDepth(next);
      return;
    }
    this.#copyTo(next);
    this.#restoreDepth(next);
    if (isWrapped) {
      this.#subtract(cost);
      out.put(op.branchIf, 1);
    } else {
      this.#charge(cost);
    }
  }

  #isCountable(loop: number, at: number): boolean {
    const { scan, placement, bytes } = this.#from;
    const hasValues = bytes[at + 1] !== noValues;
    return this.#isQuiet(loop) && this.#isCached && scan.loopBranches[loop] === 1 && !hasValues && (placement.loopCost[loop] ?? 0) <= maxCountedCost;
  }

  /** The outer loop charges for as many iterations as there will be, or for a piece of them; the inner one is as it was, but for its bound. */
  #writeCounted(counted: CountedLoop, cost: number, at: number, next: number): void {
    const out = this.#out;
    this.#copyTo(next);
    writeRange(out, counted, cost, { iterations: this.#rangeLocal, bound: this.#rangeLocal + 1 });
    // The units are on the stack: fuel - units.
    out.put(op.localSet);
    out.u32(this.#rangeLocal);
    this.#getFuel();
    out.put(op.localGet);
    out.u32(this.#rangeLocal);
    this.#takeUnits();
    out.put(op.if, noValues);
    this.#refill();
    out.put(op.end);
    out.copy(this.#from.bytes, at, next);
  }

  /** The test against the end of the piece; and behind it, where that is not the end of the range, on to the next piece. */
  #writeCountedBranch({ counter, bound, boundAt, boundEnd }: CountedLoop, loop: number, at: number, next: number): void {
    const out = this.#out;
    this.#copyTo(boundAt);
    out.put(op.localGet);
    out.u32(this.#rangeLocal + 1);
    if (boundAt === boundEnd) out.put(i32Ne);
    this.#position = boundEnd;
    this.#copyTo(at);
    this.#copyTo(next);
    out.put(op.localGet);
    out.u32(counter);
    writeOperand(out, bound);
    out.put(i32Ne, op.if, noValues);
    this.#charge(this.#from.placement.loopCost[loop] ?? 0);
    out.put(op.branch, 2, op.end);
  }

  #getFuel(): void {
    if (this.#loopDepth > 0 && this.#isCached) this.#getLocal();
    else this.#load();
  }

  /** Without a check. */
  #add(units: number): void {
    const out = this.#out;
    this.#getFuel();
    constant(out, units);
    out.put(op.i32Add, op.localTee);
    out.u32(this.#local);
    out.put(op.globalSet);
    out.u32(this.#from.indices.fuel);
  }
}
