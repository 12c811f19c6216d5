import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import type { Digest } from "../../../internal/digest.ts";
import type { BlobInfo } from "../../../store.ts";

/** What is written with one call. */
const batchBytes = 2 ** 20;
/** IOV_MAX is 1024 on Linux. */
const batchChunks = 512;

export interface SpoolOptions {
  readonly handle: FileHandle;
  /** Called before bytes are written, with their number; may throw. */
  admit(bytes: number): void | Promise<void>;
}

/** Writes content to a file and hashes it on the way. While a batch is written the next one is read, so at most two are in memory. */
export async function spool(content: Uint8Array | ReadableStream<Uint8Array>, { handle, admit }: SpoolOptions): Promise<BlobInfo> {
  const hash = createHash("sha256");
  let size = 0;
  let batch: Uint8Array[] = [];
  let waiting = 0;
  let writing: Promise<void> = Promise.resolve();
  const flush = async (): Promise<void> => {
    await writing;
    writing = writeAll(handle, batch, waiting);
    // It is awaited with the next one.
    writing.catch(() => undefined);
    [batch, waiting] = [[], 0];
  };
  const take = async (chunk: Uint8Array): Promise<void> => {
    const admitted = admit(chunk.length);
    if (admitted !== undefined) await admitted;
    hash.update(chunk);
    size += chunk.length;
    waiting += chunk.length;
    batch.push(chunk);
    if (waiting >= batchBytes || batch.length >= batchChunks) await flush();
  };
  if (content instanceof Uint8Array) await take(content);
  else await forEachChunk(content, take);
  if (waiting > 0) await flush();
  await writing;
  const digest: Digest = `sha256:${hash.digest("hex")}`;
  return { digest, size };
}

async function forEachChunk(content: ReadableStream<Uint8Array>, take: (chunk: Uint8Array) => Promise<void>): Promise<void> {
  const reader = content.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) await take(next.value);
  } catch (error) {
    // Not awaited: a stream may never finish its own cancelling.
    void reader.cancel(error).catch(() => undefined);
    throw error;
  }
}

async function writeAll(handle: FileHandle, chunks: readonly Uint8Array[], size: number): Promise<void> {
  const { bytesWritten } = await handle.writev(chunks);
  // The next write says why.
  if (bytesWritten < size) await handle.writeFile(Buffer.concat(chunks).subarray(bytesWritten));
}
