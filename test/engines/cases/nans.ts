import { Bytes, type ValueType } from "../../wasm-meter/encoding.ts";
import type { Case, Guest } from "./observe.ts";
import { writeModule, type FunctionSpec } from "./writing.ts";

/** One instruction that takes floats and gives one. */
export interface FloatOp {
  readonly name: string;
  readonly code: readonly number[];
  readonly from: "f32" | "f64";
  readonly to: "f32" | "f64";
  readonly operands: 1 | 2;
  readonly isVector: boolean;
  /** Whether the specification leaves the bits of a NaN that it gives to the engine. */
  readonly isArithmetic: boolean;
}

type Row = readonly [names: string, first: number, operands: 1 | 2, isArithmetic: boolean];

/** Names with the opcodes of their scalar and vector forms of 32 and 64 bits, the others counted on from the first. */
function scalars(): FloatOp[] {
  const rows: readonly Row[] = [
    ["abs neg", 0, 1, false],
    ["ceil floor trunc nearest sqrt", 2, 1, true],
    ["add sub mul div min max", 7, 2, true],
    ["copysign", 13, 2, false],
  ];
  return (["f32", "f64"] as const).flatMap((type) =>
    rows.flatMap(([names, first, operands, isArithmetic]) =>
      names.split(" ").map((name, index): FloatOp => {
        const code = [(type === "f32" ? 0x8b : 0x99) + first + index];
        return { name: `${type}.${name}`, code, from: type, to: type, operands, isVector: false, isArithmetic };
      }),
    ),
  );
}

const vectorRows: readonly (readonly [
  names: string,
  codes: readonly number[],
  from: "f32" | "f64",
  operands: 1 | 2,
  isArithmetic: boolean,
])[] = [
  ["f32x4.ceil f32x4.floor f32x4.trunc f32x4.nearest", [0x67, 0x68, 0x69, 0x6a], "f32", 1, true],
  ["f64x2.ceil f64x2.floor f64x2.trunc f64x2.nearest", [0x74, 0x75, 0x7a, 0x94], "f64", 1, true],
  ["f32x4.abs f32x4.neg", [0xe0, 0xe1], "f32", 1, false],
  ["f32x4.sqrt", [0xe3], "f32", 1, true],
  ["f32x4.add f32x4.sub f32x4.mul f32x4.div f32x4.min f32x4.max", [0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9], "f32", 2, true],
  ["f32x4.pmin f32x4.pmax", [0xea, 0xeb], "f32", 2, false],
  ["f64x2.abs f64x2.neg", [0xec, 0xed], "f64", 1, false],
  ["f64x2.sqrt", [0xef], "f64", 1, true],
  ["f64x2.add f64x2.sub f64x2.mul f64x2.div f64x2.min f64x2.max", [0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5], "f64", 2, true],
  ["f64x2.pmin f64x2.pmax", [0xf6, 0xf7], "f64", 2, false],
];

function vectors(): FloatOp[] {
  return vectorRows.flatMap(([names, codes, from, operands, isArithmetic]) =>
    names.split(" ").map((name, index): FloatOp => {
      const code = [0xfd, ...new Bytes().u32(codes[index] ?? 0).out];
      return { name, code, from, to: from, operands, isVector: true, isArithmetic };
    }),
  );
}

export const floatOps: readonly FloatOp[] = [
  ...scalars(),
  { name: "f32.demote_f64", code: [0xb6], from: "f64", to: "f32", operands: 1, isVector: false, isArithmetic: true },
  { name: "f64.promote_f32", code: [0xbb], from: "f32", to: "f64", operands: 1, isVector: false, isArithmetic: true },
  ...vectors(),
  { name: "f32x4.demote_f64x2_zero", code: [0xfd, 0x5e], from: "f64", to: "f32", operands: 1, isVector: true, isArithmetic: true },
  { name: "f64x2.promote_low_f32x4", code: [0xfd, 0x5f], from: "f32", to: "f64", operands: 1, isVector: true, isArithmetic: true },
];

/** Numbers of which arithmetic makes NaNs, and NaNs of many kinds: both signs, quiet and signalling, with payloads. */
export const patterns = {
  f32: [0, 0x80000000, 0x3f800000, 0xbfc00000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7fc12345, 0xffd54321, 0x7f812345, 0xffa00001, 1, 0x7f7fffff],
  f64: [
    0n, 0x8000000000000000n, 0x3ff0000000000000n, 0xbff8000000000000n, 0x7ff0000000000000n, 0xfff0000000000000n, 0x7ff8000000000000n,
    0xfff8000000000000n, 0x7ff8123456789abcn, 0xfffa000000000001n, 0x7ff0123456789abcn, 0xfff4000000000001n, 1n, 0x7fefffffffffffffn,
  ],
} as const; // oxfmt-ignore

const integerOf = { f32: "i32", f64: "i64" } as const;
/** `reinterpret`, from integer to float and back. */
const toFloat = { f32: 0xbe, f64: 0xbf } as const;
const toInteger = { f32: 0xbc, f64: 0xbd } as const;

