import { op } from "./helpers.ts";
import type { Writer } from "./writer.ts";

/** Kinds of NaN, by what instruction gave it. */
export type FloatKind = "f32" | "f64" | "f32x4" | "f64x2";

/** By the noted operand: an opcode, or a prefix times 4,096 with the opcode after it. */
export function floatKind(operand: number): FloatKind {
  if (operand < 0x1000) return operand === 0xb6 || operand < 0x9b ? "f32" : "f64";
  const code = operand % 0x1000;
  const isSingle = code === 0x5e || (code >= 0x67 && code <= 0x6a) || (code >= 0xe3 && code <= 0xe9);
  return isSingle ? "f32x4" : "f64x2";
}

const nanBytes: Readonly<Record<FloatKind, readonly number[]>> = {
  f32: [0, 0, 0xc0, 0x7f],
  f64: [0, 0, 0, 0, 0, 0, 0xf8, 0x7f],
  f32x4: [0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f],
  f64x2: [0, 0, 0, 0, 0, 0, 0xf8, 0x7f, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f],
};

const constants: Readonly<Record<FloatKind, readonly number[]>> = { f32: [0x43], f64: [0x44], f32x4: [0xfd, 12], f64x2: [0xfd, 12] };
const equals: Readonly<Record<FloatKind, readonly number[]>> = { f32: [0x5b], f64: [0x61], f32x4: [0xfd, 0x41], f64x2: [0xfd, 0x47] };
const choose: Readonly<Record<FloatKind, readonly number[]>> = { f32: [0x1b], f64: [0x1b], f32x4: [0xfd, 0x52], f64x2: [0xfd, 0x52] };

/** `x == x ? x : NaN`, with the one NaN that the specification calls canonical, without a sign. */
export function writeCanonical(out: Writer, kind: FloatKind, local: number): void {
  out.put(op.localTee);
  out.u32(local);
  out.put(...constants[kind], ...nanBytes[kind]);
  for (let twice = 0; twice < 2; twice++) {
    out.put(op.localGet);
    out.u32(local);
  }
  out.put(...equals[kind], ...choose[kind]);
}

/**
 * The stack that all calls together may take, in bytes by {@link frameBytes}: less than any engine gives, with what its
 * own frames take, so that a guest ends at the same depth everywhere.
 */
export const stackBytes: number = 768 * 1024;

/**
 * More than an engine's frame takes that keeps each local and each value of the operand stack in memory, and passes
 * parameters and results through memory too. `slotBytes`: of the widest value in the module, with room for its place.
 */
export function frameBytes(
  values: { readonly locals: number; readonly height: number; readonly passed: number },
  slotBytes: 16 | 32,
): number {
  return 160 + slotBytes * (values.locals + values.height + values.passed);
}
