import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import type { BlobStore } from "../../src/store.ts";
import { codeOf, textStream } from "./support.ts";

const encoder = new TextEncoder();

export function text(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}

export function digestOf(content: string | Uint8Array): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}

export interface Bounds {
  readonly maxBlobBytes?: number;
  readonly maxTotalBytes?: number;
}

/** What each store must do, whatever it keeps its bytes in. */
export function blobStoreSuite(open: (bounds?: Bounds) => BlobStore | Promise<BlobStore>): void {
  contentSuite(open);
  readingSuite(open);
  boundsSuite(open);
}

function contentSuite(open: (bounds?: Bounds) => BlobStore | Promise<BlobStore>): void {
  test("addresses bytes by their SHA-256, from bytes and from a stream", async () => {
    const store = await open();
    const digest = digestOf("hello");
    expect(await store.put(encoder.encode("hello"))).toEqual({ digest, size: 5 });
    expect(await store.put(textStream("he", "", "llo"))).toEqual({ digest, size: 5 });
    expect(text(await store.get(digest))).toBe("hello");
  });

  test("keeps nothing at all as well", async () => {
    const store = await open();
    for (const nothing of [new Uint8Array(0), textStream(), textStream("", "")])
      expect(await store.put(nothing)).toEqual({ digest: digestOf(""), size: 0 });
    expect(text(await store.get(digestOf("")))).toBe("");
    const blob = await store.open(digestOf(""));
    expect([blob?.size, await new Response(blob?.stream()).text()]).toEqual([0, ""]);
    blob?.close();
  });

  test("gives nothing for what it does not have, whatever the name", async () => {
    const store = await open();
    for (const name of ["", "sha256:", "__proto__", "constructor", "../../etc/passwd", `sha256:${"0".repeat(64)}`]) {
      expect([await store.get(name), await store.open(name)]).toEqual([undefined, undefined]);
    }
  });

  test("keeps its bytes where the caller changes his own afterwards, also while they are hashed", async () => {
    const store = await open();
    const bytes = encoder.encode("before");
    const putting = store.put(bytes);
    bytes.fill(0);
    const { digest } = await putting;
    expect(digest).toBe(digestOf("before"));
    expect(text(await store.get(digest))).toBe("before");
  });

  test("takes a view of a larger buffer for what it is", async () => {
    const store = await open();
    const { digest, size } = await store.put(encoder.encode("xxhelloxx").subarray(2, 7));
    expect([size, text(await store.get(digest))]).toEqual([5, "hello"]);
  });

  test("keeps what is what was expected, and nothing else", async () => {
    const store = await open();
    const expected = { digest: digestOf("hello"), size: 5 };
    for (const wrong of ["hallo", "hello!", "hell", ""]) {
      expect(["ERR_DIGEST_MISMATCH", "ERR_INPUT_TOO_LARGE"]).toContain(await codeOf(store.put(textStream(wrong), expected)));
      expect(await codeOf(store.put(encoder.encode("hallo"), expected))).toBe("ERR_DIGEST_MISMATCH");
      expect([await store.get(digestOf(wrong)), await store.get(expected.digest)]).toEqual([undefined, undefined]);
    }
    expect(await store.put(textStream("hel", "lo"), expected)).toEqual(expected);
  });

  test("the same content put many times at once is there once, and whole", async () => {
    const store = await open({ maxTotalBytes: 6_000_000, maxBlobBytes: 400_000 });
    const bytes = new Uint8Array(300_000).fill(7);
    const puts = Array.from({ length: 10 }, (_, at) => store.put(at % 2 === 0 ? bytes : new Blob([bytes]).stream()));
    expect(new Set((await Promise.all(puts)).map(({ digest }) => digest))).toEqual(new Set([digestOf(bytes)]));
    expect(digestOf((await store.get(digestOf(bytes))) ?? "")).toBe(digestOf(bytes));
  });
}

