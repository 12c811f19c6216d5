import { expect, test } from "vitest";
import { fuelName, meterModule } from "../../src/wasm/meter/index.ts";
import { assemble } from "./assemble.ts";
import type { FunctionType } from "./encoding.ts";

/** Operations over much memory go on in pieces, which must not be seen; they cost by their length. */
const pages = 64;
const size = pages * 65_536;
const mebi = 2 ** 20;

const three: FunctionType = { params: ["i32", "i32", "i32"], results: [] };
const one: FunctionType = { params: ["i32"], results: ["i32"] };
const takeAll = [0x20, 0, 0x20, 1, 0x20, 2];
const names = ["memory.copy", "memory.fill", "memory.init", "memory.grow"] as const;

const original = assemble({
  types: [three, one],
  functions: [
    { type: 0, code: [...takeAll, 0xfc, 10, 0, 0] },
    { type: 0, code: [...takeAll, 0xfc, 11, 0] },
    { type: 0, code: [...takeAll, 0xfc, 8, 0, 0] },
    { type: 1, code: [0x20, 0, 0x40, 0] },
  ],
  memory: pages,
  data: Array.from({ length: mebi + mebi / 2 }, (_, index) => (index * 7) & 255),
});
const metered = new WebAssembly.Module(meterModule(original, { memory: (pages + 64) * 65_536 }).bytes);

/** No two places near each other are alike. */
const pattern = new Uint8Array(Uint32Array.from({ length: size / 4 }, (_, index) => Math.imul(index + 1, 0x9e3779b1)).buffer);

interface Subject {
  readonly call: (operation: (typeof names)[number], ...values: number[]) => string;
  readonly memory: Uint8Array;
  readonly used: () => number;
}

function subjectOf(module: WebAssembly.Module, checkpoint: () => number = () => 2 ** 30): Subject {
  let granted = 0;
  const counted = (): number => {
    const units = checkpoint();
    granted += Math.max(0, units);
    return units;
  };
  const { exports } = new WebAssembly.Instance(module, { "toolruntime:host": { checkpoint: counted } });
  const { memory, [fuelName]: fuel } = exports;
  if (!(memory instanceof WebAssembly.Memory)) throw new TypeError("no memory");
  return {
    memory: new Uint8Array(memory.buffer),
    used: () => (fuel instanceof WebAssembly.Global ? granted - Number(fuel.value) : 0),
    call: (operation, ...values) => {
      const target = exports[`f${names.indexOf(operation)}`];
      try {
        return `${typeof target === "function" ? target(...values) : "missing"}`;
      } catch (error) {
        return `${error}`;
      }
    },
  };
}

const lengths = [
  0,
  1,
  65_536,
  mebi - 1,
  mebi,
  mebi + 1,
  2 * mebi,
  2 * mebi + 5,
  3 * mebi + 7,
  size - 1,
  size,
  size + 1,
  0x7fffffff,
  0x80000000,
  2 ** 32 - 1,
];
const places = [0, 1, 5, 4096, mebi - 1, mebi, mebi + 3, size - mebi, size - 1, size, size + 1, 0x80000000, 2 ** 32 - mebi, 2 ** 32 - 1];

function* cases(): Generator<[(typeof names)[number], number, number, number]> {
  for (const length of lengths) {
    const targets = [...places, size - length, size - length + 1].filter((place) => place >= 0);
    for (const target of targets) yield ["memory.fill", target, 0xa5, length];
    for (const target of targets.slice(0, 8)) {
      for (const source of [0, 1, mebi, mebi / 2, mebi / 2 + 1]) yield ["memory.init", target, source, length];
    }
    if (length > 4 * mebi && length < 2 ** 31) continue;
    // Apart, over each other from both sides, and at both ends.
    for (const target of [0, 7, mebi, size - length]) {
      for (const by of [-mebi - 3, -4096, -1, 1, 64, mebi + 1, size - length]) yield ["memory.copy", target, target + by, length];
    }
  }
}

test("bulk operations over memory do what they did, and trap as they did", () => {
  const [before, after] = [subjectOf(new WebAssembly.Module(original)), subjectOf(metered)];
  let traps = 0;
  before.memory.set(pattern);
  after.memory.set(pattern);
  for (const [operation, ...values] of cases()) {
    const expected = before.call(operation, ...values);
    if (expected !== "undefined") traps++;
    const what = `${operation}(${values.join(", ")})`;
    expect(`${what}: ${after.call(operation, ...values)}`).toBe(`${what}: ${expected}`);
    if (Buffer.compare(before.memory, after.memory) !== 0) expect.fail(`${what} leaves other bytes`);
    // What a fill has made alike shows no difference any more.
    if (operation !== "memory.copy" && expected === "undefined") {
      before.memory.set(pattern);
      after.memory.set(pattern);
    }
  }
  expect(traps).toBeGreaterThan(100);
});

test("bulk operations cost by their length, and memory by its pages", () => {
  const subject = subjectOf(metered);
  const costOf = (...call: Parameters<Subject["call"]>): number => {
    const before = subject.used();
    subject.call(...call);
    return subject.used() - before;
  };
  for (const length of [4096, mebi, 3 * mebi]) {
    for (const operation of ["memory.fill", "memory.copy"] as const) {
      const cost = costOf(operation, 0, 1, length);
      expect(cost).toBeGreaterThanOrEqual(length / 4);
      expect(cost).toBeLessThan(length / 4 + 1000);
    }
  }
  expect(costOf("memory.init", 0, 0, mebi)).toBeGreaterThanOrEqual(mebi / 4);
  expect(costOf("memory.grow", 10)).toBeGreaterThan(10 * 16);
});

test("between two pieces of a long operation the host can end it", () => {
  let checkpoints = 0;
  const subject = subjectOf(metered, () => (checkpoints++ < 2 ? mebi / 4 + 100 : -1));
  expect(subject.call("memory.fill", 0, 1, size)).toBe("RuntimeError: unreachable");
  expect(checkpoints).toBe(3);
});

test("an operation that traps costs no more than memory that there is", () => {
  const subject = subjectOf(metered);
  expect(subject.call("memory.fill", 0, 1, 2 ** 32 - 1)).toContain("out of bounds");
  expect(subject.used()).toBeLessThan((2 * size) / 4);
});
