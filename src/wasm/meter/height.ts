import { Reader } from "../binary.ts";
import { readValueType, type Signature } from "../types.ts";
import { oneByte, shape } from "./opcodes.ts";
import { numberAt, skipImmediates } from "./skip.ts";

/** What the instructions do to the height of the operand stack, in values; those with blocks, branches and calls aside. */
type Change = readonly [from: number, to: number, change: number];

function tableOf(size: number, changes: readonly Change[]): Int8Array {
  const table = new Int8Array(size);
  for (const [from, to, change] of changes) table.fill(change, from, to + 1);
  return table;
}

const oneByteChanges = tableOf(256, [
  [0x1a, 0x1a, -1],
  [0x1b, 0x1c, -2],
  [0x20, 0x20, 1],
  [0x21, 0x21, -1],
  [0x23, 0x23, 1],
  [0x24, 0x24, -1],
  [0x26, 0x26, -2],
  [0x36, 0x3e, -2],
  [0x3f, 0x3f, 1],
  [0x41, 0x44, 1],
  [0x46, 0x4f, -1],
  [0x51, 0x66, -1],
  [0x6a, 0x78, -1],
  [0x7c, 0x8a, -1],
  [0x92, 0x98, -1],
  [0xa0, 0xa6, -1],
  [0xd0, 0xd0, 1],
  [0xd2, 0xd2, 1],
]);

const bulkChanges: readonly number[] = [0, 0, 0, 0, 0, 0, 0, 0, -3, 0, -3, -3, -3, 0, -3, -1, 1, -3];

const vectorChanges = tableOf(0x100, [
  [0x0b, 0x0b, -2],
  [0x0c, 0x0c, 1],
  [0x0d, 0x0e, -1],
  [0x17, 0x17, -1],
  [0x1a, 0x1a, -1],
  [0x1c, 0x1c, -1],
  [0x1e, 0x1e, -1],
  [0x20, 0x20, -1],
  [0x22, 0x4c, -1],
  [0x4e, 0x51, -1],
  [0x52, 0x52, -2],
  [0x54, 0x57, -1],
  [0x58, 0x5b, -2],
  [0x65, 0x66, -1],
  [0x6b, 0x73, -1],
  [0x76, 0x79, -1],
  [0x7b, 0x7b, -1],
  [0x82, 0x82, -1],
  [0x85, 0x86, -1],
  [0x8b, 0x93, -1],
  [0x95, 0x9f, -1],
  [0xab, 0xae, -1],
  [0xb1, 0xbf, -1],
  [0xcb, 0xce, -1],
  [0xd1, 0xdf, -1],
  [0xe4, 0xeb, -1],
  [0xf0, 0xf7, -1],
]);

/** What the module says of types and functions. */
export interface Types {
  readonly signatures: readonly Signature[];
  readonly signatureOf: (index: number) => Signature;
}

interface Frame {
  readonly base: number;
  readonly parameters: number;
  readonly results: number;
}

/** The greatest height of the operand stack in a valid function body, in values. */
export function greatestHeight(bytes: Uint8Array, codeAt: number, end: number, types: Types): number {
  const frames: Frame[] = [];
  let height = 0;
  let greatest = 0;
  for (let at = codeAt; at < end;) {
    const op = bytes[at] ?? 0;
    const kind = oneByte[op] ?? 0;
    const around = frames.at(-1)?.base ?? 0;
    switch (kind) {
      case shape.if:
      case shape.block:
      case shape.loop:
      case shape.try:
      case shape.tryTable: {
        if (kind === shape.if) height--;
        const [parameters, results] = readBlockType(bytes, at + 1, types.signatures);
        frames.push({ base: height - parameters, parameters, results });
        break;
      }
      case shape.else: {
        const frame = frames.at(-1);
        height = around + (frame?.parameters ?? 0);
        break;
      }
      case shape.catch:
      case shape.catchAll:
        // What is caught is at most as many values as a tag may have.
        height = around + (kind === shape.catch ? 16 : 0);
        break;
      case shape.end:
      case shape.delegate: {
        const frame = frames.pop();
        height = (frame?.base ?? 0) + (frame?.results ?? 0);
        break;
      }
      case shape.branch:
      case shape.branchTable:
      case shape.return:
      case shape.throw:
      case shape.rethrow:
      case shape.throwRef:
      case shape.returnCall:
      case shape.returnCallIndirect:
      case shape.returnCallRef:
        height = around;
        break;
      case shape.branchIf:
        height--;
        break;
      case shape.branchOnNull:
        height -= op === 0xd6 ? 1 : 0;
        break;
      case shape.call:
        height += changeOf(types.signatureOf(numberAt(bytes, at + 1)));
        break;
      case shape.callIndirect:
      case shape.callRef:
        height += changeOf(types.signatures[numberAt(bytes, at + 1)]) - 1;
        break;
      case shape.prefix: {
        const code = numberAt(bytes, at + 1);
        height += (op === 0xfc ? bulkChanges[code] : vectorChanges[code]) ?? 0;
        break;
      }
      default:
        height += op === 0x00 ? around - height : (oneByteChanges[op] ?? 0);
    }
    // After a branch the stack may hold anything: a count below the block's base is of values that are never there.
    height = Math.max(height, frames.at(-1)?.base ?? 0);
    greatest = Math.max(greatest, height);
    at = skipImmediates(bytes, at);
  }
  return greatest;
}

function changeOf(signature: Signature | undefined): number {
  return (signature?.results.length ?? 0) - (signature?.parameters.length ?? 0);
}

function readBlockType(bytes: Uint8Array, at: number, signatures: readonly Signature[]): readonly [parameters: number, results: number] {
  const code = bytes[at] ?? 0;
  if (code === 0x40) return [0, 0];
  // One byte with bit 6 set is a negative number: a value type.
  if (code < 0x80 && code >= 0x40) {
    readValueType(new Reader(bytes, at));
    return [0, 1];
  }
  const signature = signatures[numberAt(bytes, at)];
  return [signature?.parameters.length ?? 0, signature?.results.length ?? 0];
}
