/**
 * Every instruction of the binary format that engines ship (Core specification 3.0, §5.4, the exception handling of
 * before it, and the threads proposal), by how its immediates are read.
 */
export const shape = {
  unknown: 0,
  /** No immediates. */
  plain: 1,
  /** One number in LEB128. */
  one: 2,
  memoryArgument: 3,
  fourBytes: 4,
  eightBytes: 5,
  sixteenBytes: 6,
  /** A memory argument and a lane. */
  memoryLane: 7,
  lane: 8,
  /** A vector of value types. */
  types: 9,
  /** From here on an instruction is looked at, and not only stepped over. */
  block: 10,
  loop: 11,
  if: 12,
  else: 13,
  end: 14,
  branch: 15,
  branchIf: 16,
  branchTable: 17,
  branchOnNull: 18,
  return: 19,
  call: 20,
  callIndirect: 21,
  callRef: 22,
  returnCall: 23,
  returnCallIndirect: 24,
  returnCallRef: 25,
  try: 26,
  catch: 27,
  catchAll: 28,
  delegate: 29,
  rethrow: 30,
  throw: 31,
  throwRef: 32,
  tryTable: 33,
  refFunc: 34,
  memoryGrow: 35,
  /** A bulk operation, charged by its length. */
  bulk: 36,
  /** Gives a float that may be a NaN. */
  float: 37,
  prefix: 38,
  refusedGc: 39,
  refusedThreads: 40,
  refusedRelaxed: 41,
  /** No instruction: a place where the scan found that a charge must stand. */
  break: 42,
} as const;

export type Shape = (typeof shape)[keyof typeof shape];

/** The first shape that a function's scan has to look at. */
export const firstNoted: number = shape.block;

type Range = readonly [from: number, to: number, shape: Shape];

function tableOf(size: number, ranges: readonly Range[]): Uint8Array {
  const table = new Uint8Array(size);
  for (const [from, to, kind] of ranges) table.fill(kind, from, to + 1);
  return table;
}

export const oneByte: Uint8Array = tableOf(256, [
  [0x00, 0x01, shape.plain], // unreachable, nop
  [0x02, 0x02, shape.block],
  [0x03, 0x03, shape.loop],
  [0x04, 0x04, shape.if],
  [0x05, 0x05, shape.else],
  [0x06, 0x06, shape.try],
  [0x07, 0x07, shape.catch],
  [0x08, 0x08, shape.throw],
  [0x09, 0x09, shape.rethrow],
  [0x0a, 0x0a, shape.throwRef],
  [0x0b, 0x0b, shape.end],
  [0x0c, 0x0c, shape.branch],
  [0x0d, 0x0d, shape.branchIf],
  [0x0e, 0x0e, shape.branchTable],
  [0x0f, 0x0f, shape.return],
  [0x10, 0x10, shape.call],
  [0x11, 0x11, shape.callIndirect],
  [0x12, 0x12, shape.returnCall],
  [0x13, 0x13, shape.returnCallIndirect],
  [0x14, 0x14, shape.callRef],
  [0x15, 0x15, shape.returnCallRef],
  [0x18, 0x18, shape.delegate],
  [0x19, 0x19, shape.catchAll],
  [0x1a, 0x1b, shape.plain], // drop, select
  [0x1c, 0x1c, shape.types], // select with types
  [0x1f, 0x1f, shape.tryTable],
  [0x20, 0x26, shape.one], // local, global, table.get, table.set
  [0x28, 0x3e, shape.memoryArgument],
  [0x3f, 0x3f, shape.one], // memory.size
  [0x40, 0x40, shape.memoryGrow],
  [0x41, 0x42, shape.one], // i32.const, i64.const
  [0x43, 0x43, shape.fourBytes],
  [0x44, 0x44, shape.eightBytes],
  [0x45, 0x8a, shape.plain],
  [0x8b, 0x8c, shape.plain], // f32.abs, f32.neg
  [0x8d, 0x97, shape.float], // f32.ceil … f32.max
  [0x98, 0x98, shape.plain], // f32.copysign
  [0x99, 0x9a, shape.plain],
  [0x9b, 0xa5, shape.float],
  [0xa6, 0xb5, shape.plain],
  [0xb6, 0xb6, shape.float], // f32.demote_f64
  [0xb7, 0xba, shape.plain],
  [0xbb, 0xbb, shape.float], // f64.promote_f32
  [0xbc, 0xc4, shape.plain],
  [0xd0, 0xd0, shape.one], // ref.null with a heap type
  [0xd1, 0xd1, shape.plain],
  [0xd2, 0xd2, shape.refFunc],
  [0xd3, 0xd3, shape.refusedGc], // ref.eq
  [0xd4, 0xd4, shape.plain], // ref.as_non_null
  [0xd5, 0xd6, shape.branchOnNull],
  [0xfb, 0xfb, shape.refusedGc],
  [0xfc, 0xfd, shape.prefix],
  [0xfe, 0xfe, shape.refusedThreads],
]);

