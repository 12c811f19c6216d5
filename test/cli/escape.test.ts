import { expect, test } from "vitest";
import { escapeJson, escapeLine, escapeText } from "../../src/cli/escape.ts";

test.each([
  ["\u001b[31m", "\\x1b[31m"],
  ["\u009b", "\\x9b"],
  ["a\r\nb\tc", "a\\x0d\nb\tc"],
  ["\u0000\u0007\u007f", "\\x00\\x07\\x7f"],
  ["\u202eevil", "\\u202eevil"],
  ["\u2028", "\\u2028"],
  ["\ud800", "\\ud800"],
  ["plain ünïcode 🎈", "plain ünïcode 🎈"],
])("the text %j", (text, shown) => {
  expect(escapeText(text)).toBe(shown);
});

test("a line stays one line", () => {
  expect(escapeLine("a\nb\tc\u001b")).toBe("a\\nb\\tc\\x1b");
});

test("escaped JSON is JSON of the same value", () => {
  const value = { text: "\u001b\u009b\u202e\u2028\u007f🎈\ud800" };
  const json = escapeJson(JSON.stringify(value));
  expect(JSON.parse(json)).toEqual(value);
  for (const character of "\u001b\u009b\u202e\u2028\u007f") expect(json).not.toContain(character);
});
