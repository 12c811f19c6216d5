import { BinaryError, BoundError } from "../binary.ts";
import { assertAtMost, type ModuleBounds } from "./bounds.ts";
import { Notes, noteStride } from "./notes.ts";
import { afterFc, afterFd, costs, firstNoted, hostCallCost, memoryCost, oneByte, shape, vectorCost } from "./opcodes.ts";
import { PathCost } from "./path-cost.ts";
import { numberAt, skipMemoryArgument, skipNumber, skipPrefixed, skipRare, skipTypePrefix, unknown } from "./skip.ts";

/** One function's part of the {@link Scan}. */
export interface FunctionScan {
  readonly notesFrom: number;
  readonly notesTo: number;
  /** Its loops, in the order of their headers. */
  readonly loopsFrom: number;
  readonly loopsTo: number;
  readonly callsFrom: number;
  readonly callsTo: number;
  readonly breaksFrom: number;
  readonly breaksTo: number;
  /** Of all its instructions. */
  readonly cost: number;
  readonly hasTry: boolean;
  readonly hasVectors: boolean;
}

export interface ScanOptions {
  readonly importedFunctions: number;
  readonly bounds: ModuleBounds;
  /** How many values the blocks of a type take and give. */
  readonly arityOf: (type: number) => number;
  /** Whether results that may be NaNs are noted, and what differs between engines is refused. */
  readonly isDeterministic: boolean;
}

/**
 * Reads function bodies, once each, and keeps what placing and writing the charges needs. The bytes have been validated
 * by the engine; a part of the format that this reader does not know is refused, never stepped over.
 */
export class Scan {
  readonly notes: Notes;
  /** By loop, in the order of their headers: whether anything in it calls. */
  readonly loopCalls: boolean[] = [];
  /** By loop: whether a break is in it. */
  readonly loopBroken: boolean[] = [];
  /** By loop: the branches back to its header; beyond any number where one cannot be preceded by a charge. */
  readonly loopBranches: number[] = [];
  /** By call, in their order: the function called. */
  readonly callTarget: number[] = [];
  /** How many places the scan has noted where a charge must stand. */
  breaks = 0;
  /** Functions that `ref.func` names. */
  readonly referenced = new Set<number>();
  readonly bytes: Uint8Array;
  readonly #importedFunctions: number;
  readonly #bounds: ModuleBounds;
  readonly #arityOf: (type: number) => number;
  readonly #isDeterministic: boolean;
  /** By open block: the innermost loop around it, and itself where it is one. */
  #around: number[] = [];
  #own: number[] = [];
  /** By open block, the function itself the first: whether a break is in it. */
  #broken: boolean[] = [];
  #loop = -1;
  #loopDepth = 0;
  #cost = 0;
  /** The cost of the dearest way with the most that calls may add to it, what of the sum is in it, and where the last break was. */
  #path: PathCost;
  #pathed = 0;
  #brokenAt = 0;
  #hasTry = false;
  #hasVectors = false;
  #allJoins = 0;
  #allLocals = 0;
  #calls = 0;

  constructor(bytes: Uint8Array, { importedFunctions, bounds, arityOf, isDeterministic }: ScanOptions) {
    this.bytes = bytes;
    // Compilers' modules have a note in each six to eight bytes.
    this.notes = new Notes(bytes.length + 1280);
    this.#importedFunctions = importedFunctions;
    this.#bounds = bounds;
    this.#arityOf = arityOf;
    this.#path = new PathCost(bytes);
    this.#isDeterministic = isDeterministic;
  }

