import { Bytes, type ValueType } from "../../wasm-meter/encoding.ts";
import type { Case } from "./observe.ts";
import { writeModule, type FunctionSpec, type ModuleSpec } from "./writing.ts";

const nothing = { params: [], results: [] } as const;

function i32(value: number): Bytes {
  return new Bytes().raw(0x41).s32(value);
}

function i64(value: bigint): Bytes {
  return new Bytes().raw(0x42).s64(value);
}

function f64(bits: bigint): Bytes {
  return new Bytes().raw(0x44).little(bits, 8);
}

function f32(bits: number): Bytes {
  return new Bytes().raw(0x43).little(BigInt(bits), 4);
}

/** Operands, and an instruction after them. */
function after(operands: readonly Bytes[], ...code: readonly number[]): Bytes {
  const whole = new Bytes();
  for (const one of operands) whole.append(one);
  return whole.raw(...code);
}

const most64 = 0x8000000000000000n;
const nan64 = 0x7ff8000000000000n;
const huge64 = 0x7fe0000000000000n;
const page = 65_536;

/** What traps, by the kind of trap that the specification gives it. Each leaves what it gives to be dropped. */
const traps: Readonly<Record<string, readonly (readonly [code: Bytes, results: number])[]>> = {
  unreachable: [[new Bytes().raw(0x00), 0]],
  "integer divide by zero": [
    [after([i32(7), i32(0)], 0x6d), 1],
    [after([i32(7), i32(0)], 0x6e), 1],
    [after([i32(7), i32(0)], 0x6f), 1],
    [after([i32(7), i32(0)], 0x70), 1],
    [after([i64(7n), i64(0n)], 0x7f), 1],
    [after([i64(7n), i64(0n)], 0x80), 1],
    [after([i64(7n), i64(0n)], 0x81), 1],
    [after([i64(7n), i64(0n)], 0x82), 1],
  ],
  "integer overflow": [
    [after([i32(-0x80000000), i32(-1)], 0x6d), 1],
    [after([i64(-most64), i64(-1n)], 0x7f), 1],
  ],
  "invalid conversion to integer": [
    [after([f32(0x7fc00000)], 0xa8), 1],
    [after([f32(0x4f800000)], 0xa9), 1],
    [after([f64(nan64)], 0xaa), 1],
    [after([f64(huge64)], 0xab), 1],
    [after([f32(0x7fc00000)], 0xae), 1],
    [after([f64(nan64)], 0xb0), 1],
    [after([f64(huge64)], 0xb1), 1],
  ],
  "out-of-bounds memory access": [
    [after([i32(page)], 0x28, 2, 0), 1],
    [after([i32(page - 3)], 0x28, 2, 0), 1],
    [after([i32(-1)], 0x2d, 0, 0), 1],
    [after([i32(0)], 0x29, 3, 0x80, 0x80, 0x80, 0x80, 0x0f), 1],
    [after([i32(page - 1), i64(1n)], 0x37, 3, 0), 0],
    [after([i32(page - 8), new Bytes().raw(0xfd, 12, ...new Uint8Array(16))], 0xfd, 11, 4, 0), 0],
    [after([i32(1), i32(7), i32(page)], 0xfc, 11, 0), 0],
    [after([i32(-1), i32(7), i32(2)], 0xfc, 11, 0), 0],
    [after([i32(0), i32(1), i32(page)], 0xfc, 10, 0, 0), 0],
    [after([i32(page), i32(0), i32(1)], 0xfc, 10, 0, 0), 0],
    [after([i32(0), i32(0), i32(5)], 0xfc, 8, 0, 0), 0],
    [after([new Bytes().raw(0xfc, 9, 0), i32(0), i32(0), i32(1)], 0xfc, 8, 0, 0), 0],
  ],
  "out-of-bounds table access": [
    [after([i32(3)], 0x25, 0), 1],
    [after([i32(-1), new Bytes().raw(0xd0, 0x70)], 0x26, 0), 0],
    [after([i32(1), new Bytes().raw(0xd0, 0x70), i32(3)], 0xfc, 17, 0), 0],
    [after([i32(0), i32(1), i32(3)], 0xfc, 14, 0, 0), 0],
    [after([i32(0), i32(0), i32(2)], 0xfc, 12, 0, 0), 0],
    [after([i32(3)], 0x11, 0, 0), 0],
  ],
  "indirect call type mismatch": [
    [after([i32(1)], 0x11, 0, 0), 0],
    [after([i32(0)], 0x11, 1, 0), 1],
  ],
  "null reference": [
    [new Bytes().raw(0xd0, 0x70, 0xd4), 1],
    [new Bytes().raw(0xd0, 0, 0x14, 0), 0],
  ],
  "uncaught exception": [[after([i32(5)], 0x08, 0), 0]],
};

