import { Writer } from "./writer.ts";
import { bulkOps } from "./opcodes.ts";

/** Value types as the format writes them. */
export const i32 = 0x7f;
/** A block without values. */
export const noValues = 0x40;

export const op = {
  unreachable: 0x00,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  branch: 0x0c,
  branchIf: 0x0d,
  return: 0x0f,
  call: 0x10,
  select: 0x1b,
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  globalGet: 0x23,
  globalSet: 0x24,
  memoryGrow: 0x40,
  i32Const: 0x41,
  i32Eqz: 0x45,
  i32LtS: 0x48,
  i32LtU: 0x49,
  i32GtU: 0x4b,
  i32LeU: 0x4d,
  i32GeU: 0x4f,
  i32Add: 0x6a,
  i32Sub: 0x6b,
  i32Or: 0x72,
  i32Shl: 0x74,
  i32ShrU: 0x76,
  bulk: 0xfc,
} as const;

/** A function that the rewriter adds. */
export interface Added {
  /** The index of a type of the original's, or a type as the format writes it, from its parameters on: `() -> ()` is two zeros. */
  readonly type: number | readonly number[];
  /** Locals and instructions, to the last `end`. */
  readonly body: Uint8Array;
}

export interface Indices {
  readonly checkpoint: number;
  /** The import to wait with, where there is one. */
  readonly wait: number | undefined;
  readonly refill: number;

  readonly fuel: number;
}

/** Further below zero than any charge takes fuel. */
const lowestFuel = -(2 ** 30);

/** `() -> ()`: asks the host for grants until fuel is no longer below zero. Where it gives none, nothing can catch the end. */
export function refillFunction({ checkpoint, wait, fuel }: Indices): Added {
  const out = new Writer();
  out.put(1, 1, i32);
  // An error of the host's checkpoint may be caught, and the guest go on: not until the number comes round.
  out.put(op.globalGet);
  out.u32(fuel);
  constant(out, lowestFuel);
  out.put(op.i32LtS, op.if, noValues, op.unreachable, op.end);
  out.put(op.loop, noValues, op.call);
  out.u32(checkpoint);
  out.put(op.localSet, 0);
  if (wait !== undefined) {
    out.put(op.localGet, 0, op.i32Eqz, op.if, noValues, op.call);
    out.u32(wait);
    out.put(op.localSet, 0, op.end);
  }
  out.put(op.localGet, 0, op.i32Const, 0, op.i32LtS, op.if, noValues, op.unreachable, op.end, op.globalGet);
  out.u32(fuel);
  out.put(op.localGet, 0, op.i32Add, op.localTee, 0, op.globalSet);
  out.u32(fuel);
  out.put(op.localGet, 0, op.i32Const, 0, op.i32LtS, op.branchIf, 0, op.end, op.end);
  return { type: [0, 0], body: out.bytes() };
}

/** Writes `fuel -= units; if (fuel < 0) refill()`, without a local. */
function writeCharge(out: Writer, { fuel, refill }: Indices, units: () => void): void {
  out.put(op.globalGet);
  out.u32(fuel);
  units();
  out.put(op.i32Sub, op.globalSet);
  out.u32(fuel);
  writeCheck(out, { fuel, refill });
}

/** Writes `if (fuel < 0) refill()`. */
function writeCheck(out: Writer, { fuel, refill }: Pick<Indices, "fuel" | "refill">): void {
  out.put(op.globalGet);
  out.u32(fuel);
  out.put(op.i32Const, 0, op.i32LtS, op.if, noValues, op.call);
  out.u32(refill);
  out.put(op.end);
}

export function constant(out: Writer, value: number): void {
  out.put(op.i32Const);
  out.s32(value);
}

/** Units for each page that a memory grows by: the engine zeroes it; and for growing at all, which maps it anew. */
const growShift = 6;
const growUnits = 20_000;
const growNothingUnits = 200;
/** Units for each element of a table that a bulk operation sets, and for any bulk operation. */
const elementShift = 5;
const bulkUnits = 32;

/** `(pages) -> pages`: `memory.grow`, charged by its pages; what is more than there are charges as much as there are. */
export function growFunction(indices: Indices): Added {
  const out = new Writer();
  out.put(0);
  writeCharge(out, indices, () => {
    out.put(op.localGet, 0);
    constant(out, 65_536);
    out.put(op.localGet, 0);
    constant(out, 65_536);
    out.put(op.i32LtU, op.select);
    constant(out, growShift);
    out.put(op.i32Shl);
    constant(out, growUnits);
    constant(out, growNothingUnits);
    out.put(op.localGet, 0, op.select, op.i32Add);
  });
  out.put(op.localGet, 0, op.memoryGrow, 0, op.end);
  return { type: [1, i32, 1, i32], body: out.bytes() };
}

/** How a bulk operation goes on in pieces, with a checkpoint between them. */
interface Pieces {
  /** The most bytes or elements of one piece, as a power of two. */
  readonly shift: number;
  /** Units for a piece whose length is on the stack. */
  readonly charge: readonly number[];
}

/** The first touch of a quarter of a mebibyte takes up to a millisecond or two: the system has to find each page. */
const memoryPieces: Pieces = { shift: 18, charge: [op.i32Const, 2, op.i32ShrU] };
/** Elements are set one by one, in some 25 ns each. */
const tablePieces: Pieces = { shift: 13, charge: [op.i32Const, elementShift, op.i32Shl] };
/** Longer than any table can be, growing fails without work. */
const maxTableShift = 20;

