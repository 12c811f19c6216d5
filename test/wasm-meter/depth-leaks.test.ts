import { expect, test } from "vitest";
import { depthName, meterModule } from "../../src/wasm/meter/index.ts";
import { assemble, type Assembly } from "./assemble.ts";
import { Bytes, type FunctionType } from "./encoding.ts";
import { detectFeatures } from "./features.ts";

/**
 * Each way out of a function gives its stack back: a loop that takes it again and again does not run out of what
 * deterministic mode counts.
 */
const features = detectFeatures();
const none: FunctionType = { params: [], results: [] };
const one: FunctionType = { params: ["i32"], results: ["i32"] };
/** Frames of these many would be more than all of the stack. */
const times = 20_000;

const add = [0x20, 0, 0x41, 1, 0x6a, 0x22, 0];
const isNotDone = [...add, ...new Bytes().raw(0x41).s32(times).out, 0x47];
const endless = [0x03, 0x40];
/** A loop that does this so often, counted by local 0. */
function repeated(...code: readonly number[]): number[] {
  return [...endless, ...code, ...isNotDone, 0x0d, 0, 0x0b];
}

/** Function 0 goes out in this way (1 is a plain one, mostly), and the last one calls it. `host.f` gives, `host.g` throws. */
function leaving(code: readonly number[], call: readonly number[] = [0x10, 2], plain: readonly number[] = [0x01]): Assembly {
  return {
    types: [none, one],
    imports: { f: 0, g: 0 },
    tags: [0],
    table: [3],
    functions: [
      { type: 0, locals: ["i64"], code },
      { type: 0, code: plain },
      { type: 0, locals: ["i32"], code: repeated(...call) },
    ],
  };
}

const callPlain = 3;
const block = [0x02, 0x40];
const [end, catchAll, throwTag] = [0x0b, 0x19, [0x08, 0]] as const;

const cases: [what: string, assembly: Assembly][] = [
  ["its end", leaving([0x01])],
  ["return", leaving([0x0f])],
  ["return in a block", leaving([...block, 0x0f, end])],
  ["a branch to its own label", leaving([0x0c, 0])],
  ["a branch to its own label out of a loop", leaving([...endless, 0x0c, 1, end])],
  ["a conditional branch to its own label", leaving([...block, 0x41, 1, 0x0d, 1, end])],
  ["a table of branches to its own label", leaving([...block, 0x41, 1, 0x0e, 1, 0, 1, end])],
];
if (features.tailCalls) {
  cases.push(
    ["a tail call", leaving([0x12, callPlain])],
    ["a tail call of a host function", leaving([0x12, 0])],
    ["a tail call by a table", leaving([0x41, 0, 0x13, 0, 0])],
  );
  if (features.functionReferences) cases.push(["a tail call by reference", leaving([0xd2, callPlain, 0x15, 0])]);
}
if (features.oldExceptions) {
  const caught = [0x06, 0x40, 0x10, 2, catchAll, end];
  cases.push(
    ["an exception", leaving(throwTag, caught)],
    ["an exception that is caught by its tag", leaving(throwTag, [0x06, 0x40, 0x10, 2, 0x07, 0, end])],
    ["an exception through a frame", leaving([0x10, callPlain], caught, throwTag)],
    ["an exception of the host's", leaving([0x10, 1], caught)],
    ["an exception that is thrown again", leaving([0x06, 0x40, ...throwTag, catchAll, 0x09, 0, end], caught)],
    ["an exception that is delegated to the caller", leaving([0x06, 0x40, 0x10, 1, 0x18, 0], caught)],
    ["an exception that is delegated", leaving(throwTag, [0x06, 0x40, 0x06, 0x40, 0x10, 2, 0x18, 0, catchAll, end])],
    ["a return where one was caught", leaving([0x06, 0x40, 0x10, 1, catchAll, 0x0f, end])],
    ["a branch where one was caught", leaving([0x06, 0x40, 0x10, 1, catchAll, 0x0c, 1, end])],
  );
}
if (features.exceptions) {
  const caught = [...block, 0x1f, 0x40, 1, 2, 0, 0x10, 2, end, end];
  const again: Assembly = leaving(throwTag);
  // The handler is the head of the loop; no block ends on the way.
  const toHead = [...endless, ...isNotDone, 0x45, 0x0d, 1, 0x1f, 0x40, 1, 2, 0, 0x10, 2, end, 0x0c, 0, end];
  cases.push(
    ["an exception", leaving(throwTag, caught)],
    ["an exception that is caught by its tag", leaving(throwTag, [...block, 0x1f, 0x40, 1, 0, 0, 0, 0x10, 2, end, end])],
    [
      "an exception whose handler is a loop's head",
      { ...again, functions: [...again.functions.slice(0, 2), { type: 0, locals: ["i32"], code: toHead }] },
    ],
    ["an exception of the host's", leaving([0x10, 1], caught)],
    ["an exception that is held", leaving(throwTag, [0x02, 0x69, 0x1f, 0x40, 1, 3, 0, 0x10, 2, end, 0xd0, 0x69, end, 0x1a])],
    ["an exception whose handler is the function's end", leaving([0x1f, 0x40, 1, 2, 0, 0x10, 1, end])],
    ["an exception that is thrown again", leaving([0x02, 0x69, 0x1f, 0x40, 1, 3, 0, 0x10, 1, end, 0x0f, end, 0x0a], caught)],
  );
}

test.each(cases)("a function gives its stack back: %s", (_, assembly) => {
  const bytes = assemble(assembly);
  expect(WebAssembly.validate(bytes)).toBe(true);
  const { bytes: metered } = meterModule(bytes, { deterministic: true });
  const host = {
    f: () => {},
    g: () => {
      throw new Error("the host's");
    },
  };
  const imports = { "toolruntime:host": { checkpoint: () => 2 ** 20 }, host };
  const { f2: enter, [depthName]: depth } = new WebAssembly.Instance(new WebAssembly.Module(metered), imports).exports;
  if (typeof enter !== "function" || !(depth instanceof WebAssembly.Global)) throw new TypeError("exports are missing");
  const before: unknown = depth.value;
  enter();
  expect(depth.value).toBe(before);
});