export const trapNames: readonly string[] = Object.keys(traps);

/** Does something before that is in the fuel, and would do something afterwards. */
function trapping(name: string, code: Bytes, results: number): FunctionSpec {
  const whole = after([i32(16), i32(1)], 0x36, 2, 0).append(code);
  for (let left = results; left > 0; left--) whole.raw(0x1a);
  return { name, ...nothing, code: whole.append(after([i32(20), i32(1)], 0x36, 2, 0)).raw(0x0b) };
}

/** Types 0 and 1 are `() -> ()` and `() -> i32`: those of the first two functions. */
const targets: readonly FunctionSpec[] = [
  { ...nothing, code: new Bytes().raw(0x0b) },
  { params: [], results: ["i32"], code: new Bytes().raw(0x41, 3, 0x0b) },
];

const trapModule: ModuleSpec = {
  functions: [
    ...targets,
    ...Object.entries(traps).flatMap(([name, rows]) => rows.map(([code, results], index) => trapping(`${name} ${index}`, code, results))),
  ],
  memory: { min: 1, max: 1 },
  tables: [{ type: "funcref", min: 3 }],
  elements: [0],
  passiveElements: [0],
  data: [[1, 2, 3, 4]],
  tags: [["i32"]],
};

const trapCase: Case = {
  name: "traps of each kind",
  bytes: writeModule(trapModule),
  play: async (open) => {
    for (const [name, rows] of Object.entries(traps)) {
      for (const index of rows.keys()) {
        for (const isSuspending of [false, true]) {
          const guest = open({ isSuspending });
          await guest.enter(`${name} ${index}`);
          guest.look();
        }
      }
    }
    // A guest goes on after a trap: what it used is in the books of the next call.
    const guest = open();
    for (const [name, rows] of Object.entries(traps)) for (const index of rows.keys()) guest.call(`${name} ${index}`);
    guest.look();
  },
};

/** Grows by so many until it cannot, and gives how often it could; then by far too much, and gives that too. */
function growing(name: string, by: number, grow: Bytes): FunctionSpec {
  const attempt = (count: number): Bytes => i32(count).append(grow);
  const code = new Bytes().raw(0x03, 0x40).append(attempt(by)).raw(0x41).s32(-1).raw(0x47, 0x04, 0x40);
  code.raw(0x20, 0, 0x41, 1, 0x6a, 0x21, 0, 0x0c, 1, 0x0b, 0x0b, 0x20, 0);
  code.append(attempt(-1)).append(attempt(0x7fffffff)).append(attempt(0));
  return { name, params: [], results: ["i32", "i32", "i32", "i32"], locals: [[1, "i32"]], code: code.raw(0x0b) };
}

function tableGrow(table: number, type: ValueType): (count: number) => Bytes {
  return (count) =>
    new Bytes()
      .raw(0xd0, type === "funcref" ? 0x70 : 0x6f)
      .append(i32(count))
      .raw(0xfc, 15, table);
}

