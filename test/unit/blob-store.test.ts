import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { memoryBlobStore } from "../../src/store.ts";
import { codeOf, textStream } from "./support.ts";

const encoder = new TextEncoder();
const text = (bytes: Uint8Array | undefined): string | undefined => (bytes === undefined ? undefined : new TextDecoder().decode(bytes));

test("addresses bytes by their SHA-256, from bytes and from a stream", async () => {
  const store = memoryBlobStore();
  const digest = `sha256:${createHash("sha256").update("hello").digest("hex")}`;
  expect(await store.put(encoder.encode("hello"))).toEqual({ digest, size: 5 });
  expect(await store.put(textStream("he", "", "llo"))).toEqual({ digest, size: 5 });
  expect(text(await store.get(digest))).toBe("hello");
});

test("gives nothing for what it does not have, whatever the name", async () => {
  const store = memoryBlobStore();
  for (const name of ["", "sha256:", "__proto__", "constructor", `sha256:${"0".repeat(64)}`]) expect(await store.get(name)).toBeUndefined();
});

test("keeps its bytes where the caller changes his own afterwards, also while they are hashed", async () => {
  const store = memoryBlobStore();
  const bytes = encoder.encode("before");
  const putting = store.put(bytes);
  bytes.fill(0);
  const { digest } = await putting;
  expect(digest).toBe(`sha256:${createHash("sha256").update("before").digest("hex")}`);
  expect(text(await store.get(digest))).toBe("before");
});

test("takes a view of a larger buffer for what it is", async () => {
  const store = memoryBlobStore();
  const { digest, size } = await store.put(encoder.encode("xxhelloxx").subarray(2, 7));
  expect([size, text(await store.get(digest))]).toEqual([5, "hello"]);
});

test("refuses a blob over its size, from bytes and from a stream without an end", async () => {
  const store = memoryBlobStore({ maxBlobBytes: 10 });
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
  expect(await codeOf(memoryBlobStore({ maxBlobBytes: 4 }).put(stuck))).toBe("ERR_INPUT_TOO_LARGE");
});

test("drops what was used longest ago, and counts the same bytes once", async () => {
  const store = memoryBlobStore({ maxTotalBytes: 30 });
  const put = async (letter: string) => (await store.put(encoder.encode(letter.repeat(10)))).digest;
  const [a, b, c] = [await put("a"), await put("b"), await put("c")];
  await put("c");
  expect(await store.get(a)).toBeDefined();
  const d = await put("d");
  expect(await store.get(b)).toBeUndefined();
  for (const digest of [a, c, d]) expect(await store.get(digest)).toBeDefined();
});

test("a stream that fails fails the put", async () => {
  const broken = new ReadableStream<Uint8Array>({ start: (controller) => controller.error(new Error("broken")) });
  await expect(memoryBlobStore().put(broken)).rejects.toThrow("broken");
});
