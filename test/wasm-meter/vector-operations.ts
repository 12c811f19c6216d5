import { rows, type Access, type Code, type Operation } from "./operations.ts";

function vectorCode(code: number): Code {
  return code < 128 ? [0xfd, code] : [0xfd, (code & 0x7f) | 0x80, code >> 7];
}

type Rows = Parameters<typeof rows>[0];

const unary: Rows = [
  [77, "v128.not", "v128", "v128"],
  [94, "f32x4.demote_f64x2_zero", "v128", "v128", { nan: "f32" }],
  [95, "f64x2.promote_low_f32x4", "v128", "v128", { nan: "f64" }],
  [96, "i8x16.abs i8x16.neg i8x16.popcnt", "v128", "v128"],
  [103, "f32x4.ceil f32x4.floor f32x4.trunc f32x4.nearest", "v128", "v128", { nan: "f32" }],
  [116, "f64x2.ceil f64x2.floor", "v128", "v128", { nan: "f64" }],
  [122, "f64x2.trunc", "v128", "v128", { nan: "f64" }],
  [124, "i16x8.extadd_s i16x8.extadd_u i32x4.extadd_s i32x4.extadd_u i16x8.abs i16x8.neg", "v128", "v128"],
  [135, "i16x8.extend_low_s i16x8.extend_high_s i16x8.extend_low_u i16x8.extend_high_u", "v128", "v128"],
  [148, "f64x2.nearest", "v128", "v128", { nan: "f64" }],
  [160, "i32x4.abs i32x4.neg", "v128", "v128"],
  [167, "i32x4.extend_low_s i32x4.extend_high_s i32x4.extend_low_u i32x4.extend_high_u", "v128", "v128"],
  [192, "i64x2.abs i64x2.neg", "v128", "v128"],
  [199, "i64x2.extend_low_s i64x2.extend_high_s i64x2.extend_low_u i64x2.extend_high_u", "v128", "v128"],
  [224, "f32x4.abs f32x4.neg", "v128", "v128"],
  [227, "f32x4.sqrt", "v128", "v128", { nan: "f32" }],
  [236, "f64x2.abs f64x2.neg", "v128", "v128"],
  [239, "f64x2.sqrt", "v128", "v128", { nan: "f64" }],
  [248, "i32x4.trunc_sat_f32x4_s i32x4.trunc_sat_f32x4_u f32x4.convert_i32x4_s f32x4.convert_i32x4_u", "v128", "v128"],
  [252, "i32x4.trunc_sat_f64x2_s i32x4.trunc_sat_f64x2_u f64x2.convert_s f64x2.convert_u", "v128", "v128"],
];

const binary: Rows = [
  [14, "i8x16.swizzle", "v128 v128", "v128"],
  [35, "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u", "v128 v128", "v128"],
  [45, "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u", "v128 v128", "v128"],
  [55, "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u", "v128 v128", "v128"],
  [65, "eq ne lt gt le ge eq ne lt gt le ge", "v128 v128", "v128"],
  [78, "v128.and v128.andnot v128.or v128.xor", "v128 v128", "v128"],
  [101, "i8x16.narrow_s i8x16.narrow_u", "v128 v128", "v128"],
  [110, "add add_sat_s add_sat_u sub sub_sat_s sub_sat_u", "v128 v128", "v128"],
  [118, "min_s min_u max_s max_u - avgr_u", "v128 v128", "v128"],
  [130, "q15mulr_sat_s - - narrow_s narrow_u", "v128 v128", "v128"],
  [142, "add add_sat_s add_sat_u sub sub_sat_s sub_sat_u - mul min_s min_u max_s max_u - avgr_u", "v128 v128", "v128"],
  [156, "extmul_low_s extmul_high_s extmul_low_u extmul_high_u", "v128 v128", "v128"],
  [174, "add - - sub - - - mul min_s min_u max_s max_u dot", "v128 v128", "v128"],
  [188, "extmul_low_s extmul_high_s extmul_low_u extmul_high_u", "v128 v128", "v128"],
  [206, "add - - sub - - - mul eq ne lt_s gt_s le_s ge_s", "v128 v128", "v128"],
  [220, "extmul_low_s extmul_high_s extmul_low_u extmul_high_u", "v128 v128", "v128"],
  [228, "f32x4.add f32x4.sub f32x4.mul f32x4.div f32x4.min f32x4.max", "v128 v128", "v128", { nan: "f32" }],
  [234, "f32x4.pmin f32x4.pmax", "v128 v128", "v128"],
  [240, "f64x2.add f64x2.sub f64x2.mul f64x2.div f64x2.min f64x2.max", "v128 v128", "v128", { nan: "f64" }],
  [246, "f64x2.pmin f64x2.pmax", "v128 v128", "v128"],
];