function growingTable(name: string, by: number, table: number, type: ValueType): FunctionSpec {
  const attempt = tableGrow(table, type);
  const code = new Bytes().raw(0x03, 0x40).append(attempt(by)).raw(0x41).s32(-1).raw(0x47, 0x04, 0x40);
  code.raw(0x20, 0, 0x41, 1, 0x6a, 0x21, 0, 0x0c, 1, 0x0b, 0x0b, 0x20, 0);
  code.append(attempt(-1)).append(attempt(0x7fffffff)).append(attempt(0));
  return { name, params: [], results: ["i32", "i32", "i32", "i32"], locals: [[1, "i32"]], code: code.raw(0x0b) };
}

function growCase(name: string, max: number | undefined, options: Case["options"]): Case {
  const memory = max === undefined ? { min: 1 } : { min: 1, max };
  return {
    name: `growth to the cap: ${name}`,
    bytes: writeModule({
      functions: [
        growing("memory.grow", 1, new Bytes().raw(0x40, 0)),
        growingTable("functions", 1000, 0, "funcref"),
        growingTable("externals", 777, 1, "externref"),
      ],
      memory,
      tables: [
        { type: "funcref", min: 0 },
        { type: "externref", min: 5, max: 5000 },
      ],
    }),
    ...(options === undefined ? {} : { options }),
    play: (open) => {
      for (const limit of [Number.POSITIVE_INFINITY, 3_000_000]) {
        const guest = open({ limit });
        for (const each of ["memory.grow", "functions", "externals", "memory.grow"]) guest.call(each);
        guest.look();
      }
    },
  };
}

/** Fills, copies and counts, each by length: what a limit cuts off shows how far it came. */
function bulkFunction(): FunctionSpec {
  const code = new Bytes().raw(0x03, 0x40);
  code.append(after([i32(0), new Bytes().raw(0x20, 0), i32(300_000)], 0xfc, 11, 0));
  code.append(after([i32(300_001), i32(1), i32(299_999)], 0xfc, 10, 0, 0));
  code.append(after([i32(0), new Bytes().raw(0xd2, 0), i32(3000)], 0xfc, 17, 0));
  code.append(after([new Bytes().raw(0x23, 0, 0x41, 1, 0x6a)], 0x24, 0));
  code.raw(0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b, 0x0b);
  return { name: "bulk", params: ["i32"], results: [], code };
}

/** A loop with a range that is known before it begins, and one inside of it that is not. */
function countingFunction(): FunctionSpec {
  const code = new Bytes().raw(0x03, 0x40);
  code.raw(0x41, 40, 0x21, 1, 0x03, 0x40, 0x20, 1, 0x41, 3, 0x6c, 0x23, 0, 0x6a, 0x24, 0);
  code.raw(0x20, 1, 0x41, 1, 0x6b, 0x22, 1, 0x0d, 0, 0x0b);
  code.raw(0x23, 0, 0x41, 7, 0x71, 0x45, 0x04, 0x40, 0x10, 0, 0x0b);
  code.raw(0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b, 0x0b);
  return { name: "counting", params: ["i32"], results: [], locals: [[1, "i32"]], code };
}

const limits: Case = {
  name: "a limit of fuel in the middle",
  bytes: writeModule({
    functions: [{ ...nothing, code: new Bytes().raw(0x0b) }, bulkFunction(), countingFunction()],
    memory: { min: 10 },
    tables: [{ type: "funcref", min: 3000 }],
    elements: [0],
    globals: ["i32"],
  }),
  play: (open) => {
    for (const [name, count] of [
      ["bulk", 20],
      ["counting", 50_000],
    ] as const) {
      // oxfmt-ignore
      const whole = open();
      whole.call(name, count);
      whole.look();
      for (const part of [0, 0.001, 0.2, 0.5, 0.77, 0.999, 1, 2]) {
        const guest = open({ limit: Math.floor(whole.used * part) });
        guest.call(name, count);
        guest.look();
        guest.call(name, 1);
      }
    }
  },
};

export const ends: readonly Case[] = [
  trapCase,
  growCase("the host's", undefined, { memory: 100 * page + 1234 }),
  growCase("the module's own", 7, { memory: 100 * page }),
  limits,
];
