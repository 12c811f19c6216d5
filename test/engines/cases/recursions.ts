import { defaultBounds } from "../../../src/wasm/meter/index.ts";
import { Bytes, type ValueType } from "../../wasm-meter/encoding.ts";
import type { Case } from "./observe.ts";
import { writeModule, type FunctionSpec, type ModuleSpec } from "./writing.ts";

/** Global 0: how many frames there were. */
function countFrame(code: Bytes): Bytes {
  return code.raw(0x23, 0, 0x41, 1, 0x6a, 0x24, 0);
}

/** Calls `down`, function 1, with the zeros that it takes, and drops what it gives. */
function entry(down: FunctionSpec): FunctionSpec {
  const code = new Bytes();
  for (const type of down.params) zero(code, type);
  code.raw(0x10, 1);
  for (let left = down.results.length; left > 0; left--) code.raw(0x1a);
  return { name: "run", params: [], results: [], code: code.raw(0x0b) };
}

function zero(code: Bytes, type: ValueType): void {
  if (type === "i32") code.raw(0x41, 0);
  else if (type === "i64") code.raw(0x42, 0);
  else if (type === "v128") code.raw(0xfd, 12, ...new Uint8Array(16));
  else throw new TypeError(`there is no zero of ${type} here`);
}

function repeat<T>(count: number, value: T): T[] {
  return Array.from({ length: count }, () => value);
}

/** Has so many locals, all of them alive over the call of itself. */
function withLocals(count: number, type: "i64" | "v128"): FunctionSpec {
  const code = countFrame(new Bytes());
  const first = type === "i64" ? [0x20, 0] : [0x20, 0, 0xfd, 18];
  for (let local = 1; local <= count; local++)
    code
      .raw(...first)
      .raw(0x21)
      .u32(local);
  code.raw(0x20, 0, 0x42, 1, 0x7c, 0x10, 1);
  for (let local = 1; local <= count; local++) {
    code.raw(0x20).u32(local);
    if (type === "v128") code.raw(0xfd, 29, 1);
    code.raw(0x7c);
  }
  return { params: ["i64"], results: ["i64"], locals: [[count, type]], code: code.raw(0x0b) };
}

/** Takes so many parameters and hands them on. */
function withParameters(count: number, type: ValueType): FunctionSpec {
  const code = countFrame(new Bytes());
  for (let index = 0; index < count; index++) code.raw(0x20).u32((index + 1) % count);
  return { params: repeat(count, type), results: [], code: code.raw(0x10, 1, 0x0b) };
}

/** Gives so many results. */
function withResults(count: number): FunctionSpec {
  return { params: [], results: repeat(count, "i64" as const), code: countFrame(new Bytes()).raw(0x10, 1, 0x0b) };
}

/** Has so many values on its operand stack while it calls itself. */
function withOperands(count: number): FunctionSpec {
  const code = countFrame(new Bytes());
  for (let index = 0; index < count; index++) code.raw(0x20, 0, 0x42).s64(BigInt(index)).raw(0x7c);
  code.raw(0x20, 0, 0x10, 1);
  for (let index = 0; index < count; index++) code.raw(0x7c);
  return { params: ["i64"], results: ["i64"], code: code.raw(0x0b) };
}

const nothing = { params: [], results: [] } as const;

/** So many calls that are in blocks in blocks. */
function nested(count: number): FunctionSpec {
  const code = countFrame(new Bytes());
  for (let depth = 0; depth < count; depth++) code.raw(0x02, 0x40);
  code.raw(0x10, 1);
  for (let depth = 0; depth < count; depth++) code.raw(0x0b);
  return { ...nothing, code: code.raw(0x0b) };
}

interface Recursion {
  readonly name: string;
  readonly down: FunctionSpec;
  readonly rest?: Partial<ModuleSpec>;
}

const inTable: Partial<ModuleSpec> = { tables: [{ type: "funcref", min: 2 }], elements: [0, 1] };
/** Code that names a type names 0, which both functions have. */
const endless: readonly Recursion[] = [
  { name: "two parameters", down: withParameters(2, "i64") },
  { name: "nothing at all", down: { ...nothing, code: countFrame(new Bytes()).raw(0x10, 1, 0x0b) } },
  { name: "20 locals", down: withLocals(20, "i64") },
  { name: "2,000 locals", down: withLocals(2000, "i64") },
  { name: "the most locals", down: withLocals(defaultBounds.locals - 1, "i64") },
  { name: "10 vectors", down: withLocals(10, "v128") },
  { name: "the most vectors", down: withLocals(defaultBounds.locals - 1, "v128") },
  { name: "900 parameters", down: withParameters(900, "i64") },
  { name: "900 vectors as parameters", down: withParameters(900, "v128") },
  { name: "900 results", down: withResults(900) },
  { name: "1,500 operands", down: withOperands(1500) },
  { name: "500 blocks", down: nested(500) },
  { name: "through a table", down: { ...nothing, code: countFrame(new Bytes()).raw(0x41, 1, 0x11, 0, 0, 0x0b) }, rest: inTable },
  { name: "through a reference", down: { ...nothing, code: countFrame(new Bytes()).raw(0xd2, 1, 0x14, 0, 0x0b) }, rest: inTable },
  // What is caught has its own frames, and the end itself cannot be caught.
  {
    name: "in a try that catches everything",
    down: { ...nothing, code: countFrame(new Bytes()).raw(0x06, 0x40, 0x10, 1, 0x19, 0x0b, 0x0b) },
  },
  {
    name: "in a catch",
    down: { ...nothing, code: countFrame(new Bytes()).raw(0x06, 0x40, 0x08, 0, 0x19, 0x10, 1, 0x0b, 0x0b) },
    rest: { tags: [[]] },
  },
  {
    name: "in a try_table",
    down: { ...nothing, code: countFrame(new Bytes()).raw(0x02, 0x40, 0x1f, 0x40, 1, 2, 0, 0x10, 1, 0x0b, 0x0b, 0x0b) },
  },
];

