import { bulkImmediates, shape } from "./opcodes.ts";
import { op, noValues, constant, type Indices } from "./helpers.ts";
import { charge, type Placement } from "./place.ts";
import { numberAt, noteStride, skipNumber, type FunctionScan, type Scan } from "./scan.ts";
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
  /** The block type that has the function's results and takes nothing. */
  readonly resultBlock: readonly number[];
  readonly scan: FunctionScan;
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
}

/** Writes one function with its charges. One object for a whole module. */
export class Emitter {
  readonly #from: Emission;
  readonly #out: Writer;
  /** Of each open label, how many wrapped loops are among it and those around it. */
  #wraps: number[] = [];
  /** The local for what is between two steps of a charge, and the one for credit. */
  #scratch = 0;
  #credit = 0;
  /** From here on in the code, the local may hold credit when a call is reached. */
  #creditFrom = Number.POSITIVE_INFINITY;
  #position = 0;
  #region = 0;
  #body: Body | undefined;

  constructor(from: Emission, out: Writer) {
    this.#from = from;
    this.#out = out;
  }

  /** Writes locals and instructions. */
  write(body: Body): void {
    const { scan } = this.#from;
    this.#body = body;
    this.#wraps = [];
    this.#scratch = body.locals;
    this.#credit = body.locals + 1;
    this.#creditFrom = this.#findCredit(body.scan);
    this.#region = body.scan.regionsFrom;
    this.#writeLocals(body);
    const entry = this.#from.placement.entry[body.index] ?? 0;
    if (entry > 0) this.#chargeGlobal(entry);
    if (this.#hasCredit) {
      // A branch to the function's own label must pass where credit is given back.
      this.#out.put(op.block, ...body.resultBlock);
    }
    this.#position = body.codeAt;
    const { values } = scan.notes;
    const { notesFrom, notesTo } = body.scan;
    for (let note = notesFrom; note < notesTo; note += noteStride) {
      const at = values[note + 1] ?? 0;
      if (note === notesTo - noteStride) break;
      this.#writeNote(values[note] ?? 0, at, values[note + 2] ?? 0, values[note + 3] ?? 0);
    }
    this.#copyTo(body.end - 1);
    if (this.#hasCredit) {
      this.#out.put(op.end);
      this.#giveBack();
    }
    this.#out.put(op.end);
  }