/** `(bits, bits) -> bits`; a vector has the first operand's bits in its low half and the other's in its high one. */
function tableFunction(op: FloatOp): FunctionSpec {
  const code = new Bytes();
  if (op.isVector) {
    const pair = (first: number, second: number): Bytes => code.raw(0x20, first, 0xfd, 18, 0x20, second, 0xfd, 30, 1);
    pair(0, 1);
    if (op.operands === 2) pair(1, 0);
    code.raw(...op.code, 0x22, 2, 0xfd, 29, 0, 0x20, 2, 0xfd, 29, 1, 0x0b);
    return { name: op.name, params: ["i64", "i64"], results: ["i64", "i64"], locals: [[1, "v128"]], code };
  }
  for (let operand = 0; operand < op.operands; operand++) code.raw(0x20, operand, toFloat[op.from]);
  code.raw(...op.code, toInteger[op.to], 0x0b);
  const params = Array.from({ length: op.operands }, (): ValueType => integerOf[op.from]);
  return { name: op.name, params, results: [integerOf[op.to]], code };
}

/** Two numbers of 32 bits in one of 64. */
function twice(bits: number): bigint {
  return (BigInt(bits) << 32n) | BigInt(bits >>> 0);
}

function callTable(guest: Guest, op: FloatOp): void {
  const wide = op.from === "f64" ? patterns.f64 : patterns.f32.map(twice);
  const operands = op.isVector ? wide : op.from === "f32" ? patterns.f32 : patterns.f64;
  for (const first of operands) {
    if (op.operands === 1 && !op.isVector) guest.call(op.name, first);
    else for (const second of operands) guest.call(op.name, first, second);
  }
}

export const tables: Case = {
  name: "NaNs: each operation on each pair",
  bytes: writeModule({ functions: floatOps.map(tableFunction) }),
  play: (open) => {
    const guest = open();
    for (const op of floatOps) callTable(guest, op);
  },
};

/** Operations on constants, which a compiler may reckon out by itself; the results lie in memory one after the other. */
function constantsFunction(): FunctionSpec {
  const code = new Bytes();
  let at = 0;
  for (const op of floatOps) {
    for (let pair = 0; pair < 30; pair++) {
      code.raw(0x41).s32(at);
      for (let operand = 0; operand < op.operands; operand++) {
        const index = (pair * (operand === 0 ? 1 : 5) + operand) % patterns.f32.length;
        const bits = op.from === "f32" ? BigInt(patterns.f32[index] ?? 0) : (patterns.f64[index] ?? 0n);
        const width = op.from === "f32" ? 4 : 8;
        if (op.isVector) code.raw(0xfd, 12);
        else code.raw(op.from === "f32" ? 0x43 : 0x44);
        for (let lane = 0; lane < (op.isVector ? 16 / width : 1); lane++) code.little(bits, width);
      }
      code.raw(...op.code);
      if (op.isVector) code.raw(0xfd, 11, 0, 0);
      else code.raw(op.to === "f32" ? 0x38 : 0x39, 0, 0);
      at += 16;
    }
  }
  return { name: "constants", params: [], results: [], code: code.raw(0x0b) };
}

export const constants: Case = {
  name: "NaNs: of constants",
  bytes: writeModule({ functions: [constantsFunction()], memory: { min: 2 } }),
  play: (open) => {
    const guest = open();
    // Often enough for the compiler that optimises.
    for (let count = 0; count < 40; count++) guest.call("constants");
    guest.look();
  },
};

const state = 1;

/** `(n, seed) -> bits`: the operation on random bits, most of them near the end of the exponents, and all results mixed. */
function hotFunction(op: FloatOp): FunctionSpec {
  const code = new Bytes();
  const next = (): Bytes => {
    code.raw(0x20, state, 0x42).s64(6364136223846793005n).raw(0x7e, 0x42).s64(1442695040888963407n);
    return code.raw(0x7c, 0x22, state);
  };
  const bits = (): void => {
    next().raw(0x42, 29, 0x88);
    next();
    // Where a random bit is set, the exponent is all ones: an infinity or a NaN.
    code.raw(0x85, 0x20, state, 0x42, 40, 0x88, 0x42, 1, 0x83, 0x42);
    code.s64(op.from === "f32" ? 0x7f8000007f800000n : 0x7ff0000000000000n).raw(0x7e, 0x84);
  };
  code.raw(0x03, 0x40);
  if (op.isVector) {
    for (let operand = 0; operand < op.operands; operand++) {
      bits();
      code.raw(0xfd, 18);
      bits();
      code.raw(0xfd, 30, 1);
    }
    code.raw(...op.code, 0x22, 2, 0xfd, 29, 0, 0x20, 2, 0xfd, 29, 1, 0x85);
  } else {
    for (let operand = 0; operand < op.operands; operand++) {
      bits();
      if (op.from === "f32") code.raw(0xa7);
      code.raw(toFloat[op.from]);
    }
    code.raw(...op.code, toInteger[op.to]);
    if (op.to === "f32") code.raw(0xad);
  }
  code.raw(0x20, state, 0x85, 0x42, 7, 0x89, 0x21, state);
  code.raw(0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b, 0x20, state, 0x0b);
  return { name: op.name, params: ["i32", "i64"], results: ["i64"], locals: [[1, "v128"]], code };
}

export const hot: Case = {
  name: "NaNs: in loops that are optimised",
  bytes: writeModule({ functions: floatOps.map(hotFunction) }),
  play: (open) => {
    const guest = open();
    for (let round = 0; round < 4; round++) for (const op of floatOps) guest.call(op.name, 8000, BigInt(round + 1));
  },
};
