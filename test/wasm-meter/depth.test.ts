import { expect, test } from "vitest";
import { BinaryError, depthName, fuelName, meterModule } from "../../src/wasm/meter/index.ts";
import { assemble, type Assembly } from "./assemble.ts";
import { Bytes, type FunctionType, type ValueType } from "./encoding.ts";
import { detectFeatures } from "./features.ts";

/**
 * Recursion without end, through frames of many sizes. The last function is the one to call: it calls the first, which does not come
 * back.
 */
const none: FunctionType = { params: [], results: [] };
const features = detectFeatures();

const zeros: Partial<Record<ValueType, readonly number[]>> = {
  i32: [0x41, 0],
  i64: [0x42, 0],
  f64: [0x44, 0, 0, 0, 0, 0, 0, 0, 0],
  v128: [0xfd, 12, ...Array.from({ length: 16 }, () => 0)],
};

function repeat<T>(count: number, item: readonly T[]): T[] {
  return Array.from({ length: count }, () => item).flat();
}

function zero(type: ValueType): readonly number[] {
  return zeros[type] ?? [];
}

const callFirst = [0x10, 0];

/** A function of this type that calls itself, and one that calls it. */
function recursing(type: FunctionType, locals: readonly ValueType[] = []): Assembly {
  const code = [...type.params.flatMap(zero), ...callFirst];
  return {
    types: [type, none],
    functions: [
      { type: 0, locals, code },
      { type: 1, code: [...code, ...repeat(type.results.length, [0x1a])] },
    ],
  };
}

function withLocals(type: ValueType, count: number): Assembly {
  return recursing(none, repeat(count, [type]));
}

/** All of the locals are set before the call and wanted after it. */
function withLiveLocals(type: ValueType, count: number): Assembly {
  const each = (opcode: number, index: number): number[] => new Bytes().raw(opcode).u32(index).out;
  const indexes = Array.from({ length: count }, (_, index) => index);
  const code = [
    ...indexes.flatMap((index) => [...zero(type), ...each(0x21, index)]),
    ...callFirst,
    ...indexes.flatMap((index) => [...each(0x20, index), 0x1a]),
  ];
  return {
    types: [none],
    functions: [
      { type: 0, locals: repeat(count, [type]), code },
      { type: 0, code: callFirst },
    ],
  };
}

function withOperands(type: ValueType, count: number): Assembly {
  const code = [...repeat(count, zero(type)), ...callFirst, ...repeat(count, [0x1a])];
  return {
    types: [none],
    functions: [
      { type: 0, code },
      { type: 0, code: callFirst },
    ],
  };
}

/** Each in its own block, so that no one block has many operands. */
function withNestedOperands(count: number): Assembly {
  const open = repeat(count, [0x41, 0, 0x02, 0x40]);
  const code = [...open, ...callFirst, ...repeat(count, [0x0b, 0x1a])];
  return {
    types: [none],
    functions: [
      { type: 0, code },
      { type: 0, code: callFirst },
    ],
  };
}

const cases: [what: string, assembly: Assembly][] = [];
for (const type of ["i32", "i64", "f64", "v128"] as const) {
  for (const count of [0, 1, 2, 5, 30, 1000, 4_900]) cases.push([`${count} locals of ${type}`, withLocals(type, count)]);
  for (const count of [1, 5, 12, 30, 900]) {
    cases.push([`${count} live locals of ${type}`, withLiveLocals(type, count)]);
    cases.push([`${count} operands of ${type}`, withOperands(type, count)]);
    cases.push([`${count} parameters of ${type}`, recursing({ params: repeat(count, [type]), results: [] })]);
    cases.push([`${count} results of ${type}`, recursing({ params: [], results: repeat(count, [type]) })]);
  }
}
const goOn = { type: 0, code: callFirst };
cases.push(
  ["operands in blocks", withNestedOperands(500)],
  [
    "three functions in a ring",
    { types: [none], functions: [{ type: 0, code: [0x10, 1] }, { type: 0, locals: ["i32"], code: [0x10, 2] }, goOn] },
  ],
  ["calls by a table", { types: [none], table: [0], functions: [{ type: 0, code: [0x41, 0, 0x11, 0, 0] }, goOn] }],
  [
    "bulk operations on the way",
    { types: [none], memory: 1, functions: [{ type: 0, code: [...repeat(3, [0x41, 0]), 0xfc, 11, 0, ...callFirst] }, goOn] },
  ],
  ["growth on the way", { types: [none], memory: 1, functions: [{ type: 0, code: [0x41, 0, 0x40, 0, 0x1a, ...callFirst] }, goOn] }],
  ["a branch after the call", { types: [none], functions: [{ type: 0, code: [0x02, 0x40, ...callFirst, 0x0c, 0, 0x0b] }, goOn] }],
  ["a loop around the call", { types: [none], functions: [{ type: 0, code: [0x03, 0x40, ...callFirst, 0x0c, 0, 0x0b] }, goOn] }],
);
if (features.functionReferences) {
  // The table only declares the function.
  cases.push(["calls by reference", { types: [none], table: [0], functions: [{ type: 0, code: [0xd2, 0, 0x14, 0] }, goOn] }]);
}
if (features.exceptions) {
  cases.push([
    "each level catches all",
    { types: [none], functions: [{ type: 0, code: [0x02, 0x40, 0x1f, 0x40, 1, 2, 0, ...callFirst, 0x0b, 0x0b] }, goOn] },
  ]);
}
if (features.oldExceptions) {
  cases.push([
    "each level catches all, as before",
    { types: [none], functions: [{ type: 0, code: [0x06, 0x40, ...callFirst, 0x19, 0x0b] }, goOn] },
  ]);
}