  get #hasCredit(): boolean {
    return this.#creditFrom !== Number.POSITIVE_INFINITY;
  }

  /** Where the outermost loop begins that has the first loop charged from credit in it. */
  #findCredit({ regionsFrom, regionsTo }: FunctionScan): number {
    const { placement, scan } = this.#from;
    for (let region = regionsFrom + 1; region < regionsTo; region++) {
      if (placement.loopCharge[region] !== charge.credit) continue;
      let outermost = region;
      for (let around = scan.parent[region] ?? -1; around > regionsFrom; around = scan.parent[around] ?? -1) outermost = around;
      return scan.loopAt[outermost] ?? 0;
    }
    return Number.POSITIVE_INFINITY;
  }

  #writeLocals({ localsAt, codeAt, localGroups, scan }: Body): void {
    const out = this.#out;
    const { placement } = this.#from;
    const loops = scan.regionsTo - scan.regionsFrom - 1;
    const needs = loops > 0 || (placement.entry[this.#body?.index ?? 0] ?? 0) > 0;
    out.u32(localGroups + (needs ? 1 : 0));
    out.copy(this.#from.bytes, localsAt, codeAt);
    if (needs) out.put(this.#hasCredit ? 2 : 1, 0x7f);
  }

  #copyTo(end: number): void {
    this.#out.copy(this.#from.bytes, this.#position, end);
    this.#position = end;
  }

  /** `fuel -= units; if (fuel < 0) refill()`. */
  #chargeGlobal(units: number): void {
    const out = this.#out;
    const { fuel, refill } = this.#from.indices;
    out.put(op.globalGet);
    out.u32(fuel);
    constant(out, units);
    out.put(op.i32Sub, op.localTee);
    out.u32(this.#scratch);
    out.put(op.globalSet);
    out.u32(fuel);
    out.put(op.localGet);
    out.u32(this.#scratch);
    out.put(op.i32Const, 0, op.i32LtS, op.if, noValues, op.call);
    out.u32(refill);
    out.put(op.end);
  }

  /** `fuel += credit; credit = 0`, so that no frame holds any while another runs. */
  #giveBack(): void {
    const out = this.#out;
    const { fuel } = this.#from.indices;
    out.put(op.globalGet);
    out.u32(fuel);
    out.put(op.localGet);
    out.u32(this.#credit);
    out.put(op.i32Add, op.globalSet);
    out.u32(fuel);
    out.put(op.i32Const, 0, op.localSet);
    out.u32(this.#credit);
  }

  #writeNote(kind: number, at: number, next: number, operand: number): void {
    switch (kind) {
      case shape.block:
      case shape.if:
      case shape.try:
        this.#wraps.push(this.#wraps.at(-1) ?? 0);
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
      case shape.branchOnNull:
      case shape.rethrow:
        if (kind === shape.rethrow) this.#giveBackAt(at);
        if (this.#hasCredit) this.#rewriteOperand(at, next, this.#depth(operand));
        return;
      case shape.branchTable:
        if (this.#hasCredit) this.#writeBranchTable(at, next, operand);
        return;
      case shape.call:
      case shape.returnCall:
        this.#giveBackAt(at);
        this.#rewriteOperand(at, next, this.#from.moved(operand));
        return;
      case shape.refFunc:
        this.#rewriteOperand(at, next, this.#from.asValue(operand));
        return;
      case shape.callIndirect:
      case shape.callRef:
      case shape.returnCallIndirect:
      case shape.returnCallRef:
      case shape.return:
      case shape.throw:
      case shape.throwRef:
        this.#giveBackAt(at);
        return;
      case shape.memoryGrow:
        this.#replaceByCall(at, next, this.#from.growHelper());
        return;
      case shape.bulk:
        this.#writeBulk(at, next, operand);
        return;
    }
  }

  #giveBackAt(at: number): void {
    if (at < this.#creditFrom) return;
    this.#copyTo(at);
    this.#giveBack();
  }

  /** Writes an instruction of one byte and one number, with another number. */
  #rewriteOperand(at: number, next: number, operand: number): void {
    this.#copyTo(at + 1);
    this.#out.u32(operand);
    this.#position = next;
  }

  #replaceByCall(at: number, next: number, target: number): void {
    this.#copyTo(at);
    this.#out.put(op.call);
    this.#out.u32(target);
    this.#position = next;
  }

  #writeBulk(at: number, next: number, code: number): void {
    const { bytes, bulkHelper } = this.#from;
    const immediates = bytes.subarray(skipNumber(bytes, at + 1), next);
    if ((bulkImmediates[code] ?? 0) === 0) throw new TypeError(`no bulk operation ${code}`);
    this.#replaceByCall(at, next, bulkHelper(code, immediates));
  }

  /** A label's depth with the loops that were wrapped between it and here. */
  #depth(depth: number): number {
    const labels = this.#wraps.length;
    if (depth > labels) throw new TypeError(`no label ${depth}`);
    const inside = this.#wraps[labels - 1] ?? 0;
    // Of the function's own label, all of them are inside.
    const around = depth === labels ? 0 : (this.#wraps[labels - 1 - depth] ?? 0);
    return depth + inside - around;
  }

  #writeBranchTable(at: number, next: number, count: number): void {
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

  /** The labels of the clauses are counted from outside of the block. */
  #writeTryTable(at: number, next: number): void {
    const { bytes } = this.#from;
    if (this.#hasCredit) {
      let from = skipNumber(bytes, bytes[at + 1] === 0x63 || bytes[at + 1] === 0x64 ? at + 2 : at + 1);
      this.#copyTo(from);
      const count = numberAt(bytes, from);
      this.#out.u32(count);
      from = skipNumber(bytes, from);
      for (let left = count; left > 0; left--) {
        const catches = bytes[from] ?? 0;
        const label = catches < 2 ? skipNumber(bytes, from + 1) : from + 1;
        this.#out.copy(bytes, from, label);
        this.#out.u32(this.#depth(numberAt(bytes, label)));
        from = skipNumber(bytes, label);
      }
      this.#position = next;
    }
    this.#wraps.push(this.#wraps.at(-1) ?? 0);
  }

  #writeEnd(kind: number, at: number, next: number, operand: number): void {
    const wraps = this.#wraps.pop() ?? 0;
    const isWrapped = wraps > (this.#wraps.at(-1) ?? 0);
    if (kind === shape.delegate) {
      if (this.#hasCredit) this.#rewriteOperand(at, next, this.#depth(operand));
      return;
    }
    if (!isWrapped) return;
    this.#copyTo(next);
    this.#out.put(op.end);
  }

  /**
   * A loop charged from credit becomes the inner one of two: the inner one's header only compares and subtracts, and leaves for
   * the outer one's when there is too little. So no call stands in the inner loop, which engines unroll and
   * keep in registers for that.
   */
  #writeLoop(at: number, next: number): void {
    const { placement } = this.#from;
    const region = ++this.#region;
    const cost = placement.loopCost[region] ?? 0;
    const around = this.#wraps.at(-1) ?? 0;
    if (placement.loopCharge[region] === charge.global) {
      this.#wraps.push(around);
      this.#copyTo(next);
      this.#chargeGlobal(cost);
      return;
    }
    this.#wraps.push(around + 1);
    const out = this.#out;
    // The outer loop has the same type, for what the loop takes lies on the stack at both headers.
    this.#copyTo(next);
    out.put(op.localGet);
    out.u32(this.#credit);
    constant(out, cost);
    out.put(op.i32LtS, op.if, noValues, op.localGet);
    out.u32(this.#credit);
    out.put(op.call);
    out.u32(this.#from.indices.prepay);
    out.put(op.localSet);
    out.u32(this.#credit);
    out.put(op.end);
    out.copy(this.#from.bytes, at, next);
    out.put(op.localGet);
    out.u32(this.#credit);
    constant(out, cost);
    out.put(op.i32LtS, op.branchIf, 1, op.localGet);
    out.u32(this.#credit);
    constant(out, cost);
    out.put(op.i32Sub, op.localSet);
    out.u32(this.#credit);
  }
}
