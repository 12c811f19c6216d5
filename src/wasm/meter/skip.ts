import { BinaryError } from "../binary.ts";
import { afterFc, afterFd, bulkImmediates, oneByte, shape } from "./opcodes.ts";

/** Stepping over instructions and their immediates. The bytes have been validated, so that nothing ends in the middle. */

export function unknown(at: number, code: string): BinaryError {
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
export function skipTypePrefix(bytes: Uint8Array, at: number): number {
  const code = bytes[at] ?? 0;
  return code === 0x63 || code === 0x64 ? at + 1 : at;
}

export function skipMemoryArgument(bytes: Uint8Array, at: number): number {
  const align = bytes[at] ?? 0;
  const next = skipNumber(bytes, at);
  // Bit 6 says that the index of a memory follows.
  return skipNumber(bytes, (align & 0x40) === 0 ? next : skipNumber(bytes, next));
}

export function skipRare(bytes: Uint8Array, at: number, kind: number, op: number): number {
  if (kind === shape.fourBytes) return at + 5;
  if (kind === shape.eightBytes) return at + 9;
  if (kind !== shape.types) throw unknown(at, `0x${op.toString(16)}`);
  let next = skipNumber(bytes, at + 1);
  for (let left = numberAt(bytes, at + 1); left > 0; left--) next = skipNumber(bytes, skipTypePrefix(bytes, next));
  return next;
}

/** Where the instruction after this one begins. */
export function skipImmediates(bytes: Uint8Array, at: number): number {
  const op = bytes[at] ?? 0;
  switch (oneByte[op]) {
    case shape.plain:
    case shape.else:
    case shape.end:
    case shape.return:
    case shape.throwRef:
    case shape.catchAll:
    case shape.float:
      return at + 1;
    case shape.memoryArgument:
      return skipMemoryArgument(bytes, at + 1);
    case shape.fourBytes:
    case shape.eightBytes:
    case shape.types:
      return skipRare(bytes, at, oneByte[op] ?? 0, op);
    case shape.block:
    case shape.loop:
    case shape.if:
    case shape.try:
      return skipNumber(bytes, skipTypePrefix(bytes, at + 1));
    case shape.tryTable:
      return skipCatches(bytes, skipNumber(bytes, skipTypePrefix(bytes, at + 1)));
    case shape.branchTable: {
      let next = skipNumber(bytes, at + 1);
      for (let left = numberAt(bytes, at + 1); left >= 0; left--) next = skipNumber(bytes, next);
      return next;
    }
    case shape.callIndirect:
    case shape.returnCallIndirect:
      return skipNumber(bytes, skipNumber(bytes, at + 1));
    case shape.prefix:
      return skipPrefixed(bytes, op, at);
    default:
      return skipNumber(bytes, at + 1);
  }
}

function skipCatches(bytes: Uint8Array, at: number): number {
  let next = skipNumber(bytes, at);
  for (let left = numberAt(bytes, at); left > 0; left--) {
    next = skipNumber(bytes, (bytes[next] ?? 0) < 2 ? skipNumber(bytes, next + 1) : next + 1);
  }
  return next;
}

export function skipPrefixed(bytes: Uint8Array, prefix: number, at: number): number {
  const op = numberAt(bytes, at + 1);
  let next = skipNumber(bytes, at + 1);
  switch (prefix === 0xfc ? afterFc[op] : afterFd[op]) {
    case shape.plain:
    case shape.float:
    case shape.refusedRelaxed:
      return next;
    case shape.one:
      return skipNumber(bytes, next);
    case shape.bulk:
      for (let count = bulkImmediates[op] ?? 0; count > 0; count--) next = skipNumber(bytes, next);
      return next;
    case shape.memoryArgument:
      return skipMemoryArgument(bytes, next);
    case shape.memoryLane:
      return skipMemoryArgument(bytes, next) + 1;
    case shape.lane:
      return next + 1;
    case shape.sixteenBytes:
      return next + 16;
    default:
      throw unknown(at, `0x${prefix.toString(16)} ${op}`);
  }
}