  /** Reads the instructions of one function, from after its locals to its end. */
  scan(start: number, end: number, locals: number): FunctionScan {
    const [notesFrom, loopsFrom, callsFrom] = [this.notes.length, this.loopCalls.length, this.callTarget.length];
    const breaksFrom = this.breaks;
    this.#around = [];
    this.#own = [];
    this.#broken = [false];
    this.#loop = -1;
    this.#loopDepth = 0;
    // An engine's first code for a function sets each local.
    this.#cost = Math.floor(locals / 4);
    this.#path = new PathCost(this.bytes);
    this.#pathed = this.#brokenAt = 0;
    this.#hasTry = this.#hasVectors = false;
    this.#read(start, end);
    const loops = this.loopCalls.length - loopsFrom;
    assertAtMost("loops in one function", loops, this.#bounds.loops);
    this.#assertBounds(locals, (this.notes.length - notesFrom) / noteStride + 3 * loops);
    return {
      notesFrom,
      notesTo: this.notes.length,
      loopsFrom,
      loopsTo: this.loopCalls.length,
      callsFrom,
      callsTo: this.callTarget.length,
      breaksFrom,
      breaksTo: this.breaks,
      cost: Math.min(this.#cost, maxCost),
      hasTry: this.#hasTry,
      hasVectors: this.#hasVectors,
    };
  }

  #assertBounds(locals: number, blocks: number): void {
    const joins = blocks * locals;
    this.#allJoins += joins;
    this.#allLocals += locals;
    assertAtMost("joins of locals at the ends of blocks in one function", joins, this.#bounds.joins);
    assertAtMost("joins of locals at the ends of blocks", this.#allJoins, this.#bounds.allJoins);
    assertAtMost("locals in all functions", this.#allLocals, this.#bounds.allLocals);
    assertAtMost("calls", this.#calls, this.#bounds.calls);
    assertAtMost("loops", this.loopCalls.length, this.#bounds.allLoops);
  }

  /** The whole of the hot path: what needs no look is stepped over here. */
  #read(start: number, end: number): void {
    const bytes = this.bytes;
    let cost = 0;
    let at = start;
    while (at < end) {
      const op = bytes[at] ?? 0;
      const kind = oneByte[op] ?? 0;
      if (kind >= firstNoted) {
        // What a note says of the cost before it has its own in it: whoever branches has paid for the branch.
        this.#cost += cost + (costs[op] ?? 0);
        cost = 0;
        if (this.#sinceBreak() > segmentUnits) this.#break(at);
        at = kind === shape.prefix ? this.#readPrefixed(op, at) : this.#note(kind, at);
        continue;
      }
      if (cost > segmentUnits) {
        this.#cost += cost;
        cost = 0;
        this.#break(at);
      }
      cost += costs[op] ?? 0;
      if (kind === shape.plain) at++;
      else if (kind === shape.one) at = skipNumber(bytes, at + 1);
      else if (kind === shape.memoryArgument) at = skipMemoryArgument(bytes, at + 1);
      else at = skipRare(bytes, at, kind, op);
    }
    this.#cost += cost;
    if (this.#around.length > 0 || at !== end) throw new BinaryError(`has a function that does not end at byte ${end}`);
  }

  /** Notes that a charge must stand before the instruction at this place, for all that comes behind it until the next break. */
  #break(at: number): void {
    this.#push(shape.break, at, at, 0);
    this.breaks++;
    this.#brokenAt = this.#path.current;
    this.#broken[this.#broken.length - 1] = true;
  }

  /** What may have been run since the last break. */
  #sinceBreak(): number {
    this.#path.add(this.#cost - this.#pathed);
    this.#pathed = this.#cost;
    return this.#path.current - this.#brokenAt;
  }

  #push(kind: number, at: number, next: number, operand: number): void {
    this.#sinceBreak();
    this.#path.note(kind, at, operand);
    this.notes.push(kind, at, next, operand, Math.min(this.#cost, maxCost));
  }

  #readPrefixed(prefix: number, at: number): number {
    const bytes = this.bytes;
    const op = numberAt(bytes, at + 1);
    if (prefix === 0xfd) {
      this.#cost += vectorCost - 1;
      this.#hasVectors = true;
    }
    const kind = (prefix === 0xfc ? afterFc[op] : afterFd[op]) ?? shape.unknown;
    if (kind === shape.unknown) throw unknown(at, `0x${prefix.toString(16)} ${op}`);
    if (kind === shape.memoryArgument || kind === shape.memoryLane) this.#cost += memoryCost;
    const next = skipPrefixed(bytes, prefix, at);
    if (kind === shape.bulk) this.#push(kind, at, next, op);
    if (kind === shape.float || kind === shape.refusedRelaxed) {
      if (kind === shape.refusedRelaxed && this.#isDeterministic) {
        throw new BinaryError(`uses relaxed vector instructions, at byte ${at}: their results differ between engines`);
      }
      if (this.#isDeterministic) this.#push(kind, at, next, prefix * 0x1000 + op);
    }
    return next;
  }

  /** Takes one instruction that matters into the notes; gives where the next one begins. */
  #note(kind: number, at: number): number {
    const bytes = this.bytes;
    switch (kind) {
      case shape.block:
      case shape.if:
      case shape.try:
      case shape.loop:
        return this.#noteBlock(kind, at);
      case shape.tryTable:
        return this.#noteTryTable(at);
      case shape.end:
      case shape.delegate:
        return this.#noteEnd(kind, at);
      case shape.branchTable:
        return this.#noteBranchTable(at);
      case shape.call:
      case shape.returnCall:
        return this.#noteCall(kind, at);
      case shape.callIndirect:
      case shape.returnCallIndirect:
        return this.#noteUnknownCall(kind, at, skipNumber(bytes, skipNumber(bytes, at + 1)));
      case shape.callRef:
      case shape.returnCallRef:
        return this.#noteUnknownCall(kind, at, skipNumber(bytes, at + 1));
      case shape.refFunc:
        this.referenced.add(numberAt(bytes, at + 1));
        return this.#noteOperand(kind, at);
      case shape.float:
        if (this.#isDeterministic) this.#push(kind, at, at + 1, bytes[at] ?? 0);
        return at + 1;
      case shape.else:
      case shape.catchAll:
        this.#push(kind, at, at + 1, 0);
        this.#breakArm(at + 1);
        return at + 1;
      case shape.return:
      case shape.throwRef:
        this.#push(kind, at, at + 1, 0);
        return at + 1;
      case shape.branch:
      case shape.branchIf:
        this.#countBranch(numberAt(bytes, at + 1), 1);
        return this.#noteOperand(kind, at);
      case shape.branchOnNull:
        this.#countBranch(numberAt(bytes, at + 1), Number.POSITIVE_INFINITY);
        return this.#noteOperand(kind, at);
      case shape.catch:
        this.#breakArm(this.#noteOperand(kind, at));
        return skipNumber(bytes, at + 1);
      case shape.rethrow:
      case shape.throw:
      case shape.memoryGrow:
        return this.#noteOperand(kind, at);
      case shape.refusedGc:
        throw new BinaryError(`uses garbage-collected references, at byte ${at}: they live where no limit of a run holds`);
      case shape.refusedThreads:
        throw new BinaryError(`uses atomic operations, at byte ${at}: a run has one thread and no shared memory`);
      default:
        throw unknown(at, `0x${(bytes[at] ?? 0).toString(16)}`);
    }
  }

  #noteOperand(kind: number, at: number): number {
    const next = skipNumber(this.bytes, at + 1);
    this.#push(kind, at, next, numberAt(this.bytes, at + 1));
    return next;
  }

  #noteBlock(kind: number, at: number): number {
    // So that none has to stand in a small loop.
    if (kind === shape.loop && this.#sinceBreak() > segmentUnits / 2) this.#break(at);
    const next = skipNumber(this.bytes, skipTypePrefix(this.bytes, at + 1));
    if (this.#around.length >= this.#bounds.nesting) throw new BoundError(`has blocks nested deeper than ${this.#bounds.nesting}`);
    // Values may have to be moved at the block's label; at a loop's in each iteration.
    const arity = hasTypeIndex(this.bytes[at + 1] ?? 0) ? this.#arityOf(numberAt(this.bytes, at + 1)) : 0;
    if (kind !== shape.loop) this.#cost += arity;
    this.#push(kind, at, next, 0);
    if (kind === shape.loop) this.#cost += arity;
    this.#around.push(this.#loop);
    this.#broken.push(false);
    if (kind === shape.try) this.#hasTry = true;
    if (kind === shape.loop) {
      this.#openLoop(at);
      assertAtMost("loops inside each other", ++this.#loopDepth, this.#bounds.loopNesting);
    }
    this.#own.push(kind === shape.loop ? this.#loop : -1);
    return next;
  }

  /** An arm can be come to without passing a break in the one before it. */
  #breakArm(next: number): void {
    if (this.#broken.at(-1) === true) this.#break(next);
  }

  #openLoop(at: number): void {
    this.#loop = this.loopCalls.push(false) - 1;
    this.loopBroken.push(false);
    // A type that is an index may take parameters, and then a charge has no place before a branch.
    this.loopBranches.push(hasTypeIndex(this.bytes[at + 1] ?? 0) ? Number.POSITIVE_INFINITY : 0);
  }

  /** Counts a branch to a label, where that is a loop's header. */
  #countBranch(depth: number, count: number): void {
    const loop = this.#own[this.#own.length - 1 - depth] ?? -1;
    if (loop >= 0) this.loopBranches[loop] = (this.loopBranches[loop] ?? 0) + count;
  }

  #noteTryTable(at: number): number {
    const bytes = this.bytes;
    let next = this.#noteBlock(shape.tryTable, at);
    const count = numberAt(bytes, next);
    assertAtMost("clauses of one try_table", count, this.#bounds.clauses);
    next = skipNumber(bytes, next);
    for (let left = count; left > 0; left--) {
      const catches = bytes[next] ?? 0;
      next = catches < 2 ? skipNumber(bytes, next + 1) : next + 1;
      // Counted from outside of the block, which is open already.
      this.#countBranch(numberAt(bytes, next) + 1, Number.POSITIVE_INFINITY);
      next = skipNumber(bytes, next);
    }
    this.#hasTry = true;
    const { values, length } = this.notes;
    values[length - noteStride + 2] = next;
    return next;
  }

  #noteEnd(kind: number, at: number): number {
    const next = kind === shape.delegate ? skipNumber(this.bytes, at + 1) : at + 1;
    this.#push(kind, at, next, kind === shape.delegate ? numberAt(this.bytes, at + 1) : 0);
    const around = this.#around.pop();
    const own = this.#own.pop() ?? -1;
    const isBroken = this.#broken.pop() === true;
    // The function's own end closes no block.
    if (around === undefined) return next;
    if (own >= 0) {
      this.#loopDepth--;
      this.loopBroken[own] = isBroken;
      if (around >= 0 && this.loopCalls[own] === true) this.loopCalls[around] = true;
      this.#loop = around;
    }
    // What follows can be come to without passing a break inside.
    if (isBroken) this.#break(next);
    return next;
  }

  #noteBranchTable(at: number): number {
    const count = numberAt(this.bytes, at + 1);
    let next = skipNumber(this.bytes, at + 1);
    for (let left = count; left >= 0; left--) {
      this.#countBranch(numberAt(this.bytes, next), Number.POSITIVE_INFINITY);
      next = skipNumber(this.bytes, next);
    }
    this.#push(shape.branchTable, at, next, count);
    return next;
  }

  #noteCall(kind: number, at: number): number {
    const target = numberAt(this.bytes, at + 1);
    this.callTarget.push(target);
    const isHost = target < this.#importedFunctions;
    if (isHost && kind === shape.call) this.#cost += hostCallCost;
    const next = this.#noteUnknownCall(kind, at, skipNumber(this.bytes, at + 1), target);
    if (!isHost) this.#path.add(maxPaidByCaller);
    // The host may have taken the guest's fuel: it looks at once.
    else if (kind === shape.call) this.#break(next);
    return next;
  }

  #noteUnknownCall(kind: number, at: number, next: number, target = -1): number {
    this.#calls++;
    if (this.#loop >= 0) this.loopCalls[this.#loop] = true;
    this.#push(kind, at, next, target);
    return next;
  }
}

/** A block's type that is not negative as a signed number is an index. */
function hasTypeIndex(code: number): boolean {
  return code < 0x40 || code > 0x7f;
}

/** The greatest sum of costs. */
export const maxCost: number = 2 ** 29;
/** The most that callers pay for what a function may do before it charges itself. */
export const maxPaidByCaller = 250;
/** What is charged at once is little more than this: so much is run, at most, between two looks at the fuel. */
const segmentUnits = 2000;
