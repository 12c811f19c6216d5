import { findCounted, writeOperand, writeRange, type CountedLoop } from "./counted.ts";
import { FrameCode, type Frame } from "./frame-code.ts";
import { FuelCode } from "./fuel-code.ts";
import { shape } from "./opcodes.ts";
import { op, noValues, type Indices } from "./helpers.ts";
import type { CodePlace } from "./original.ts";
import type { Placement } from "./place.ts";
import { noteStride } from "./notes.ts";
import type { FunctionScan, Scan } from "./scan.ts";
import { numberAt, skipNumber } from "./skip.ts";
import type { Moves } from "./sections.ts";
import type { Writer } from "./writer.ts";

/** One function of the original module. */
export interface Body extends CodePlace {
  /** Among the defined functions. */
  readonly index: number;
  readonly scan: FunctionScan;
  /** In deterministic mode. */
  readonly frame?: Frame;
}

/** What is the same for all functions of a module. */
export interface Emission {
  readonly bytes: Uint8Array;
  readonly scan: Scan;
  readonly placement: Placement;
  readonly indices: Indices;
  readonly moves: Moves;
  readonly importedFunctions: number;
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
  readonly #fuel: FuelCode;
  readonly #frame: FrameCode;
  #labels: Label[] = [];
  /** The first of two locals that a range is counted with. */
  #rangeLocal = 0;
  #position = 0;
  /** The next loop, and the next break. */
  #loop = 0;
  #break = 0;

  constructor(from: Emission, out: Writer) {
    this.#from = from;
    this.#out = out;
    this.#fuel = new FuelCode(out, from.indices);
    this.#frame = new FrameCode(out, from.depth);
  }

  /** Writes locals and instructions. */
  write(body: Body): void {
    const { scan, placement } = this.#from;
    const { notesFrom, notesTo, loopsFrom, breaksFrom } = body.scan;
    const point = placement.point[body.index];
    this.#labels = [];
    this.#loop = loopsFrom;
    this.#break = breaksFrom;
    this.#writeLocals(body);
    this.#position = body.codeAt;
    this.#frame.enter();
    if (point === -1) this.#fuel.charge(placement.pointCost[body.index] ?? 0);
    const { values } = scan.notes;
    // The last note is the function's own end.
    for (let note = notesFrom; note < notesTo - noteStride; note += noteStride) {
      const at = values[note + 1] ?? 0;
      if (note === point) {
        this.#copyTo(at);
        this.#fuel.charge(placement.pointCost[body.index] ?? 0);
      }
      this.#writeNote(values[note] ?? 0, at, values[note + 2] ?? 0, values[note + 3] ?? 0);
    }
    this.#copyTo(body.end - 1);
    this.#frame.end();
    this.#out.put(op.end);
  }

  /** The original's, and behind them those of the charges and of the frame. */
  #writeLocals({ index, localsAt, codeAt, localGroups, locals, frame, scan }: Body): void {
    const { loopsFrom, loopsTo, hasTry } = scan;
    const hasLoops = loopsTo > loopsFrom;
    const charging = hasLoops ? 3 : this.#from.placement.point[index] === undefined ? 0 : 1;
    this.#rangeLocal = locals + 1;
    this.#fuel.begin(locals, hasTry);
    this.#frame.begin(frame, locals + charging, hasTry);
    this.#out.u32(localGroups + (charging > 0 ? 1 : 0) + (this.#frame.isOn ? FrameCode.groups : 0));
    this.#out.copy(this.#from.bytes, localsAt, codeAt);
    if (charging > 0) this.#out.put(charging, 0x7f);
    if (this.#frame.isOn) this.#frame.declare();
  }