/** A bulk operation over memory or a table, charged by its length before it runs. */
export function bulkFunction(indices: Indices, code: number, immediates: Uint8Array, type: readonly number[]): Added {
  const out = new Writer();
  const operate = (): void => {
    out.put(op.bulk);
    out.u32(code);
    out.append(immediates);
  };
  if (code === bulkOps.tableGrow) {
    writeTableGrow(out, indices, operate);
  } else {
    const isMemory = code === bulkOps.memoryCopy || code === bulkOps.memoryFill || code === bulkOps.memoryInit;
    writePieces(out, code, operate, { indices, pieces: isMemory ? memoryPieces : tablePieces });
  }
  return { type, body: out.bytes() };
}

/** Parameters: 0 the value, 1 the count. */
function writeTableGrow(out: Writer, indices: Indices, operate: () => void): void {
  out.put(0);
  writeCharge(out, indices, () => {
    writeLesser(out, 1, maxTableShift);
    out.put(op.i32Const, elementShift, op.i32Shl, op.i32Const, bulkUnits, op.i32Add);
  });
  out.put(op.localGet, 0, op.localGet, 1);
  operate();
  out.put(op.end);
}

/** Writes the lesser of a local and a power of two. */
function writeLesser(out: Writer, local: number, shift: number): void {
  out.put(op.localGet, local);
  constant(out, 1 << shift);
  out.put(op.localGet, local);
  constant(out, 1 << shift);
  out.put(op.i32LtU, op.select);
}

/**
 * It is done in pieces, the highest first: the first piece traps if any would, before a byte was written, as the whole operation
 * does. Only a copy to a lower address goes upwards; its ends are tried by copies of nothing.
 *
 * Parameters: 0 target, 1 source or value, 2 length. Locals: 3 the length of one piece.
 */
function writePieces(out: Writer, code: number, operate: () => void, { indices, pieces }: { indices: Indices; pieces: Pieces }): void {
  const [target, source, length, piece] = [0, 1, 2, 3];
  const hasSource = code !== bulkOps.memoryFill && code !== bulkOps.tableFill;
  const setPiece = (): void => {
    writeLesser(out, length, pieces.shift);
    out.put(op.localSet, piece);
  };
  const chargePiece = (): void =>
    writeCharge(out, indices, () => out.put(op.localGet, piece, ...pieces.charge, op.i32Const, bulkUnits, op.i32Add));
  out.put(1, 1, i32);
  // Short, or around the end of the address space, where the whole operation traps: in one piece.
  out.put(op.localGet, length);
  constant(out, 1 << pieces.shift);
  out.put(op.i32LeU, op.localGet, target, op.localGet, length, op.i32Add, op.localGet, target, op.i32LtU, op.i32Or);
  if (hasSource) out.put(op.localGet, source, op.localGet, length, op.i32Add, op.localGet, source, op.i32LtU, op.i32Or);
  out.put(op.if, noValues);
  // An operation that traps for its length charges as much as one piece.
  setPiece();
  chargePiece();
  out.put(op.localGet, target, op.localGet, source, op.localGet, length);
  operate();
  out.put(op.return, op.end);
  const each = { setPiece, chargePiece, operate };
  if (code === bulkOps.memoryCopy || code === bulkOps.tableCopy) {
    out.put(op.localGet, target, op.localGet, source, op.i32LtU, op.if, noValues);
    writeUpwards(out, each);
    out.put(op.return, op.end);
  }
  writeDownwards(out, { ...each, hasSource });
  out.put(op.end);
}

interface Each {
  readonly setPiece: () => void;
  readonly chargePiece: () => void;
  readonly operate: () => void;
}

function writeDownwards(out: Writer, { setPiece, chargePiece, operate, hasSource }: Each & { readonly hasSource: boolean }): void {
  out.put(op.loop, noValues);
  setPiece();
  chargePiece();
  // length -= piece; then operate on [target + length, piece)
  out.put(op.localGet, 2, op.localGet, 3, op.i32Sub, op.localSet, 2);
  out.put(op.localGet, 0, op.localGet, 2, op.i32Add, op.localGet, 1);
  if (hasSource) out.put(op.localGet, 2, op.i32Add);
  out.put(op.localGet, 3);
  operate();
  out.put(op.localGet, 2, op.branchIf, 0, op.end);
}

function writeUpwards(out: Writer, { setPiece, chargePiece, operate }: Each): void {
  out.put(op.localGet, 0, op.localGet, 2, op.i32Add, op.localGet, 1, op.localGet, 2, op.i32Add, op.i32Const, 0);
  operate();
  out.put(op.loop, noValues);
  setPiece();
  chargePiece();
  out.put(op.localGet, 0, op.localGet, 1, op.localGet, 3);
  operate();
  for (const local of [0, 1]) out.put(op.localGet, local, op.localGet, 3, op.i32Add, op.localSet, local);
  out.put(op.localGet, 2, op.localGet, 3, op.i32Sub, op.localTee, 2, op.branchIf, 0, op.end);
}

/** Charges an entry for which callers pay, and passes the call on: for callers that are not in the module. */
export function entryFunction(indices: Indices, target: number, cost: number, parameters: number, type: number): Added {
  const out = new Writer();
  out.put(0);
  if (cost > 0) writeCharge(out, indices, () => constant(out, cost));
  for (let index = 0; index < parameters; index++) {
    out.put(op.localGet);
    out.u32(index);
  }
  out.put(op.call);
  out.u32(target);
  // Behind a host function somebody must look at the fuel, which it may have taken.
  writeCheck(out, indices);
  out.put(op.end);
  return { type, body: out.bytes() };
}
