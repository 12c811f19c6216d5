import type { NumberType } from "./encoding.ts";

/** An opcode, or a prefix and the rest. */
export type Code = readonly [number, ...number[]];

/** An instruction that takes values and gives one. */
export interface Operation {
  readonly name: string;
  readonly code: Code;
  readonly operands: readonly NumberType[];
  readonly result: NumberType;
  /** `"divides"` and `"truncates"`: may trap. `"lane"`: a lane's index below {@link lanes} follows. */
  readonly trait?: "divides" | "truncates" | "lane";
  readonly lanes?: number;
  /** Its result may be a NaN of which the specification leaves the bits open; of lanes that wide, for a vector. */
  readonly nan?: "f32" | "f64";
}

export interface Access {
  readonly name: string;
  readonly code: Code;
  readonly type: NumberType;
  readonly bytes: number;
  /** A lane of a vector: its index below this follows. */
  readonly lanes?: number;
}

type Row = readonly [from: number, names: string, operands: string, result: NumberType, extra?: Partial<Operation>];

/** Operations whose codes follow each other, in the order of the specification (5.4). */
export function rows(table: readonly Row[], encode: (code: number) => Code, prefix: (row: Row) => string): Operation[] {
  return table.flatMap((row) => {
    const [from, names, operands, result, extra] = row;
    return names.split(" ").flatMap((name, index) => {
      if (name === "-") return [];
      const types = operands.split(" ").flatMap((type) => (isNumberType(type) ? [type] : []));
      return [{ name: `${prefix(row)}${name}`, code: encode(from + index), operands: types, result, ...extra }];
    });
  });
}

function isNumberType(type: string): type is NumberType {
  return ["i32", "i64", "f32", "f64", "v128"].includes(type);
}

const compareInt = "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u";
const compareFloat = "eq ne lt gt le ge";

const scalarTable: readonly Row[] = [
  [0x45, "i32.eqz", "i32", "i32"],
  [0x46, compareInt, "i32 i32", "i32"],
  [0x50, "i64.eqz", "i64", "i32"],
  [0x51, compareInt, "i64 i64", "i32"],
  [0x5b, compareFloat, "f32 f32", "i32"],
  [0x61, compareFloat, "f64 f64", "i32"],
  [0x67, "clz ctz popcnt", "i32", "i32"],
  [0x6a, "add sub mul", "i32 i32", "i32"],
  [0x6d, "div_s div_u rem_s rem_u", "i32 i32", "i32", { trait: "divides" }],
  [0x71, "and or xor shl shr_s shr_u rotl rotr", "i32 i32", "i32"],
  [0x79, "clz ctz popcnt", "i64", "i64"],
  [0x7c, "add sub mul", "i64 i64", "i64"],
  [0x7f, "div_s div_u rem_s rem_u", "i64 i64", "i64", { trait: "divides" }],
  [0x83, "and or xor shl shr_s shr_u rotl rotr", "i64 i64", "i64"],
  [0x8b, "abs neg", "f32", "f32"],
  [0x8d, "ceil floor trunc nearest sqrt", "f32", "f32", { nan: "f32" }],
  [0x92, "add sub mul div min max", "f32 f32", "f32", { nan: "f32" }],
  [0x98, "copysign", "f32 f32", "f32"],
  [0x99, "abs neg", "f64", "f64"],
  [0x9b, "ceil floor trunc nearest sqrt", "f64", "f64", { nan: "f64" }],
  [0xa0, "add sub mul div min max", "f64 f64", "f64", { nan: "f64" }],
  [0xa6, "copysign", "f64 f64", "f64"],
  [0xa7, "i32.wrap_i64", "i64", "i32"],
  [0xa8, "i32.trunc_f32_s i32.trunc_f32_u", "f32", "i32", { trait: "truncates" }],
  [0xaa, "i32.trunc_f64_s i32.trunc_f64_u", "f64", "i32", { trait: "truncates" }],
  [0xac, "i64.extend_i32_s i64.extend_i32_u", "i32", "i64"],
  [0xae, "i64.trunc_f32_s i64.trunc_f32_u", "f32", "i64", { trait: "truncates" }],
  [0xb0, "i64.trunc_f64_s i64.trunc_f64_u", "f64", "i64", { trait: "truncates" }],
  [0xb2, "f32.convert_i32_s f32.convert_i32_u", "i32", "f32"],
  [0xb4, "f32.convert_i64_s f32.convert_i64_u", "i64", "f32"],
  [0xb6, "f32.demote_f64", "f64", "f32", { nan: "f32" }],
  [0xb7, "f64.convert_i32_s f64.convert_i32_u", "i32", "f64"],
  [0xb9, "f64.convert_i64_s f64.convert_i64_u", "i64", "f64"],
  [0xbb, "f64.promote_f32", "f32", "f64", { nan: "f64" }],
  [0xbc, "i32.reinterpret_f32", "f32", "i32"],
  [0xbd, "i64.reinterpret_f64", "f64", "i64"],
  [0xbe, "f32.reinterpret_i32", "i32", "f32"],
  [0xbf, "f64.reinterpret_i64", "i64", "f64"],
  [0xc0, "i32.extend8_s i32.extend16_s", "i32", "i32"],
  [0xc2, "i64.extend8_s i64.extend16_s i64.extend32_s", "i64", "i64"],
];

const saturatingTable: readonly Row[] = [
  [0, "i32.trunc_sat_f32_s i32.trunc_sat_f32_u", "f32", "i32"],
  [2, "i32.trunc_sat_f64_s i32.trunc_sat_f64_u", "f64", "i32"],
  [4, "i64.trunc_sat_f32_s i64.trunc_sat_f32_u", "f32", "i64"],
  [6, "i64.trunc_sat_f64_s i64.trunc_sat_f64_u", "f64", "i64"],
];

function scalarPrefix([, names, operands]: Row): string {
  return names.includes(".") ? "" : `${operands.split(" ")[0]}.`;
}

export const scalarOperations: readonly Operation[] = [
  ...rows(scalarTable, (code) => [code], scalarPrefix),
  ...rows(saturatingTable, (code) => [0xfc, code], scalarPrefix),
];

function accesses(from: number, table: string): Access[] {
  return table.split(" ").map((entry, index) => {
    const [type = "", bytes = ""] = entry.split(":");
    if (!isNumberType(type)) throw new TypeError(entry);
    return { name: `${entry} of memory`, code: [from + index], type, bytes: Number(bytes) };
  });
}

export const scalarLoads = accesses(0x28, "i32:4 i64:8 f32:4 f64:8 i32:1 i32:1 i32:2 i32:2 i64:1 i64:1 i64:2 i64:2 i64:4 i64:4");
export const scalarStores = accesses(0x36, "i32:4 i64:8 f32:4 f64:8 i32:1 i32:2 i64:1 i64:2 i64:4");