  #copyTo(end: number): void {
    this.#out.copy(this.#from.bytes, this.#position, end);
    this.#position = end;
  }

  #restoreDepth(next: number): void {
    if (!this.#frame.needsRestoring) return;
    if (this.#position < next) this.#copyTo(next);
    this.#frame.restore();
  }

  #leaveAt(at: number): void {
    if (!this.#frame.isOn) return;
    this.#copyTo(at);
    this.#frame.leave();
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
        this.#rewriteOperand(at, next, this.#from.moves.called(operand));
        return;
      case shape.break:
        this.#copyTo(at);
        this.#fuel.charge(this.#from.placement.breakCost[this.#break++] ?? 0);
        return;
      case shape.returnCall:
        this.#writeReturnCall(at, next, operand);
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
        if (!this.#frame.isOn) return;
        this.#copyTo(next);
        this.#frame.canonical(operand);
        return;
      case shape.refFunc:
        this.#rewriteOperand(at, next, this.#from.moves.asValue(operand));
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
  }

  #isQuiet(loop: number): boolean {
    return loop >= 0 && this.#from.scan.loopCalls[loop] !== true;
  }

  /** A host function is called through one that looks at the fuel behind it. */
  #writeReturnCall(at: number, next: number, operand: number): void {
    const { moves, importedFunctions } = this.#from;
    this.#leaveAt(at);
    this.#rewriteOperand(at, next, operand < importedFunctions ? moves.asValue(operand) : moves.called(operand));
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
    this.#fuel.reload();
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
    if (this.#isQuiet(label.loop)) this.#fuel.leaveQuietLoop();
    if (kind === shape.delegate) this.#writeDelegate(at, next, operand);
    if (label.wraps !== (this.#labels.at(-1) ?? outermost).wraps) {
      this.#copyTo(next);
      this.#out.put(op.end);
    }
    this.#restoreDepth(next);
  }

  /** To the function's own label it means the caller, past the block that a frame is wrapped in. */
  #writeDelegate(at: number, next: number, operand: number): void {
    const isOwn = operand === this.#labels.length && this.#frame.isOn;
    this.#rewriteOperand(at, next, this.#depth(operand) + (isOwn ? 1 : 0));
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
      this.#fuel.charge(cost);
    } else {
      this.#fuel.subtract(cost);
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
    const cost = placement.loopCost[loop] ?? 0;
    const isAtHeader = placement.isChargedAtHeader[loop] === true;
    const isWrapped = this.#isQuiet(loop);
    const counted = this.#isCountable(loop, at) ? findCounted(this.#from.bytes, next) : undefined;
    this.#copyTo(at);
    if (isWrapped) this.#fuel.enterQuietLoop();
    this.#open(loop, isWrapped ? 1 : 0, counted);
    if (counted !== undefined) {
      this.#writeCounted(counted, cost, at, next);
      return;
    }
    // The first iteration is charged around the loop: a header that charges it too is given it back.
    if (isAtHeader) this.#fuel.add(cost);
    this.#copyTo(next);
    if (isWrapped) {
      // The outer loop has the same type, for what the loop takes lies on the stack at both headers.
      this.#fuel.test();
      this.#fuel.refillIf(() => (isAtHeader ? this.#fuel.add(cost) : undefined));
      this.#out.copy(this.#from.bytes, at, next);
    }
    this.#restoreDepth(next);
    if (!isAtHeader) return;
    this.#fuel.subtract(cost);
    if (isWrapped) this.#out.put(op.branchIf, 1);
    else this.#fuel.refillIf();
  }

  #isCountable(loop: number, at: number): boolean {
    const { scan, placement, bytes } = this.#from;
    const hasValues = bytes[at + 1] !== noValues;
    return (
      this.#isQuiet(loop) &&
      this.#fuel.isCached &&
      scan.loopBranches[loop] === 1 &&
      scan.loopBroken[loop] !== true &&
      !hasValues &&
      (placement.loopCost[loop] ?? 0) <= maxCountedCost
    );
  }

  /** The outer loop charges for as many iterations as there will be, or for a piece of them; the inner one is as it was, but for its bound. */
  #writeCounted(counted: CountedLoop, cost: number, at: number, next: number): void {
    const out = this.#out;
    this.#copyTo(next);
    writeRange(out, counted, cost, { iterations: this.#rangeLocal, bound: this.#rangeLocal + 1 });
    out.put(op.localSet);
    out.u32(this.#rangeLocal);
    this.#fuel.subtractLocal(this.#rangeLocal);
    this.#fuel.refillIf();
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
    this.#fuel.charge(this.#from.placement.loopCost[loop] ?? 0);
    out.put(op.branch, 2, op.end);
  }
}
