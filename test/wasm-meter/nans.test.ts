import { expect, test } from "vitest";
import { meterModule } from "../../src/wasm/meter/index.ts";
import { assemble } from "./assemble.ts";
import type { NumberType } from "./encoding.ts";
import { canonicalF32, canonicalF64, oddNansF32, oddNansF64 } from "./numbers.ts";
import { scalarOperations, type Operation } from "./operations.ts";
import { vectorOperations } from "./vector-operations.ts";

/**
 * Each operation over numbers, alone, on NaNs of many kinds: in deterministic mode arithmetic gives the canonical one, and what
 * only moves bits leaves them.
 */
const f32Values = [0, 0x80000000, 0x3f800000, 0xc0490fdb, 0x7f800000, 0xff800000, 1, 0x7f7fffff, canonicalF32, ...oddNansF32];
const f64Values = [0n, 1n << 63n, 0x3ff0000000000000n, 0x7ff0000000000000n, 0xfff0000000000000n, 1n, canonicalF64, ...oddNansF64];

const loads: Readonly<Record<NumberType, readonly number[]>> = {
  i32: [0x28, 0],
  i64: [0x29, 0],
  f32: [0x2a, 0],
  f64: [0x2b, 0],
  v128: [0xfd, 0, 0],
};
const stores: Readonly<Record<NumberType, readonly number[]>> = {
  i32: [0x36, 0],
  i64: [0x37, 0],
  f32: [0x38, 0],
  f64: [0x39, 0],
  v128: [0xfd, 11, 0],
};
const resultAt = 64;

function moduleOf({ operands, code, trait, result }: Operation): Uint8Array<ArrayBuffer> {
  const lane = trait === "lane" ? [1] : [];
  const body = [
    0x41,
    0,
    ...operands.flatMap((type, index) => [0x41, 0, ...loads[type], 16 * index]),
    ...code,
    ...lane,
    ...stores[result],
    resultAt,
  ];
  return assemble({ types: [{ params: [], results: [] }], functions: [{ type: 0, code: body }], memory: 1 });
}

/** Sixteen bytes each: a value in every lane, of f32 and of f64, and its neighbours in the others. */
const operands: readonly Uint8Array[] = [
  ...f32Values.map((_, index) =>
    Uint8Array.from(new Uint8Array(Uint32Array.from({ length: 4 }, (_, lane) => pick(f32Values, index + lane)).buffer)),
  ),
  ...f64Values.map((_, index) => new Uint8Array(BigUint64Array.from({ length: 2 }, (_, lane) => pick(f64Values, index + lane)).buffer)),
];

function pick<T>(values: readonly T[], index: number): T {
  for (const one of values.slice(index % values.length)) return one;
  throw new RangeError("no values");
}

/** Runs the operation on all pairs of operands. What it gave, or `trap`. */
function resultsOf(bytes: Uint8Array<ArrayBuffer>, one: Operation): (Uint8Array | "trap")[] {
  const imports = { "toolruntime:host": { checkpoint: () => 2 ** 20 } };
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
  const { f0, memory } = exports;
  if (typeof f0 !== "function" || !(memory instanceof WebAssembly.Memory)) throw new TypeError("exports are missing");
  const view = new Uint8Array(memory.buffer);
  const seconds = one.operands.length > 1 ? operands : operands.slice(0, 1);
  return operands.flatMap((first, index) =>
    seconds.map((second) => {
      view.set(first, 0);
      view.set(second, 16);
      view.set(pick(operands, index + 3), 32);
      view.fill(0, resultAt, resultAt + 16);
      try {
        f0();
      } catch {
        return "trap";
      }
      return view.slice(resultAt, resultAt + 16);
    }),
  );
}

/** Puts the canonical NaN in the place of each other, in lanes of this width. */
function canonical(bytes: Uint8Array | "trap", nan: "f32" | "f64" | undefined): Uint8Array | "trap" {
  if (bytes === "trap" || nan === undefined) return bytes;
  const view = new DataView(bytes.slice().buffer);
  for (let at = 0; nan === "f32" && at < 16; at += 4) if (Number.isNaN(view.getFloat32(at, true))) view.setUint32(at, canonicalF32, true);
  for (let at = 0; nan === "f64" && at < 16; at += 8)
    if (Number.isNaN(view.getFloat64(at, true))) view.setBigUint64(at, canonicalF64, true);
  return new Uint8Array(view.buffer);
}

function hex(bytes: Uint8Array | "trap"): string {
  return bytes === "trap" ? bytes : Buffer.from(bytes).toString("hex");
}

const all = [...scalarOperations, ...vectorOperations];

test("the canonical NaN, and nothing else, comes out of arithmetic", () => {
  let nans = 0;
  for (const one of all) {
    const original = moduleOf(one);
    const before = resultsOf(original, one);
    const after = resultsOf(meterModule(original, { deterministic: true }).bytes, one);
    for (const [index, bytes] of before.entries()) {
      const expected = canonical(bytes, one.nan);
      if (hex(expected) !== hex(bytes)) nans++;
      const actual = after[index] ?? "trap";
      if (hex(actual) !== hex(expected)) expect.fail(`${one.name} gives ${hex(actual)} in place of ${hex(expected)}, pair ${index}`);
    }
  }
  // Otherwise nothing was looked at.
  expect(nans).toBeGreaterThan(1000);
});

test("without that mode every bit is what it was", () => {
  for (const one of all.filter(({ nan }) => nan === undefined)) {
    const original = moduleOf(one);
    expect(resultsOf(meterModule(original).bytes, one).map(hex)).toEqual(resultsOf(original, one).map(hex));
  }
});
