import fc from "fast-check";
import { expect, test } from "vitest";
import { jsonErrorAt } from "../../src/internal/json-syntax.ts";

test.each([
  ["", 0],
  ["  ", 2],
  ['{"a":1,}', 7],
  ["[1,]", 3],
  ["[,1]", 1],
  ['{"a" 1}', 5],
  ["{1:2}", 1],
  ['{"a":1', 6],
  ['"open', 5],
  ['"a\nb"', 2],
  [String.raw`"\q"`, 2],
  [String.raw`"\u12x4"`, 5],
  ["01", 1],
  ["1.", 2],
  ["1.e3", 2],
  ["-", 1],
  ["1e+", 3],
  ["tru", 3],
  ["nulx", 3],
  ["NaN", 0],
  ["1 2", 2],
  ["]", 0],
  ["[1}", 2],
  ["\ufeff{}", 0],
  ["[".repeat(100_000), 100_000],
] as const)("%j is wrong at %i", (text, at) => {
  expect(jsonErrorAt(text)).toBe(at);
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Where V8 says that it is wrong; it does not always say. */
function positionOf(text: string): number | undefined {
  try {
    JSON.parse(text);
  } catch (error) {
    const position = /position (\d+)/.exec(String(error))?.[1];
    return position === undefined ? undefined : Number(position);
  }
  return undefined;
}

const mutated = fc
  .tuple(
    fc.json(),
    fc.nat(),
    fc.constantFrom("", "{", "}", "[", "]", ",", ":", '"', "\\", "0", "-", ".", "e", "t", "\n", "\u0001"),
    fc.nat(3),
  )
  .map(([json, at, put, cut]) => {
    const index = at % (json.length + 1);
    return json.slice(0, index) + put + json.slice(index + cut);
  });

test("finds nothing in what is JSON", () => {
  fc.assert(fc.property(fc.json(), (text) => jsonErrorAt(text) === undefined));
});

test("is where V8 says, where it says it", () => {
  let said = 0;
  const sameAsV8 = fc.property(mutated, (text) => {
    if (isJson(text)) return jsonErrorAt(text) === undefined;
    const position = positionOf(text);
    if (position !== undefined) said++;
    return position === undefined || jsonErrorAt(text) === position;
  });
  fc.assert(sameAsV8, { numRuns: 3000, seed: 1 });
  expect(said).toBeGreaterThan(500);
});