/** After 0xFC. */
export const bulkOps = {
  memoryInit: 8,
  dataDrop: 9,
  memoryCopy: 10,
  memoryFill: 11,
  tableInit: 12,
  elementDrop: 13,
  tableCopy: 14,
  tableGrow: 15,
  tableSize: 16,
  tableFill: 17,
} as const;

export const afterFc: Uint8Array = tableOf(18, [
  [0, 7, shape.plain], // saturating conversions
  [bulkOps.memoryInit, bulkOps.memoryInit, shape.bulk],
  [bulkOps.dataDrop, bulkOps.dataDrop, shape.one],
  [bulkOps.memoryCopy, bulkOps.tableInit, shape.bulk],
  [bulkOps.elementDrop, bulkOps.elementDrop, shape.one],
  [bulkOps.tableCopy, bulkOps.tableGrow, shape.bulk],
  [bulkOps.tableSize, bulkOps.tableSize, shape.one],
  [bulkOps.tableFill, bulkOps.tableFill, shape.bulk],
]);

/** How many numbers follow a bulk operation. */
export const bulkImmediates: readonly number[] = [0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 1, 2, 1, 2, 1, 1, 1];

/** After 0xFD. */
export const afterFd: Uint8Array = tableOf(0x114, [
  [0x00, 0x0b, shape.memoryArgument],
  [0x0c, 0x0d, shape.sixteenBytes], // v128.const, i8x16.shuffle
  [0x0e, 0x14, shape.plain],
  [0x15, 0x22, shape.lane],
  [0x23, 0x53, shape.plain],
  [0x54, 0x5b, shape.memoryLane],
  [0x5c, 0x5d, shape.memoryArgument],
  [0x5e, 0x5f, shape.float], // f32x4.demote, f64x2.promote
  [0x60, 0x66, shape.plain],
  [0x67, 0x6a, shape.float], // f32x4.ceil, floor, trunc, nearest
  [0x6b, 0x73, shape.plain],
  [0x74, 0x75, shape.float], // f64x2.ceil, floor
  [0x76, 0x79, shape.plain],
  [0x7a, 0x7a, shape.float], // f64x2.trunc
  [0x7b, 0x93, shape.plain],
  [0x94, 0x94, shape.float], // f64x2.nearest
  [0x95, 0x99, shape.plain],
  [0x9b, 0xa1, shape.plain],
  [0xa3, 0xa4, shape.plain],
  [0xa7, 0xae, shape.plain],
  [0xb1, 0xb1, shape.plain],
  [0xb5, 0xba, shape.plain],
  [0xbc, 0xc1, shape.plain],
  [0xc3, 0xc4, shape.plain],
  [0xc7, 0xce, shape.plain],
  [0xd1, 0xd1, shape.plain],
  [0xd5, 0xe1, shape.plain],
  [0xe3, 0xe3, shape.float], // f32x4.sqrt
  [0xe4, 0xe9, shape.float], // f32x4.add … max
  [0xea, 0xed, shape.plain], // pmin, pmax, f64x2.abs, neg
  [0xef, 0xf5, shape.float], // f64x2.sqrt … max
  [0xf6, 0xff, shape.plain],
  [0x100, 0x113, shape.refusedRelaxed],
]);

/** What a vector instruction costs, and a load or a store. */
export const vectorCost = 2;
export const memoryCost = 4;

/** Units of the instructions that cost more, or less, than one. */
export const costs: Uint8Array = costTable();

function costTable(): Uint8Array {
  const table = new Uint8Array(256).fill(1);
  // What only gives the code its structure.
  for (const free of [0x01, 0x02, 0x03, 0x05, 0x0b, 0x1a]) table[free] = 0;
  // Divisions, remainders and square roots.
  for (const slow of [0x6d, 0x6e, 0x6f, 0x70, 0x7f, 0x80, 0x81, 0x82, 0x91, 0x95, 0x9f, 0xa3]) table[slow] = 8;
  for (const call of [0x10, 0x12]) table[call] = 3;
  for (const indirect of [0x11, 0x13, 0x14, 0x15]) table[indirect] = 8;
  // Catching and throwing walk the stack; a handler is looked at by each exception that comes through.
  for (const exception of [0x08, 0x09, 0x0a]) table[exception] = 200;
  for (const handler of [0x06, 0x1f]) table[handler] = 20;
  // A load that misses all caches takes a hundred times as long as one that does not.
  table.fill(memoryCost, 0x28, 0x3f);
  table[0x25] = 2;
  table[0x26] = 16;
  return table;
}

/** The charge for a call of an imported function: it leaves WebAssembly and does work of the host's. */
export const hostCallCost = 64;