interface End {
  readonly error: string;
  readonly depth: number;
}

/** Calls the last function of a module in deterministic mode. */
function endOf(assembly: Assembly, grant: number): End {
  const { bytes } = meterModule(assemble(assembly), { deterministic: true });
  let left = 50_000_000;
  const checkpoint = (): number => {
    left -= grant;
    return left < 0 ? -1 : grant;
  };
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { "toolruntime:host": { checkpoint } });
  const [enter, depth] = [exports[`f${assembly.functions.length - 1}`], exports[depthName]];
  if (typeof enter !== "function" || !(depth instanceof WebAssembly.Global)) throw new TypeError("exports are missing");
  try {
    enter();
    return { error: "none", depth: Number(depth.value) };
  } catch (error) {
    return { error: `${error}`, depth: Number(depth.value) };
  }
}

test.each(cases)("recursion ends by count: %s", (_, assembly) => {
  for (const grant of [2 ** 30, 5000].map((most) => Math.min(most, 50_000_000))) {
    const { error, depth } = endOf(assembly, grant);
    expect(error).toBe("RuntimeError: unreachable");
    expect(depth).toBeLessThan(0);
  }
});

test("recursion ends at the same unit each time", () => {
  const { bytes } = meterModule(assemble(withLocals("i64", 3)), { deterministic: true });
  const used = [0, 1].map(() => {
    let granted = 0;
    const checkpoint = (): number => {
      granted += 1000;
      return 1000;
    };
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { "toolruntime:host": { checkpoint } });
    const [enter, fuel] = [exports["f1"], exports[fuelName]];
    if (typeof enter !== "function" || !(fuel instanceof WebAssembly.Global)) throw new TypeError("exports are missing");
    expect(() => enter()).toThrow("unreachable");
    return granted - Number(fuel.value);
  });
  expect(used[0]).toBe(used[1]);
  expect(used[0]).toBeGreaterThan(1000);
});

test.runIf(features.tailCalls)("a tail call takes no stack: fuel ends it", () => {
  const byTable: Assembly = { types: [none], table: [0], functions: [{ type: 0, locals: ["i64"], code: [0x41, 0, 0x13, 0, 0] }, goOn] };
  const direct: Assembly = { types: [none], functions: [{ type: 0, locals: ["i64"], code: [0x12, 0] }, goOn] };
  for (const assembly of [direct, byTable]) {
    const { error, depth } = endOf(assembly, 100_000);
    expect(error).toBe("RuntimeError: unreachable");
    expect(depth).toBeGreaterThan(0);
  }
});

test.runIf(features.relaxedSimd)("relaxed SIMD is refused, and only there", () => {
  const vector = zero("v128");
  const bytes = assemble({ types: [none], functions: [{ type: 0, code: [...vector, ...vector, 0xfd, 0x80, 0x02, 0x1a] }] });
  expect(() => meterModule(bytes, { deterministic: true })).toThrow(BinaryError);
  expect(() => meterModule(bytes)).not.toThrow();
});
