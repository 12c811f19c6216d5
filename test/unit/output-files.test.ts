import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { OutputFile, RunIo, RunReport } from "../../src/backend.ts";
import { createRuntime, memoryBlobStore, type BlobStore, type RuntimeOptions } from "../../src/index.ts";
import { sha256 } from "../../src/internal/digest.ts";
import { errorOf, exitedWell, scriptedBackend, textStream, toolWith } from "./support.ts";

const encoder = new TextEncoder();

/** Runs a backend that hands over these files, one after the other. */
async function handOver(files: readonly OutputFile[], options: Partial<RuntimeOptions> = {}) {
  const run = async (_: unknown, io: RunIo): Promise<RunReport> => {
    io.started();
    for (const file of files) await io.file(file);
    return exitedWell;
  };
  const runtime = createRuntime({ security: "dev", ...options, backend: scriptedBackend({ run }) });
  return runtime.execute({ tool: await toolWith() });
}

describe("the files that a backend hands over", () => {
  test("come back by digest, in their order, from bytes and from streams", async () => {
    const files = [
      { path: "b/c.txt", content: encoder.encode("hello") },
      { path: "a", content: textStream("hel", "lo", "!") },
      { path: "empty", content: textStream() },
    ];
    const blobs = memoryBlobStore();
    const result = await handOver(files, { blobs });
    expect(result.files).toEqual([
      { path: "b/c.txt", size: 5, digest: await sha256("hello") },
      { path: "a", size: 6, digest: await sha256("hello!") },
      { path: "empty", size: 0, digest: await sha256("") },
    ]);
    expect(new TextDecoder().decode(await blobs.get(await sha256("hello!")))).toBe("hello!");
  });

  test("are at most so many", async () => {
    const files = Array.from({ length: 3 }, (_, at) => ({ path: String(at), content: new Uint8Array(1) }));
    expect((await handOver(files, { maxOutputFiles: 3 })).files).toHaveLength(3);
    const error = await errorOf(handOver(files, { maxOutputFiles: 2 }));
    expect([error.code, error.details["maxOutputFiles"], error.partial === undefined]).toEqual(["ERR_LIMIT_DISK", 2, false]);
  });

  test("are what was announced, or end the run", async () => {
    const expected = { digest: await sha256("hello"), size: 5 };
    expect((await handOver([{ path: "a", content: textStream("hello"), expected }])).files).toMatchObject([expected]);
    expect((await errorOf(handOver([{ path: "a", content: textStream("hallo"), expected }]))).code).toBe("ERR_DIGEST_MISMATCH");
  });

  test("are over the limit of disk where the store takes none so large", async () => {
    const error = await errorOf(handOver([{ path: "a", content: textStream("hello") }], { blobs: memoryBlobStore({ maxBlobBytes: 4 }) }));
    expect([error.code, error.started]).toEqual(["ERR_LIMIT_DISK", true]);
  });

  test("cost the tool none of its own time", async () => {
    const memory = memoryBlobStore();
    const slow: BlobStore = { ...memory, put: (...args) => sleep(300).then(() => memory.put(...args)) };
    const run = async (_: unknown, io: RunIo): Promise<RunReport> => {
      io.started();
      await io.file({ path: "a", content: new Uint8Array(1) });
      return exitedWell;
    };
    const runtime = createRuntime({ security: "dev", blobs: slow, backend: scriptedBackend({ run }) });
    const result = await runtime.execute({ tool: await toolWith(), resources: { timeout: 100 } });
    expect([result.files.length, result.duration < 250]).toEqual([1, true]);
  });

  test.each(["read", "written"])("do not hold up a run that is ended while one is %s", async (stage) => {
    const never = new Promise<never>(() => undefined);
    let isCancelled = false;
    const cut = new AbortController();
    const content = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          if (stage === "written") controller.enqueue(new Uint8Array(1));
          setTimeout(() => cut.abort(), 10);
          return stage === "read" ? never : undefined;
        },
        cancel() {
          isCancelled = true;
        },
      },
      { highWaterMark: 0 },
    );
    const memory = memoryBlobStore();
    const stuck: BlobStore = {
      ...memory,
      async put(given) {
        if (given instanceof ReadableStream) await given.getReader().read();
        return never;
      },
    };
    let ended: unknown;
    const run = async (_: unknown, io: RunIo): Promise<RunReport> => {
      io.started();
      await io.file({ path: "a", content }).catch((error: unknown) => {
        ended = error;
      });
      return exitedWell;
    };
    const blobs = stage === "read" ? memory : stuck;
    const runtime = createRuntime({ security: "dev", blobs, backend: scriptedBackend({ run }) });
    const error = await errorOf(runtime.execute({ tool: await toolWith() }, { signal: cut.signal }));
    expect([error.code, error.started, isCancelled, (ended as Error).message]).toEqual(["ERR_ABORTED", true, true, error.message]);
  });
});

describe("input files of the store", () => {
  test("are held until the run has ended, and let go however it ends", async () => {
    const held: string[] = [];
    const memory = memoryBlobStore();
    const { digest } = await memory.put(encoder.encode("hello"));
    const blobs: BlobStore = {
      ...memory,
      async open(name) {
        const blob = await memory.open(name);
        held.push("open");
        return blob && { ...blob, close: () => void held.push("close") };
      },
    };
    const good = async (_: unknown, io: RunIo): Promise<RunReport> => {
      for (const file of io.files) held.push(await new Response(file.stream()).text());
      return exitedWell;
    };
    const bad = (): Promise<RunReport> => Promise.reject(new Error("broken"));
    for (const run of [good, bad]) {
      const runtime = createRuntime({ security: "dev", blobs, backend: scriptedBackend({ run }) });
      await runtime.execute({ tool: await toolWith(), files: { a: { digest } } }).catch(() => undefined);
    }
    expect(held).toEqual(["open", "hello", "close", "open", "close"]);
    const runtime = createRuntime({ security: "dev", blobs, maxInputBytes: 6, backend: scriptedBackend() });
    expect((await errorOf(runtime.execute({ tool: await toolWith(), files: { a: { digest } } }))).code).toBe("ERR_INPUT_TOO_LARGE");
    expect(held.slice(5)).toEqual(["open", "close"]);
  });
});
