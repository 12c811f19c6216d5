import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { folderBlobStore } from "../../src/adapters/executor/blobs/index.ts";
import { blobStoreSuite, digestOf, text, type Bounds } from "../unit/blob-suite.ts";
import { codeOf } from "../unit/support.ts";

const encoder = new TextEncoder();

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "toolruntime-blobs-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "blobs");
}

function pathOf(folder: string, digest: string): string {
  const hex = digest.slice("sha256:".length);
  return join(folder, hex.slice(0, 2), hex.slice(2));
}

/** All files below the folder, in bytes. */
function bytesIn(folder: string): number {
  let sum = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) sum += statSync(join(entry.parentPath, entry.name)).size;
  return sum;
}

const incomingOf = (folder: string): string[] => readdirSync(join(folder, "incoming"));

describe("in a folder", () => {
  blobStoreSuite((bounds: Bounds = {}) => folderBlobStore({ folder: newFolder(), ...bounds }));
});

test("leaves nothing of what it did not keep", async () => {
  const folder = newFolder();
  const store = await folderBlobStore({ folder, maxBlobBytes: 100 });
  await codeOf(store.put(new Blob([new Uint8Array(101)]).stream()));
  await codeOf(store.put(new Blob(["abc"]).stream(), { digest: digestOf("x"), size: 1 }));
  const broken = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(new Uint8Array(10));
      controller.error(new Error("broken"));
    },
  });
  await store.put(broken).catch(() => undefined);
  expect([incomingOf(folder), bytesIn(folder)]).toEqual([[], 0]);
});

test("never has more on disk than it may, and drops files with what they held", async () => {
  const folder = newFolder();
  const store = await folderBlobStore({ folder, maxTotalBytes: 100_000 });
  for (let at = 0; at < 30; at++) {
    await store.put(encoder.encode(`${at} `.repeat(5000)));
    expect(bytesIn(folder)).toBeLessThanOrEqual(100_000);
  }
  expect(bytesIn(folder)).toBeGreaterThan(50_000);
});

test("does not drop what is held: what has no room beside it is refused, and has room when it is let go", async () => {
  const folder = newFolder();
  const store = await folderBlobStore({ folder, maxTotalBytes: 100 });
  const { digest } = await store.put(new Uint8Array(60));
  const blob = await store.open(digest);
  expect(await codeOf(store.put(new Uint8Array(50).fill(1)))).toBe("ERR_STORE_FULL");
  expect(text(await store.get(digest))).toHaveLength(60);
  blob?.close();
  blob?.close();
  expect((await store.put(new Uint8Array(50).fill(1))).size).toBe(50);
  expect(await store.get(digest)).toBeUndefined();
});

test("a blob that comes again and again while others push it out is whole whenever it is there", async () => {
  const folder = newFolder();
  const store = await folderBlobStore({ folder, maxTotalBytes: 1000 });
  const blobs = [1, 2].map((byte) => new Uint8Array(600).fill(byte));
  const digests = blobs.map(digestOf);
  for (let at = 0; at < 50; at++) {
    // While one is written there may be no room for the other.
    await Promise.allSettled([...blobs, ...blobs].map((bytes) => store.put(bytes)));
    const found = await Promise.all(digests.map((digest) => store.get(digest)));
    expect(found.map((bytes, index) => bytes === undefined || digestOf(bytes) === digests[index])).toEqual([true, true]);
    expect(bytesIn(folder)).toBeLessThanOrEqual(1000);
  }
  for (const bytes of blobs) {
    const { digest } = await store.put(bytes);
    expect((await store.get(digest))?.length).toBe(600);
  }
});

test("outlasts the process, in the order of use", async () => {
  const folder = newFolder();
  const first = await folderBlobStore({ folder });
  const digests: string[] = [];
  for (const [at, letter] of ["a", "b", "c"].entries()) {
    const { digest } = await first.put(encoder.encode(letter.repeat(10)));
    utimesSync(pathOf(folder, digest), at, at);
    digests.push(digest);
  }
  await first.get(digests[0] ?? "");
  const second = await folderBlobStore({ folder, maxTotalBytes: 20 });
  const found = await Promise.all(digests.map(async (digest) => text(await second.get(digest))));
  expect(found).toEqual(["a".repeat(10), undefined, "c".repeat(10)]);
  expect(bytesIn(folder)).toBe(20);
});

test("what was changed on disk while nobody looked is not given out", async () => {
  const folder = newFolder();
  const { digest } = await (await folderBlobStore({ folder })).put(encoder.encode("the right bytes"));
  rmSync(pathOf(folder, digest));
  writeFileSync(pathOf(folder, digest), "the wrong bytes");
  const store = await folderBlobStore({ folder });
  expect(await Promise.all([store.get(digest), store.get(digest), store.open(digest)])).toEqual([undefined, undefined, undefined]);
  expect(bytesIn(folder)).toBe(0);
  await store.put(encoder.encode("the right bytes"));
  expect(text(await store.get(digest))).toBe("the right bytes");
});

test("what somebody took away is not there any more", async () => {
  const folder = newFolder();
  const store = await folderBlobStore({ folder });
  const { digest } = await store.put(encoder.encode("gone"));
  rmSync(pathOf(folder, digest));
  expect(await store.open(digest)).toBeUndefined();
  await store.put(encoder.encode("gone"));
  expect(text(await store.get(digest))).toBe("gone");
});

/** Puts without an end, until it is killed. */
const writer = `
const { folderBlobStore } = await import(${JSON.stringify(new URL("../../src/adapters/executor/blobs/index.ts", import.meta.url).href)});
const store = await folderBlobStore({ folder: process.argv[1] });
await store.put(new TextEncoder().encode("whole"));
void store.put(new ReadableStream({ pull: async (c) => { c.enqueue(new Uint8Array(65536)); await new Promise((r) => setTimeout(r, 1)); } }));
await new Promise((r) => setTimeout(r, 300));
process.stdout.write("writing");
`;

test("clears at start what a killed process had not finished, and leaves what a living one writes", async () => {
  const folder = newFolder();
  const child = spawn(process.execPath, ["--input-type=module", "-e", writer, folder], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  await once(child.stdout, "data");
  await folderBlobStore({ folder });
  expect(incomingOf(folder)).toHaveLength(1);
  child.kill("SIGKILL");
  await exited;
  const store = await folderBlobStore({ folder });
  expect(incomingOf(folder)).toEqual([]);
  expect(text(await store.get(digestOf("whole")))).toBe("whole");
});

test("a folder that others may write to is refused", async () => {
  const folder = newFolder();
  mkdirSync(folder);
  chmodSync(folder, 0o777);
  expect(await codeOf(folderBlobStore({ folder }))).toBe("ERR_CONFIG_INVALID");
});
