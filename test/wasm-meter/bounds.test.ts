import { expect, test } from "vitest";
import { BoundError } from "../../src/wasm/binary.ts";
import { meterModule } from "../../src/wasm/meter/index.ts";
import { assemble } from "./assemble.ts";
import { Bytes, moduleHeader, type FunctionType } from "./encoding.ts";

/**
 * Modules that are small or simple to write, and that cost whoever reads, compiles or rewrites them far more than their size: each is
 * refused before it does. All of them are valid, so it is not the engine that refuses.
 */
const none: FunctionType = { params: [], results: [] };

function times<T>(count: number, item: T): T[] {
  return Array.from({ length: count }, () => item);
}

function moduleOf(...sections: readonly (readonly [id: number, content: Bytes])[]): Uint8Array<ArrayBuffer> {
  const bytes = new Bytes().raw(...moduleHeader);
  for (const [id, content] of sections) bytes.raw(id).sized(content);
  return Uint8Array.from(bytes.out);
}

function types(count: number, write: (into: Bytes) => void): Bytes {
  return new Bytes().list(times(count, 0), (_, __, into) => write(into));
}

const wide = (into: Bytes): void => void into.raw(0x60).list(times(1000, 0x7f), (type, _, to) => to.raw(type)).u32(0); // prettier-ignore
const empty = (into: Bytes): void => void into.raw(0x60, 0, 0);

/** A function of many small parts. */
function filled(count: number, part: readonly number[]): Uint8Array<ArrayBuffer> {
  return assemble({ types: [none], functions: times(20, { type: 0, code: times(count, part).flat() }) });
}

const loop = [0x03, 0x40, 0x41, 0, 0x0d, 0, 0x0b];
const manyClauses = [0x1f, 0x40, ...new Bytes().list(times(2000, [0, 0]), (clause, _, into) => into.raw(...clause, 0)).out, 0x0b];

const cases: readonly (readonly [what: string, message: string, bytes: () => Uint8Array<ArrayBuffer>])[] = [
  ["types of many parameters", "too many parameters", () => moduleOf([1, types(300, wide)])],
  [
    "types in one recursive group",
    "more than 20000 types",
    () =>
      moduleOf([
        1,
        new Bytes()
          .u32(1)
          .raw(0x4e)
          .u32(30_000)
          .raw(...times(30_000, [0x60, 0, 0]).flat()),
      ]),
  ],
  ["types", "more than 20000 types", () => moduleOf([1, types(30_000, empty)])],
  ["custom sections", "custom sections", () => moduleOf(...times(20_000, [0, new Bytes().raw(0)] as const))],
  [
    "elements of segments",
    "elements in all segments",
    () =>
      moduleOf(
        [1, types(1, empty)],
        [3, new Bytes().raw(1, 0)],
        [9, types(30, (into) => into.raw(1, 0).list(times(50_000, 0), (index, _, to) => to.u32(index)))],
        [10, new Bytes().raw(1, 2, 0, 0x0b)],
      ),
  ],
  ["loops of all functions", "loops", () => assemble({ types: [none], functions: times(50, { type: 0, code: times(4500, loop).flat() }) })],
  ["handlers of one block", "clauses", () => assemble({ types: [none], tags: [0], functions: [{ type: 0, code: manyClauses }] })],
  ["code that grows when it is metered", "bytes of metered code", () => filled(4900, loop)],
];

for (const [what, message, make] of cases) {
  test(`${what}: refused`, () => {
    const bytes = make();
    expect(WebAssembly.validate(bytes)).toBe(true);
    const refusal: unknown = expect.objectContaining({ name: BoundError.name, message: expect.stringContaining(message) });
    expect(() => meterModule(bytes)).toThrow(refusal as Error);
  });
}