function readingSuite(open: (bounds?: Bounds) => BlobStore | Promise<BlobStore>): void {
  const content = Uint8Array.from({ length: 700_001 }, (_, at) => (at * 7 + (at >> 8)) & 255);

  test("streams a blob, whole and in part, as often as one likes", async () => {
    const store = await open();
    const { digest } = await store.put(content);
    const blob = await store.open(digest);
    expect(blob?.size).toBe(content.length);
    const read = async (range?: { start: number; end: number }) => new Uint8Array(await new Response(blob?.stream(range)).arrayBuffer());
    expect(digestOf(await read())).toBe(digest);
    const ranges = [
      { start: 0, end: 1 },
      { start: 262_143, end: 262_145 },
      { start: 700_000, end: 700_001 },
      { start: 5, end: 5 },
      { start: 1, end: 700_000 },
    ];
    for (const range of ranges) expect(digestOf(await read(range))).toBe(digestOf(content.subarray(range.start, range.end)));
    expect(digestOf(await read())).toBe(digest);
    blob?.close();
  });

  test("reads no further than it is read", async () => {
    const store = await open();
    const { digest } = await store.put(content);
    const blob = await store.open(digest);
    const reader = blob?.stream().getReader();
    const first = await reader?.read();
    expect(first?.value?.length).toBeLessThan(content.length);
    await reader?.cancel();
    blob?.close();
    expect(digestOf((await store.get(digest)) ?? "")).toBe(digest);
  });
}

function boundsSuite(open: (bounds?: Bounds) => BlobStore | Promise<BlobStore>): void {
  test("refuses a blob over its size, from bytes and from a stream without an end", async () => {
    const store = await open({ maxBlobBytes: 10 });
    expect((await store.put(new Uint8Array(10))).size).toBe(10);
    expect(await codeOf(store.put(new Uint8Array(11)))).toBe("ERR_INPUT_TOO_LARGE");
    let pulled = 0;
    let cancelled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        pulled++;
        controller.enqueue(new Uint8Array(4));
      },
      cancel: () => {
        cancelled = true;
      },
    });
    expect(await codeOf(store.put(endless))).toBe("ERR_INPUT_TOO_LARGE");
    expect(cancelled).toBe(true);
    expect(pulled).toBeLessThan(10);
  });

  test("does not wait for a stream that never finishes its own cancelling", async () => {
    const stuck = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(8)),
      cancel: () => new Promise(() => undefined),
    });
    expect(await codeOf((await open({ maxBlobBytes: 4 })).put(stuck))).toBe("ERR_INPUT_TOO_LARGE");
  });

  test("drops what was used longest ago, and counts the same bytes once", async () => {
    const store = await open({ maxTotalBytes: 30 });
    const put = async (letter: string) => (await store.put(encoder.encode(letter.repeat(10)))).digest;
    const [a, b, c] = [await put("a"), await put("b"), await put("c")];
    expect(await store.get(a)).toBeDefined();
    const d = await put("d");
    expect(await store.get(b)).toBeUndefined();
    for (const digest of [a, c, d]) expect(await store.get(digest)).toBeDefined();
  });

  test("what is held or being read can be read to its end, whatever comes meanwhile", async () => {
    const store = await open({ maxTotalBytes: 1_500_000 });
    const content = new Uint8Array(600_000).fill(1);
    const { digest } = await store.put(content);
    const blob = await store.open(digest);
    const reader = blob?.stream().getReader();
    let size = (await reader?.read())?.value?.length ?? 0;
    for (const letter of "abcdefgh") await store.put(new Uint8Array(500_000).fill(letter.charCodeAt(0)));
    expect(digestOf(new Uint8Array(await new Response(blob?.stream()).arrayBuffer()))).toBe(digest);
    blob?.close();
    for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) size += next.value.length;
    expect(size).toBe(content.length);
  });

  test("a stream that fails fails the put", async () => {
    const broken = new ReadableStream<Uint8Array>({ start: (controller) => controller.error(new Error("broken")) });
    await expect((await open()).put(broken)).rejects.toThrow("broken");
  });
}
