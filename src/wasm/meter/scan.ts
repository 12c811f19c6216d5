import { BinaryError, BoundError } from "../binary.ts";
import type { ModuleBounds } from "./bounds.ts";
import {
  afterFc,
  afterFd,
  bulkImmediates,
  bulkOps,
  costs,
  firstNoted,
  hostCallCost,
  oneByte,
  shape,
  vectorCost,
} from "./opcodes.ts";

/**
 * What the scan notes of an instruction that the rewriter has to look at: its shape, where it begins and ends, and its first
 * operand (a function's index, a label's depth, an opcode after a prefix).
 */
export const noteStride = 4;

/** One function's part of the {@link Scan}. */
export interface FunctionScan {
  readonly notesFrom: number;
  readonly notesTo: number;
  /** The first region is the function's own, each further one a loop's, in the order of their headers. */
  readonly regionsFrom: number;
  readonly regionsTo: number;
  readonly callsFrom: number;
  readonly callsTo: number;
  readonly hasTry: boolean;
  readonly floats: boolean;
}

/** Grows; read as plain numbers. */
class Numbers {
  values = new Int32Array(1024);
  length = 0;

  push4(a: number, b: number, c: number, d: number): void {
    if (this.length + 4 > this.values.length) this.#grow();
    const { values } = this;
    values[this.length] = a;
    values[this.length + 1] = b;
    values[this.length + 2] = c;
    values[this.length + 3] = d;
    this.length += 4;
  }

  #grow(): void {
    const grown = new Int32Array(this.values.length * 2);
    grown.set(this.values);
    this.values = grown;
  }
}


/**
 * Reads function bodies, once each, and keeps what placing and writing the charges needs. The bytes have been validated
 * by the engine; a part of the format that this reader does not know is refused, never stepped over.
 */
export class Scan {
  readonly notes = new Numbers();
  /** By region: its static cost, the loop around it (or -1), and whether anything in it or in an inner loop calls. */
  readonly cost: number[] = [];
  readonly parent: number[] = [];
  readonly calls: boolean[] = [];
  /** By region of a loop: where it begins, at its opcode, and where its body does. */
  readonly loopAt: number[] = [];
  /** By call: its region and the function called. */
  readonly callRegion: number[] = [];
  readonly callTarget: number[] = [];
  /** Functions that `ref.func` names. */
  readonly referenced = new Set<number>();
  readonly #bytes: Uint8Array;
  readonly #importedFunctions: number;
  readonly #bounds: ModuleBounds;
  #frames: number[] = [];
  #region = 0;
  #hasTry = false;
  #floats = false;
  #joins = 0;

  constructor(bytes: Uint8Array, importedFunctions: number, bounds: ModuleBounds) {
    this.#bytes = bytes;
    this.#importedFunctions = importedFunctions;
    this.#bounds = bounds;
  }

  /** Reads the instructions of one function, from after its locals to its end. */
  scan(start: number, end: number, locals: number): FunctionScan {
    const [notesFrom, regionsFrom, callsFrom] = [this.notes.length, this.cost.length, this.callTarget.length];
    this.#frames = [];
    this.#hasTry = this.#floats = false;
    this.#open(-1, start);
    this.#read(start, end);
    const blocks = (this.notes.length - notesFrom) / noteStride;
    this.#joins += blocks * locals;
    if (this.#joins > this.#bounds.joins) {
      throw new BoundError(`has ${this.#joins} joins of locals at the ends of blocks, the most is ${this.#bounds.joins}`);
    }
    return {
      notesFrom,
      notesTo: this.notes.length,
      regionsFrom,
      regionsTo: this.cost.length,
      callsFrom,
      callsTo: this.callTarget.length,
      hasTry: this.#hasTry,
      floats: this.#floats,
    };
  }

