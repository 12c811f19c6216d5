import { describe, expect, test } from "vitest";
import { memoryBlobStore } from "../../src/store.ts";
import { blobStoreSuite } from "./blob-suite.ts";

describe("in memory", () => {
  blobStoreSuite((bounds) => memoryBlobStore(bounds));

  test("the same bytes put again are used, and take no more room", async () => {
    const store = memoryBlobStore({ maxTotalBytes: 30 });
    const put = async (letter: string) => (await store.put(new TextEncoder().encode(letter.repeat(10)))).digest;
    const [a, b, c] = [await put("a"), await put("b"), await put("c")];
    await put("a");
    await put("d");
    expect([await store.get(a), await store.get(b), await store.get(c)].map((bytes) => bytes === undefined)).toEqual([false, true, false]);
  });
});
