import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalJson, encodeJson, maxJsonDepth, parseJson } from "../../src/internal/json.ts";

const lenient = { refusesPrototypeKeys: false };
const strict = { refusesPrototypeKeys: true };

function problemOf(text: string, rules = lenient): string | undefined {
  const parsed = parseJson(text, rules);
  return "problem" in parsed ? parsed.problem : undefined;
}

describe("reading", () => {
  test("gives back every JSON value as it was written", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
        const text = JSON.stringify(value);
        expect(parseJson(text, lenient)).toEqual({ value: JSON.parse(text) });
      }),
      { numRuns: 2000 },
    );
  });

  test("takes keys and strings full of quotes, colons, backslashes and braces", () => {
    const odd = fc.string({ unit: fc.constantFrom('"', ":", "\\", "{", "}", ",", "\n", "a", "\u{1f600}", "\ud800") });
    fc.assert(
      fc.property(fc.dictionary(odd, fc.oneof(odd, fc.array(odd), fc.dictionary(odd, odd))), (value) => {
        const text = JSON.stringify(value);
        expect(parseJson(text, lenient)).toEqual({ value: JSON.parse(text) });
      }),
      { numRuns: 2000 },
    );
  });

  test("finds a key that stands twice, wherever", () => {
    const inner = fc.jsonValue({ maxDepth: 3 });
    fc.assert(
      fc.property(fc.string(), inner, inner, fc.integer({ min: 0, max: 5 }), fc.boolean(), (key, first, second, depth, isInArray) => {
        const name = JSON.stringify(key);
        let text = `{${name}:${JSON.stringify(first)},${name}:${JSON.stringify(second)}}`;
        for (let level = 0; level < depth; level++) text = isInArray ? `[0,${text}]` : `{"outer":${text},"b":1}`;
        expect(problemOf(text)).toBeDefined();
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    '{"a":1,"a":1}',
    '{"a":1,"a":2,"b":3}',
    '{"a":1,"\\u0061":2}',
    '{"a":{"b":1,"b":2}}',
    '{"a":{"b":1},"a":{}}',
    '[{"a":1,"a":1}]',
    '{"__proto__":1,"__proto__":2}',
    '{"":1,"":2}',
    '{"1":1,"1":2}',
  ])("refuses %s", (text) => {
    expect(problemOf(text)).toBeDefined();
  });

  test.each(["1e999", "-1e999", '{"a":1e999}', "[[1e309]]"])("refuses the number of %s", (text) => {
    expect(problemOf(text)).toBeDefined();
  });

  test.each(["", "{", "nul", "[1,]", "{'a':1}", "NaN", "\ufeff{}", '{"a":1}x', "\u00a0{}"])("refuses %j as no JSON", (text) => {
    expect(problemOf(text)).toBeDefined();
  });

  test("says where the text is wrong and nothing of what it says", () => {
    const secret = "hunter2";
    expect(problemOf(`{"password": "${secret}`)).not.toContain(secret);
    expect(problemOf(`{"a": ${secret}}`)).not.toContain(secret);
  });

  test("stops at its depth, and does not fall at a hundred thousand levels", () => {
    expect(problemOf("[".repeat(maxJsonDepth) + "]".repeat(maxJsonDepth))).toBeUndefined();
    expect(problemOf("[".repeat(maxJsonDepth + 2) + "]".repeat(maxJsonDepth + 2))).toBeDefined();
    expect(problemOf("[".repeat(100_000) + "]".repeat(100_000))).toBeDefined();
    expect(problemOf('{"a":'.repeat(100_000) + "1" + "}".repeat(100_000))).toBeDefined();
  });

  test.each(['{"__proto__":{"x":1}}', '{"a":[{"__proto__":1}]}', '{"constructor":{"prototype":{"x":1}}}'])(
    "%s is inert, or refused",
    (text) => {
      expect(problemOf(text, lenient)).toBeUndefined();
      expect(problemOf(text, strict)).toBeDefined();
      expect(Object.prototype).not.toHaveProperty("x");
    },
  );

  test.each(['{"constructor":1}', '{"constructor":{"a":1}}', '{"prototype":{}}', '{"toString":1}'])("%s is data", (text) => {
    expect(problemOf(text, strict)).toBeUndefined();
  });

  const texts: Record<string, (size: number) => string> = {
    "strings without colons behind an object": (size) => `{"a":1,"b":[${'"",'.repeat(size / 3)}1]}`,
    "colons in strings": (size) => `{"a":1,"b":"${":".repeat(size)}"}`,
    escapes: (size) => `{"a":1,"b":"${String.raw`\"`.repeat(size / 2)}"}`,
    "many members": (size) => JSON.stringify(Object.fromEntries(Array.from({ length: size / 16 }, (_, index) => [`key${index}`, index]))),
    "nested arrays": (size) => `{"a":1,"b":[${"[[[]]],".repeat(size / 7)}1]}`,
  };
  test.each(Object.entries(texts))("takes time in proportion to the text: %s", (_, make) => {
    const fastest = (text: string): number =>
      Math.min(
        ...[1, 2, 3].map(() => {
          const before = performance.now();
          expect(problemOf(text)).toBeUndefined();
          return performance.now() - before;
        }),
      );
    const [small, large] = [fastest(make(2 ** 15)), fastest(make(2 ** 20))];
    // Thirty-two times the text; a reader that looks ahead from each place takes a thousand times as long.
    expect(large).toBeLessThan(Math.max(small, 0.2) * 300);
  });
});

describe("writing", () => {
  test("gives the text that JSON.stringify gives", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(encodeJson(value, lenient)).toEqual({ text: JSON.stringify(value) });
      }),
    );
  });

  const cycle: Record<string, unknown> = {};
  cycle["left"] = cycle;
  cycle["right"] = cycle;
  let deep: unknown = 1;
  for (let level = 0; level < 100_000; level++) deep = [deep];
  test.each<[string, unknown]>([
    ["undefined", undefined],
    ["a function", () => 1],
    ["a symbol", Symbol("s")],
    ["a bigint", 1n],
    ["a bigint inside", [{ a: 1n }]],
    ["a function inside", { a: () => 1 }],
    ["NaN", Number.NaN],
    ["infinity inside", { a: [Number.POSITIVE_INFINITY] }],
    ["a hole", [, 1]], // oxlint-disable-line no-sparse-arrays -- the hole is the case
    ["a cycle with two ways round", cycle],
    ["a hundred thousand levels", deep],
  ])("refuses %s", (_, value) => {
    expect(encodeJson(value, lenient)).toHaveProperty("problem");
  });

  test("leaves out a member without a value, as JSON.stringify does", () => {
    expect(encodeJson({ a: undefined, b: 1 }, lenient)).toEqual({ text: '{"b":1}' });
  });
});

describe("canonical form", () => {
  test("follows the examples of RFC 8785", () => {
    // §3.2.3: sorting by UTF-16 code units.
    const sorted = {
      "\u20ac": "Euro Sign",
      "\r": "Carriage Return",
      "\ufb33": "Hebrew Letter Dalet With Dagesh",
      "1": "One",
      "\u{1f600}": "Emoji: Grinning Face",
      "\u0080": "Control",
      "\u00f6": "Latin Small Letter O With Diaeresis",
    };
    expect(
      Object.values(
        JSON.parse(
          canonicalJson(
            Object.entries(sorted)
              .toReversed()
              .map(([key]) => key),
          ),
        ),
      ),
    ).toHaveLength(7);
    const order = [...canonicalJson(sorted).matchAll(/:"([^"]+)"/g)].map(([, value]) => value);
    expect(order).toEqual([
      "Carriage Return",
      "One",
      "Control",
      "Latin Small Letter O With Diaeresis",
      "Euro Sign",
      "Emoji: Grinning Face",
      "Hebrew Letter Dalet With Dagesh",
    ]);
    // §3.2.2.
    const text = String.raw`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`;
    expect(canonicalJson(JSON.parse(text))).toBe(
      String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
    );
  });

  test("does not depend on the order of keys, and says the same value", () => {
    const shuffled = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(shuffled);
      if (typeof value !== "object" || value === null) return value;
      return Object.fromEntries(
        Object.entries(value)
          .toReversed()
          .map(([key, item]) => [key, shuffled(item)]),
      );
    };
    fc.assert(
      fc.property(fc.jsonValue({ noNullPrototype: true } as object), (value) => {
        expect(canonicalJson(shuffled(value))).toBe(canonicalJson(value));
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
      { numRuns: 1000 },
    );
  });
});
