import type { Body } from "./body.ts";

export type Comparison = "ne" | "lt_s" | "lt_u" | "le_s" | "le_u" | "gt_s" | "gt_u" | "ge_s" | "ge_u";
const comparisons: readonly Comparison[] = ["ne", "lt_s", "lt_u", "le_s", "le_u", "gt_s", "gt_u", "ge_s", "ge_u"];
export const opcodes: Readonly<Record<"i32" | "i64", Readonly<Record<Comparison | "eq", number>>>> = {
  i32: { eq: 0x46, ne: 0x47, lt_s: 0x48, lt_u: 0x49, gt_s: 0x4a, gt_u: 0x4b, le_s: 0x4c, le_u: 0x4d, ge_s: 0x4e, ge_u: 0x4f },
  i64: { eq: 0x51, ne: 0x52, lt_s: 0x53, lt_u: 0x54, gt_s: 0x55, gt_u: 0x56, le_s: 0x57, le_u: 0x58, ge_s: 0x59, ge_u: 0x5a },
};
export const mirrored: Readonly<Record<Comparison, Comparison>> = {
  ne: "ne",
  lt_s: "gt_s",
  lt_u: "gt_u",
  le_s: "ge_s",
  le_u: "ge_u",
  gt_s: "lt_s",
  gt_u: "lt_u",
  ge_s: "le_s",
  ge_u: "le_u",
};
export const negated: Readonly<Record<Comparison, Comparison | "eq">> = {
  ne: "eq",
  lt_s: "ge_s",
  lt_u: "ge_u",
  le_s: "gt_s",
  le_u: "gt_u",
  gt_s: "le_s",
  gt_u: "le_u",
  ge_s: "lt_s",
  ge_u: "lt_u",
};

const oddities = [
  "its step is made under a condition",
  "its step begins with another local",
  "it has two steps",
  "its test is in a block",
  "it goes back early",
  "it compares with itself",
  "something else writes what it counts with",
] as const;
type Oddity = "none" | (typeof oddities)[number];

/** A loop as compilers write it: a local goes up or down by a step, and the loop goes on while a comparison holds. */
export interface Counted {
  readonly type: "i32" | "i64";
  readonly start: bigint;
  /** Whether a parameter is added to it, or the lowest bits of one. */
  readonly startFrom: "constant" | "parameter";
  readonly step: bigint;
  readonly bound: bigint;
  /** Where the bound is: in the code, in a local, or in a parameter of which the lowest bits are taken. */
  readonly boundFrom: "constant" | "local" | "parameter";
  readonly comparison: Comparison;
  /** Whether the test is at the loop's end or at its head. */
  readonly tested: "bottom" | "top" | "inside";
  /** What sets it apart from a loop that counts. One that has this does not end by itself. */
  readonly oddity: Oddity;
  /** Whether it has to count down the module's steps, since it may not end by itself. */
  readonly isGuarded: boolean;
}

/** The bits of a parameter that a bound is taken from. */
export const parameterMask = 7n;

/** How often the body is entered; more than `most` where it goes on. */
function turns({ type, start, step, comparison, tested }: Counted, bound: bigint, most: number): number {
  const width = type === "i32" ? 32 : 64;
  let at = BigInt.asIntN(width, start);
  let count = 0;
  const goesOn = (): boolean => holds(comparison, at, BigInt.asIntN(width, bound), width);
  if (tested !== "bottom" && !goesOn()) return 0;
  do {
    count++;
    at = BigInt.asIntN(width, at + step);
  } while (count <= most && goesOn());
  return count;
}

function holds(comparison: Comparison, a: bigint, b: bigint, width: number): boolean {
  if (comparison === "ne") return a !== b;
  const isUnsigned = comparison.endsWith("u");
  const [left, right] = isUnsigned ? [BigInt.asUintN(width, a), BigInt.asUintN(width, b)] : [a, b];
  if (comparison.startsWith("lt")) return left < right;
  if (comparison.startsWith("le")) return left <= right;
  return comparison.startsWith("gt") ? left > right : left >= right;
}

const starts = [0n, 0n, 0n, 1n, 5n, -1n, -3n, 0x7ffffff0n, -0x80000000n, 100n, 0x7ffffffffffffff0n];
const steps = [
  1n,
  1n,
  1n,
  1n,
  -1n,
  -1n,
  -1n,
  2n,
  -2n,
  3n,
  -3n,
  4n,
  8n,
  16n,
  -4n,
  7n,
  -12n,
  0xffffn,
  0x10000n,
  0x10000001n,
  -0x40000000n,
  0n,
];
const wildBounds = [0n, 1n, -1n, 0x7fffffffn, -0x80000000n, 10n, -5n, 0xffffffffn];

/** Decides about a loop that is entered so often at most, or counts down the module's steps. */
export function chooseCounted({ choices }: Body, most: number): Counted {
  const start = choices.pick(starts);
  const step = choices.pick(steps);
  // The commonest form has the larger part.
  const isCommon = choices.below(8) < 5;
  const length = step * BigInt(choices.below(choices.once(2) ? most : 9));
  const isToZero = choices.once(5);
  const rough: Counted = {
    type: choices.once(isCommon ? 12 : 3) ? "i64" : "i32",
    start: isToZero ? -length : start,
    startFrom: choices.once(5) ? "parameter" : "constant",
    step,
    bound: isToZero ? 0n : choices.once(4) ? choices.pick(wildBounds) : start + length,
    boundFrom: choices.pick(["constant", "local", "parameter"] as const),
    comparison: isCommon ? "ne" : choices.pick(comparisons),
    tested: isCommon && choices.mostly(8) ? "bottom" : choices.pick(["bottom", "top", "inside"] as const),
    oddity: choices.once(4) ? choices.pick(oddities) : "none",
    isGuarded: false,
  };
  return { ...rough, isGuarded: rough.oddity !== "none" || !ends(rough, most) || choices.once(6) };
}

/** Whether it does for all that a parameter's lowest bits may add. */
function ends(loop: Counted, most: number): boolean {
  const added = Array.from({ length: Number(parameterMask) + 1 }, (_, index) => BigInt(index));
  return (loop.startFrom === "parameter" ? added : [0n]).every((toStart) =>
    (loop.boundFrom === "parameter" ? added : [0n]).every(
      (toBound) => turns({ ...loop, start: loop.start + toStart }, loop.bound + toBound, most) <= most,
    ),
  );
}