function toCase({ name, down, rest }: Recursion): Case {
  return {
    name: `recursion: ${name}`,
    bytes: writeModule({ functions: [entry(down), down], globals: ["i32"], ...rest }),
    play: async (open) => {
      // Twice each: compiled by another compiler, frames have another size.
      for (const isSuspending of [false, true]) {
        for (let count = 0; count < 2; count++) {
          const guest = open({ isSuspending });
          await guest.enter("run");
          guest.look();
        }
      }
    },
  };
}

/** Dives so deep, and throws at the bottom. */
const diver: FunctionSpec = {
  params: ["i32"],
  results: [],
  code: new Bytes().raw(0x20, 0, 0x45, 0x04, 0x40, 0x08, 0, 0x0b, 0x20, 0, 0x41, 1, 0x6b, 0x10, 1, 0x0b),
};

/** `(times, deep)`: dives again and again, and catches what comes up. */
function bouncer(handler: "old" | "new"): FunctionSpec {
  const code = new Bytes().raw(0x03, 0x40);
  if (handler === "old") code.raw(0x06, 0x40, 0x20, 1, 0x10, 1, 0x19, 0x0b);
  else code.raw(0x02, 0x40, 0x1f, 0x40, 1, 2, 0, 0x20, 1, 0x10, 1, 0x0b, 0x0b);
  code.raw(0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b, 0x0b);
  return { name: "bounce", params: ["i32", "i32"], results: [], code };
}

/** So many frames of tail calls, each in place of the last, and what they count. */
function chain(): FunctionSpec {
  const code = new Bytes().raw(0x20, 0, 0x45, 0x04, 0x40, 0x20, 1, 0x0f, 0x0b);
  code.raw(0x20, 0, 0x41, 1, 0x6b, 0x20, 1, 0x42, 3, 0x7c, 0x12, 3, 0x0b);
  return { name: "chain", params: ["i32", "i64"], results: ["i64"], code };
}

/** Goes so deep and comes back, with a tail call at each step. */
function deep(): FunctionSpec {
  const code = new Bytes().raw(0x20, 0, 0x45, 0x04, 0x40, 0x41, 0, 0x0f, 0x0b);
  code.raw(0x41, 50, 0x42, 0, 0x10, 3, 0x1a, 0x20, 0, 0x41, 1, 0x6b, 0x10, 4, 0x41, 1, 0x6a, 0x0b);
  return { name: "deep", params: ["i32"], results: ["i32"], code };
}

function returning(handler: "old" | "new"): Case {
  const nowhere: FunctionSpec = { ...nothing, code: new Bytes().raw(0x0b) };
  const functions = [nowhere, diver, bouncer(handler), chain(), deep()];
  return {
    name: `recursion: comes back through ${handler} exceptions, tail calls and returns`,
    bytes: writeModule({ functions, tags: [[]], globals: ["i32"] }),
    play: (open) => {
      const guest = open();
      guest.call("deep", 1000);
      // Were the frames not given back, the stack would soon be at its end.
      guest.call("bounce", 20_000, 20);
      guest.call("bounce", 3, 3000);
      guest.call("chain", 1_000_000, 0n);
      guest.call("deep", 1000);
      // What throws out of the last frame to the host gives them back too.
      guest.call("deep", 3000);
      for (const most of [3500, 4000, 4500, 5000, 6000, 7000]) guest.call("deep", most);
    },
  };
}

/** What a guest has after the end of its stack: nothing runs any more, whoever calls it. */
const afterwards: Case = {
  name: "recursion: after the end",
  bytes: writeModule({
    functions: [
      { name: "run", ...nothing, code: new Bytes().raw(0x10, 0, 0x0b) },
      { name: "small", ...nothing, code: new Bytes().raw(0x0b) },
    ],
  }),
  play: (open) => {
    const guest = open();
    for (const name of ["small", "run", "small", "run"]) guest.call(name);
  },
};

export const recursions: readonly Case[] = [...endless.map(toCase), returning("old"), returning("new"), afterwards];
