import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Capture, decodeText } from "../../src/internal/capture.ts";

const encoder = new TextEncoder();

function concat(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

describe("capture", () => {
  test("keeps the first bytes up to its size, and counts all", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 20 }), fc.integer({ min: 0, max: 5000 }), (parts, capacity) => {
        const capture = new Capture(capacity);
        for (const part of parts) capture.add(part);
        const whole = concat(parts);
        expect(capture.total).toBe(whole.length);
        expect(Buffer.from(capture.bytes()).equals(Buffer.from(whole.subarray(0, capacity)))).toBe(true);
      }),
    );
  });

  test("never writes into what it was given", () => {
    const first = encoder.encode("first");
    const capture = new Capture(Number.POSITIVE_INFINITY);
    capture.add(first);
    capture.add(encoder.encode("second"));
    expect(new TextDecoder().decode(first)).toBe("first");
    expect(new TextDecoder().decode(capture.bytes())).toBe("firstsecond");
  });

  test("C1: a million one-byte writes take memory in proportion to their bytes", () => {
    const capture = new Capture(2 ** 20);
    const before = process.memoryUsage().rss;
    for (let count = 0; count < 2 ** 20; count++) capture.add(Uint8Array.of(120));
    expect(capture.bytes().length).toBe(2 ** 20);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20);
  });
});

describe("decoding", () => {
  test("a cut never breaks a character: the text is a beginning of the whole", () => {
    const texts = fc.string({ unit: fc.constantFrom("a", "é", "€", "\u{1f600}", "\0", "\ufeff") });
    fc.assert(
      fc.property(texts, fc.nat(40), (whole, limit) => {
        const bytes = encoder.encode(whole);
        const { text, replaced } = decodeText(bytes, { limit });
        expect(replaced).toBe(false);
        expect(whole.startsWith(text)).toBe(true);
        const size = encoder.encode(text).length;
        expect(size).toBeLessThanOrEqual(Math.min(limit, bytes.length));
        expect(size).toBeGreaterThan(Math.min(limit, bytes.length) - 4);
        expect(decodeText(bytes.subarray(0, limit), { isCut: true })).toEqual({ text, replaced: false });
      }),
      { numRuns: 3000 },
    );
  });

  test("bytes that are no UTF-8 stand as U+FFFD and are told", () => {
    expect(decodeText(Uint8Array.of(0x61, 0xff, 0x62))).toEqual({ text: "a\ufffdb", replaced: true });
    // A surrogate, an overlong slash, a lone continuation, a character that ends too early.
    for (const bytes of [[0xed, 0xa0, 0x80], [0xc0, 0xaf], [0x80], [0xe2, 0x82]]) {
      const { text, replaced } = decodeText(Uint8Array.from(bytes));
      expect(replaced).toBe(true);
      expect(text.isWellFormed()).toBe(true);
    }
  });

  test("a byte order mark stays, and nothing is nothing", () => {
    expect(decodeText(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)).text).toBe("\ufeffa");
    expect(decodeText(new Uint8Array(0))).toEqual({ text: "", replaced: false });
    expect(decodeText(encoder.encode("€"), { limit: 0 })).toEqual({ text: "", replaced: false });
  });

  test("whatever the bytes and the cut, there is a well-formed text", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50 }), fc.nat(60), (bytes, limit) => {
        expect(decodeText(bytes, { limit }).text.isWellFormed()).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });
});