  #open(parent: number, at: number): void {
    this.#region = this.cost.length;
    this.cost.push(0);
    this.parent.push(parent);
    this.calls.push(false);
    this.loopAt.push(at);
  }

  /** The whole of the hot path: what needs no look is stepped over here. */
  #read(start: number, end: number): void {
    const bytes = this.#bytes;
    let cost = 0;
    let at = start;
    while (at < end) {
      const op = bytes[at] ?? 0;
      const kind = oneByte[op] ?? 0;
      cost += costs[op] ?? 0;
      if (kind === shape.plain) {
        at++;
      } else if (kind === shape.one) {
        at = skipNumber(bytes, at + 1);
      } else if (kind === shape.memoryArgument) {
        at = skipMemoryArgument(bytes, at + 1);
      } else if (kind >= firstNoted) {
        const region = this.#region;
        if (kind === shape.loop) {
          this.#addCost(region, cost);
          cost = 0;
        }
        const next = kind === shape.prefix ? this.#readPrefixed(op, at) : this.#note(kind, at);
        if (kind === shape.prefix) cost += op === 0xfd ? vectorCost - 1 : 0;
        else if (this.#region !== region && kind !== shape.loop) {
          this.#addCost(region, cost);
          cost = 0;
        }
        if (kind === shape.call || kind === shape.returnCall) {
          if ((this.notes.values[this.notes.length - 1] ?? 0) < this.#importedFunctions) cost += hostCallCost;
        }
        at = next;
      } else {
        at = skipRare(bytes, at, kind, op);
      }
    }
    this.#addCost(this.#region, cost);
    if (this.#frames.length > 0 || at !== end) throw new BinaryError(`has a function that does not end at byte ${end}`);
  }

  #addCost(region: number, cost: number): void {
    this.cost[region] = Math.min((this.cost[region] ?? 0) + cost, maxCost);
  }

  #readPrefixed(prefix: number, at: number): number {
    const bytes = this.#bytes;
    const op = numberAt(bytes, at + 1);
    let next = skipNumber(bytes, at + 1);
    const kind = (prefix === 0xfc ? afterFc[op] : afterFd[op]) ?? shape.unknown;
    if (kind === shape.unknown) throw unknown(at, `0x${prefix.toString(16)} ${op}`);
    if (kind === shape.bulk) {
      for (let count = bulkImmediates[op] ?? 0; count > 0; count--) next = skipNumber(bytes, next);
      if (op !== bulkOps.dataDrop && op !== bulkOps.elementDrop) this.notes.push4(kind, at, next, op);
      return next;
    }
    if (kind === shape.float || kind === shape.refusedRelaxed) {
      this.#floats = true;
      this.notes.push4(kind, at, next, prefix * 0x1000 + op);
      return next;
    }
    if (kind === shape.plain) return next;
    if (kind === shape.one) return skipNumber(bytes, next);
    if (kind === shape.memoryArgument) return skipMemoryArgument(bytes, next);
    if (kind === shape.memoryLane) return skipMemoryArgument(bytes, next) + 1;
    return next + (kind === shape.lane ? 1 : 16);
  }

  /** Takes one instruction that matters into the notes; gives where the next one begins. */
  #note(kind: number, at: number): number {
    const bytes = this.#bytes;
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
        this.#floats = true;
        this.notes.push4(kind, at, at + 1, bytes[at] ?? 0);
        return at + 1;
      case shape.else:
      case shape.return:
      case shape.throwRef:
      case shape.catchAll:
        this.notes.push4(kind, at, at + 1, 0);
        return at + 1;
      case shape.branch:
      case shape.branchIf:
      case shape.branchOnNull:
      case shape.catch:
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
    const next = skipNumber(this.#bytes, at + 1);
    this.notes.push4(kind, at, next, numberAt(this.#bytes, at + 1));
    return next;
  }

  #noteBlock(kind: number, at: number): number {
    const next = skipNumber(this.#bytes, skipTypePrefix(this.#bytes, at + 1));
    if (this.#frames.length >= this.#bounds.nesting) throw new BoundError(`has blocks nested deeper than ${this.#bounds.nesting}`);
    this.#frames.push(this.#region);
    if (kind === shape.try) this.#hasTry = true;
    this.notes.push4(kind, at, next, 0);
    if (kind === shape.loop) this.#open(this.#region, at);
    return next;
  }

  #noteTryTable(at: number): number {
    const bytes = this.#bytes;
    let next = this.#noteBlock(shape.tryTable, at);
    const count = numberAt(bytes, next);
    next = skipNumber(bytes, next);
    for (let left = count; left > 0; left--) {
      const catches = bytes[next] ?? 0;
      next = skipNumber(bytes, next + 1);
      if (catches < 2) next = skipNumber(bytes, next);
    }
    this.#hasTry = true;
    const { values, length } = this.notes;
    values[length - 2] = next;
    return next;
  }

  #noteEnd(kind: number, at: number): number {
    const next = kind === shape.delegate ? skipNumber(this.#bytes, at + 1) : at + 1;
    this.notes.push4(kind, at, next, kind === shape.delegate ? numberAt(this.#bytes, at + 1) : 0);
    const around = this.#frames.pop();
    // The function's own end closes no block.
    if (around === undefined) return next;
    if (this.calls[this.#region] === true) this.calls[around] = true;
    this.#region = around;
    return next;
  }

  #noteBranchTable(at: number): number {
    let next = at + 1;
    const count = numberAt(this.#bytes, next);
    next = skipNumber(this.#bytes, next);
    for (let left = count; left >= 0; left--) next = skipNumber(this.#bytes, next);
    this.notes.push4(shape.branchTable, at, next, count);
    return next;
  }

  #noteCall(kind: number, at: number): number {
    const target = numberAt(this.#bytes, at + 1);
    this.callRegion.push(this.#region);
    this.callTarget.push(target);
    this.calls[this.#region] = true;
    const next = skipNumber(this.#bytes, at + 1);
    this.notes.push4(kind, at, next, target);
    return next;
  }

  #noteUnknownCall(kind: number, at: number, next: number): number {
    this.calls[this.#region] = true;
    this.notes.push4(kind, at, next, 0);
    return next;
  }
}

/** The greatest charge of one region: below what a grant can be. */
export const maxCost: number = 2 ** 29;

function unknown(at: number, code: string): BinaryError {
  return new BinaryError(`has the unknown instruction ${code} at byte ${at}`);
}

export function skipNumber(bytes: Uint8Array, at: number): number {
  let next = at;
  while ((bytes[next] ?? 0) > 127) next++;
  return next + 1;
}

/** Of at most 32 bits. */
export function numberAt(bytes: Uint8Array, at: number): number {
  let value = 0;
  for (let shift = 0, next = at; shift < 35; shift += 7) {
    const byte = bytes[next++] ?? 0;
    value |= (byte & 127) << shift;
    if (byte < 128) break;
  }
  return value >>> 0;
}

/** A block's type is one signed number, except that a typed reference has one more byte before it. */
function skipTypePrefix(bytes: Uint8Array, at: number): number {
  const code = bytes[at] ?? 0;
  return code === 0x63 || code === 0x64 ? at + 1 : at;
}

function skipMemoryArgument(bytes: Uint8Array, at: number): number {
  const align = bytes[at] ?? 0;
  const next = skipNumber(bytes, at);
  // Bit 6 says that the index of a memory follows.
  return skipNumber(bytes, (align & 0x40) === 0 ? next : skipNumber(bytes, next));
}

function skipRare(bytes: Uint8Array, at: number, kind: number, op: number): number {
  if (kind === shape.fourBytes) return at + 5;
  if (kind === shape.eightBytes) return at + 9;
  if (kind !== shape.types) throw unknown(at, `0x${op.toString(16)}`);
  let next = skipNumber(bytes, at + 1);
  for (let left = numberAt(bytes, at + 1); left > 0; left--) next = skipNumber(bytes, skipTypePrefix(bytes, next));
  return next;
}
