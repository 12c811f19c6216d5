import * as fc from "fast-check";
import { expect, test } from "vitest";
import { limitNames, parseQuantity, parseResources, receiptOf, type Limit } from "../../src/limits.ts";
import { codeOf } from "./support.ts";

test.each<[Limit, number | string, number]>([
  ["memory", "64", 64],
  ["memory", "64k", 64_000],
  ["memory", "64Ki", 65_536],
  ["memory", "64M", 64_000_000],
  ["memory", "64Mi", 67_108_864],
  ["memory", "1.5G", 1_500_000_000],
  ["memory", "1Gi", 1_073_741_824],
  ["memory", "1T", 1e12],
  ["memory", "1Ti", 2 ** 40],
  ["memory", "0.5Ki", 512],
  ["memory", "1.9", 1],
  ["memory", "0.1Ki", 102],
  ["memory", 4096.7, 4096],
  ["disk", "  1Mi ", 1_048_576],
  ["output", Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  ["cpu", "500m", 0.5],
  ["cpu", "0.5", 0.5],
  ["cpu", 2, 2],
  ["cpu", "2", 2],
  ["timeout", "500ms", 500],
  ["timeout", "30s", 30_000],
  ["timeout", "1m30s", 90_000],
  ["timeout", "1.5h", 5_400_000],
  ["timeout", "250us", 0.25],
  ["timeout", "100", 100],
  ["timeout", 100, 100],
  ["cpuTime", "2m", 120_000],
  ["processes", 4, 4],
  ["processes", "4", 4],
  ["fuel", "500M", 500_000_000],
  ["fuel", "1.5G", 1_500_000_000],
  ["fuel", 12_345, 12_345],
])("%s reads %j as %d", (limit, quantity, value) => {
  expect(parseQuantity(limit, quantity)).toBe(value);
});

const unreadable = [
  "",
  " ",
  "-1",
  "+1",
  "1e3",
  "1E3",
  "0x10",
  "١",
  "１",
  "Infinity",
  "NaN",
  "1 Mi",
  "Mi",
  ".5",
  "5.",
  "1..5",
  "1_000",
  "1,5",
  "64mi",
  "64KI",
  "64K",
  "64MB",
  "64MiB",
  "64Mi64",
  "64Pi",
  "64E",
  "0",
  "0.0",
  "0Mi",
  "1constructor",
  "1__proto__",
  "1toString",
  "1hasOwnProperty",
  "9".repeat(400),
  "9007199254740993",
  "9Ti".repeat(2),
  0,
  -0,
  -1,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  Number.MAX_SAFE_INTEGER + 1,
  0.5,
];
test.each(unreadable)("memory refuses %j", async (quantity) => {
  expect(await codeOf(() => parseQuantity("memory", quantity))).toBe("ERR_ARGUMENT_INVALID");
});

test.each(["", "s", "1d", "1w", "-1s", "1s-1s", "1.s", "1e3s", "1s 30ms", "s1", "1S", "0s", "0h0m", "1ns"])(
  "timeout refuses %j",
  async (quantity) => {
    expect(await codeOf(() => parseQuantity("timeout", quantity))).toBe("ERR_ARGUMENT_INVALID");
  },
);

test.each<[Limit, number | string]>([
  ["cpu", "1k"],
  ["cpu", "1Mi"],
  ["cpu", "500u"],
  ["processes", "1.5"],
  ["processes", 1.5],
  ["processes", "1k"],
  ["timeout", "1Mi"],
  ["memory", "1s"],
  ["memory", "500m"],
  ["fuel", "1Mi"],
  ["fuel", "1s"],
  ["fuel", "500m"],
  ["fuel", 1.5],
  ["fuel", "0.0001k"],
])("%s refuses %j, which is of another unit or no whole number", async (limit, quantity) => {
  expect(await codeOf(() => parseQuantity(limit, quantity))).toBe("ERR_ARGUMENT_INVALID");
});

test.each([null, true, {}, [], [64]])("a caller without types who gives %j gets the same error", async (quantity) => {
  const resources = JSON.parse(JSON.stringify({ memory: quantity }));
  expect(await codeOf(() => parseResources(resources))).toBe("ERR_ARGUMENT_INVALID");
});

test("whatever the text, there is a positive finite number or ERR_ARGUMENT_INVALID", () => {
  const texts = fc.oneof(
    fc.string(),
    fc.stringMatching(/^[0-9.]{1,6}[a-zA-Z]{0,3}$/),
    fc.stringMatching(/^([0-9]{1,3}(ms|us|s|m|h)){1,3}$/),
  );
  return fc.assert(
    fc.asyncProperty(fc.constantFrom(...limitNames), texts, async (limit, text) => {
      const read = async (): Promise<string> => {
        const value = parseQuantity(limit, text);
        return Number.isFinite(value) && value > 0 ? "a number" : `${value}`;
      };
      const came = await read().catch(() => codeOf(read()));
      expect(["a number", "ERR_ARGUMENT_INVALID"]).toContain(came);
    }),
    { numRuns: 2000 },
  );
});

test("a number of bytes, a binary and a decimal suffix agree", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 22 }), (count) => {
      expect(parseQuantity("memory", `${count}Ki`)).toBe(count * 1024);
      expect(parseQuantity("memory", `${count}k`)).toBe(count * 1000);
      expect(parseQuantity("timeout", `${count}s`)).toBe(count * 1000);
      expect(parseQuantity("cpu", `${count}m`)).toBe(count / 1000);
    }),
  );
});

test("a long duration is read in linear time", () => {
  const text = "1ms".repeat(100_000);
  const before = performance.now();
  expect(parseQuantity("timeout", text)).toBe(100_000);
  expect(performance.now() - before).toBeLessThan(2000);
});

test.each(["toString", "__proto__", "constructor", "memroy", "MEMORY", ""])("the limit %j is unknown", async (name) => {
  expect(await codeOf(() => parseResources(JSON.parse(`{${JSON.stringify(name)}: 1}`)))).toBe("ERR_ARGUMENT_INVALID");
});

test("a limit without a value is one that is not named", () => {
  expect(parseResources(JSON.parse("{}"))).toEqual({});
});

test("a receipt never copies what was asked for into what was applied", () => {
  const planned = { limit: "memory", value: 100, origin: "task", mechanism: "module" } as const;
  expect(receiptOf(planned, undefined)).toEqual({ limit: "memory", requested: 100, unit: "bytes", enforcedBy: "module", hit: "unknown" });
  expect(receiptOf({ ...planned, mechanism: "none" }, undefined)).toMatchObject({ enforcedBy: "none", hit: "no" });
  expect(receiptOf({ ...planned, clampedFrom: 200 }, { limit: "memory", applied: 96, peak: 50, hit: "no", source: "memory.max" })).toEqual({
    limit: "memory",
    requested: 100,
    applied: 96,
    unit: "bytes",
    enforcedBy: "module",
    source: "memory.max",
    peak: 50,
    hit: "no",
    clampedFrom: 200,
  });
});
