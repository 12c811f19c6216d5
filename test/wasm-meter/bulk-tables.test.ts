import { expect, test } from "vitest";
import { fuelName, meterModule } from "../../src/wasm/meter/index.ts";
import { Bytes, moduleHeader } from "./encoding.ts";

/** Operations over many elements of tables go on in pieces, which must not be seen; they cost by their length. */
const size = 20_000;
const segment = 18_000;
const functionsInSegment = 251;

const operations = {
  fill: [0x20, 0, 0x20, 1, 0x25, 1, 0x20, 2, 0xfc, 17, 0],
  copy: [0x20, 0, 0x20, 1, 0x20, 2, 0xfc, 14, 0, 0],
  copyBetween: [0x20, 0, 0x20, 1, 0x20, 2, 0xfc, 14, 0, 1],
  init: [0x20, 0, 0x20, 1, 0x20, 2, 0xfc, 12, 0, 0],
} as const;
type Operation = keyof typeof operations;

function makeModule(): Uint8Array<ArrayBuffer> {
  const bodies: (readonly number[])[] = [
    ...Object.values(operations),
    ...Array.from({ length: functionsInSegment }, (_, index) => [0x41, ...new Bytes().s32(index).out]),
  ];
  const own = Object.keys(operations).length;
  const exports = new Bytes()
    .u32(own + 2)
    .name("first")
    .raw(1, 0)
    .name("second")
    .raw(1, 1);
  for (const [index, name] of Object.keys(operations).entries()) exports.name(name).raw(0).u32(index);
  const elements = Array.from({ length: segment }, (_, index) => own + ((index * index) % functionsInSegment));
  const sections: readonly (readonly [number, Bytes])[] = [
    [1, new Bytes().raw(2, 0x60, 3, 0x7f, 0x7f, 0x7f, 0, 0x60, 0, 1, 0x7f)],
    [3, new Bytes().list(bodies, (_, index, into) => into.raw(index < own ? 0 : 1))],
    [4, new Bytes().raw(2).raw(0x70, 0).u32(size).raw(0x70, 0).u32(size)],
    [7, exports],
    [9, new Bytes().raw(1, 1, 0).list(elements, (index, _, into) => into.u32(index))],
    [10, new Bytes().list(bodies, (code, _, into) => into.sized(new Bytes().raw(0, ...code, 0x0b)))],
  ];
  const bytes = new Bytes().raw(...moduleHeader);
  for (const [id, content] of sections) bytes.raw(id).sized(content);
  return Uint8Array.from(bytes.out);
}

interface Subject {
  readonly call: (operation: Operation, ...values: number[]) => string;
  /** What each element of the first table gives when it is called, in one text. */
  readonly content: () => string;
  readonly used: () => number;
}

function subjectOf(bytes: Uint8Array<ArrayBuffer>, checkpoint: () => number = () => 2 ** 30): Subject {
  let granted = 0;
  const counted = (): number => {
    const units = checkpoint();
    granted += Math.max(0, units);
    return units;
  };
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { "toolruntime:host": { checkpoint: counted } });
  const { first, [fuelName]: fuel } = exports;
  if (!(first instanceof WebAssembly.Table)) throw new TypeError("no table");
  const identities = new Map<unknown, number>([[null, -1]]);
  const identityOf = (value: unknown): number => {
    const known = identities.get(value) ?? (typeof value === "function" ? Number(value()) : Number.NaN);
    identities.set(value, known);
    return known;
  };
  return {
    content: () => Array.from({ length: size }, (_, index) => identityOf(first.get(index))).join(),
    used: () => (fuel instanceof WebAssembly.Global ? granted - Number(fuel.value) : 0),
    call: (operation, ...values) => {
      const target = exports[operation];
      try {
        return `${typeof target === "function" ? target(...values) : "missing"}`;
      } catch (error) {
        return `${error}`;
      }
    },
  };
}

const original = makeModule();
const metered = meterModule(original).bytes;

function* cases(): Generator<[Operation, number, number, number]> {
  for (const length of [0, 1, 8191, 8192, 8193, 12_000, segment, size, size + 1, 0x80000000, 2 ** 32 - 1]) {
    for (const target of [0, 1, 5000, size - length, size - length + 1, 2 ** 32 - 1].filter((place) => place >= 0)) {
      yield ["init", target, 0, length];
      yield ["init", target, 3, length];
      for (const by of [-9000, -1, 8192]) yield ["copy", target, Math.max(0, target + by), length];
      yield ["fill", target, 7, length];
      yield ["init", 0, 0, segment];
      yield ["copyBetween", target, 11, length];
    }
  }
}

test("bulk operations over tables do what they did, and trap as they did", { timeout: 60_000 }, () => {
  const [before, after] = [subjectOf(original), subjectOf(metered)];
  let traps = 0;
  for (const [operation, ...values] of cases()) {
    const expected = before.call(operation, ...values);
    if (expected !== "undefined") traps++;
    const what = `${operation}(${values.join(", ")})`;
    expect(`${what}: ${after.call(operation, ...values)}`).toBe(`${what}: ${expected}`);
    if (before.content() !== after.content()) expect.fail(`${what} leaves other elements`);
  }
  expect(traps).toBeGreaterThan(50);
});

test("they cost by their length, and the host can end them between two pieces", () => {
  const subject = subjectOf(metered);
  subject.call("init", 0, 0, segment);
  expect(subject.used()).toBeGreaterThan(segment * 25);
  expect(subject.used()).toBeLessThan(segment * 40);
  let checkpoints = 0;
  const ended = subjectOf(metered, () => (checkpoints++ < 2 ? 8192 * 32 + 100 : -1));
  expect(ended.call("init", 0, 0, segment)).toBe("RuntimeError: unreachable");
  expect(checkpoints).toBe(3);
});