const mixed: Rows = [
  [15, "i8x16.splat i16x8.splat i32x4.splat", "i32", "v128"],
  [18, "i64x2.splat", "i64", "v128"],
  [19, "f32x4.splat", "f32", "v128"],
  [20, "f64x2.splat", "f64", "v128"],
  [21, "extract_s extract_u", "v128", "i32", { trait: "lane", lanes: 16 }],
  [23, "replace", "v128 i32", "v128", { trait: "lane", lanes: 16 }],
  [24, "extract_s extract_u", "v128", "i32", { trait: "lane", lanes: 8 }],
  [26, "replace", "v128 i32", "v128", { trait: "lane", lanes: 8 }],
  [27, "extract", "v128", "i32", { trait: "lane", lanes: 4 }],
  [28, "replace", "v128 i32", "v128", { trait: "lane", lanes: 4 }],
  [29, "extract", "v128", "i64", { trait: "lane", lanes: 2 }],
  [30, "replace", "v128 i64", "v128", { trait: "lane", lanes: 2 }],
  [31, "extract", "v128", "f32", { trait: "lane", lanes: 4 }],
  [32, "replace", "v128 f32", "v128", { trait: "lane", lanes: 4 }],
  [33, "extract", "v128", "f64", { trait: "lane", lanes: 2 }],
  [34, "replace", "v128 f64", "v128", { trait: "lane", lanes: 2 }],
  [82, "v128.bitselect", "v128 v128 v128", "v128"],
  [83, "v128.any_true", "v128", "i32"],
  [99, "i8x16.all_true i8x16.bitmask", "v128", "i32"],
  [107, "i8x16.shl i8x16.shr_s i8x16.shr_u", "v128 i32", "v128"],
  [131, "i16x8.all_true i16x8.bitmask", "v128", "i32"],
  [139, "i16x8.shl i16x8.shr_s i16x8.shr_u", "v128 i32", "v128"],
  [163, "i32x4.all_true i32x4.bitmask", "v128", "i32"],
  [171, "i32x4.shl i32x4.shr_s i32x4.shr_u", "v128 i32", "v128"],
  [195, "i64x2.all_true i64x2.bitmask", "v128", "i32"],
  [203, "i64x2.shl i64x2.shr_s i64x2.shr_u", "v128 i32", "v128"],
];

export const vectorOperations: readonly Operation[] = [unary, binary, mixed].flatMap((table) =>
  rows(table, vectorCode, ([from, names]) => (names.includes(".") ? "" : `vector ${from}: `)),
);

/** The same on one engine; engines differ. */
export const relaxedOperations: readonly Operation[] = rows(
  [
    [256, "relaxed_swizzle", "v128 v128", "v128"],
    [257, "relaxed_trunc relaxed_trunc relaxed_trunc relaxed_trunc", "v128", "v128"],
    [261, "relaxed_madd relaxed_nmadd", "v128 v128 v128", "v128", { nan: "f32" }],
    [263, "relaxed_madd relaxed_nmadd", "v128 v128 v128", "v128", { nan: "f64" }],
    [265, "relaxed_laneselect relaxed_laneselect relaxed_laneselect relaxed_laneselect", "v128 v128 v128", "v128"],
    [269, "relaxed_min relaxed_max", "v128 v128", "v128", { nan: "f32" }],
    [271, "relaxed_min relaxed_max", "v128 v128", "v128", { nan: "f64" }],
    [273, "relaxed_q15mulr relaxed_dot", "v128 v128", "v128"],
    [275, "relaxed_dot_add", "v128 v128 v128", "v128"],
  ],
  vectorCode,
  ([from]) => `vector ${from}: `,
);

function access(code: number, bytes: number, lanes?: number): Access {
  return { name: `v128 by instruction ${code}`, code: vectorCode(code), type: "v128", bytes, ...(lanes === undefined ? {} : { lanes }) };
}

export const vectorLoads: readonly Access[] = [
  access(0, 16),
  ...[1, 2, 3, 4, 5, 6].map((code) => access(code, 8)),
  ...[1, 2, 4, 8].map((bytes, index) => access(7 + index, bytes)),
  access(92, 4),
  access(93, 8),
];
/** These take a vector besides the address and give one back. */
export const vectorLaneLoads: readonly Access[] = [1, 2, 4, 8].map((bytes, index) => access(84 + index, bytes, 16 / bytes));
export const vectorStores: readonly Access[] = [
  access(11, 16),
  ...[1, 2, 4, 8].map((bytes, index) => access(88 + index, bytes, 16 / bytes)),
];
