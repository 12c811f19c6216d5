import type { Body } from "./body.ts";
import type { NumberType } from "./encoding.ts";
import { scalarOperations, type Operation } from "./operations.ts";
import { relaxedOperations, vectorOperations } from "./vector-operations.ts";

const specialI32 = [0, 1, -1, 2, 3, 4, 7, 8, 16, 63, 64, 255, 4096, 65_535, 65_536, 0x7fffffff, -0x80000000, -2, -7, 0x12345678];
const specialF32 = [0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x00000001, 0x4f000000, 0x40490fdb, 0x7fc00000];
/** Other NaNs: a payload, a sign, a signalling one. */
export const oddNansF32 = [0x7fc00001, 0xffc00000, 0xffedcba9, 0x7f800001, 0xff812345];
const specialF64 = [0n, 1n << 63n, 0x3ff0000000000000n, 0x7ff0000000000000n, 1n, 0x41dfffffffc00000n, 0x43e0000000000000n];
export const canonicalF32 = 0x7fc00000;
export const canonicalF64 = 0x7ff8000000000000n;
export const oddNansF64 = [0x7ff8000000000001n, 0xfff8000000000000n, 0xfff123456789abcdn, 0x7ff0000000000001n];

export function smallConstant(body: Body, type: NumberType): void {
  const { choices } = body;
  if (type === "i32") body.i32(choices.once(3) ? choices.below(2 ** 32) : choices.pick(specialI32));
  else if (type === "i64") body.i64(choices.once(3) ? wide(body) : BigInt(choices.pick(specialI32)));
  else if (type === "f32") body.op(0x43).code.little(BigInt(choices.pick(choices.once(6) ? oddNansF32 : specialF32)), 4);
  else if (type === "f64") body.op(0x44).code.little(choices.once(3) ? wide(body) : choices.pick([...specialF64, ...oddNansF64]), 8);
  else body.op(0xfd, 12).code.little((wide(body) << 64n) | wide(body), 16);
}

function wide(body: Body): bigint {
  return (BigInt(body.choices.below(2 ** 32)) << 32n) | BigInt(body.choices.below(2 ** 32));
}

function byResult(operations: readonly Operation[]): ReadonlyMap<NumberType, readonly Operation[]> {
  return Map.groupBy(operations, ({ result }) => result);
}

const scalars = byResult(scalarOperations);
const vectors = byResult(vectorOperations);
const relaxed = byResult(relaxedOperations);

export function operation(body: Body, type: NumberType): void {
  const { choices, plan } = body;
  const isVector = type === "v128" || choices.once(10);
  const isRelaxed = isVector && plan.options.features.relaxedSimd && choices.once(10);
  const found = (isRelaxed ? relaxed : isVector ? vectors : scalars).get(type);
  if (found === undefined) smallConstant(body, type);
  else apply(body, choices.pick(found));
}

function apply(body: Body, one: Operation): void {
  const { choices } = body;
  // Few of those that could trap do, or no module would come far.
  if (one.trait === "truncates" && choices.mostly(6)) return void smallConstant(body, one.result);
  body.values(one.operands);
  if (one.trait === "divides" && choices.mostly(6)) makeOdd(body, one.result);
  body.op(...one.code);
  if (one.trait === "lane") body.raw(choices.below(one.lanes ?? 1));
  if (one.nan !== undefined && body.plan.options.nans === "canonical") canonicalise(body, one.result, one.nan);
}

function makeOdd(body: Body, type: NumberType): void {
  if (type === "i64") body.i64(1n).op(0x84);
  else body.i32(1).op(0x72);
}

/** Puts the canonical NaN in the place of any other: a value that does not equal itself is one. */
function canonicalise(body: Body, type: NumberType, lanes: "f32" | "f64"): void {
  const value = body.hiddenLocal(type);
  body.at(0x22, value);
  if (type === "v128") {
    const lane = lanes === "f32" ? BigInt(canonicalF32) : canonicalF64;
    const width = lanes === "f32" ? 32n : 64n;
    let all = 0n;
    for (let at = 0n; at < 128n; at += width) all |= lane << at;
    body.op(0xfd, 12).code.little(all, 16);
    body
      .at(0x20, value)
      .at(0x20, value)
      .op(0xfd, lanes === "f32" ? 65 : 71)
      .op(0xfd, 82);
    return;
  }
  if (type === "f32") body.op(0x43).code.little(BigInt(canonicalF32), 4);
  else body.op(0x44).code.little(canonicalF64, 8);
  body
    .at(0x20, value)
    .at(0x20, value)
    .op(type === "f32" ? 0x5b : 0x61)
    .op(0x1b);
}

/** `i8x16.shuffle` has its lanes in the instruction. */
export function shuffle(body: Body): void {
  body.values(["v128", "v128"]);
  body.op(0xfd, 13, ...Array.from({ length: 16 }, () => body.choices.below(32)));
}
