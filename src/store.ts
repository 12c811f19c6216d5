import { ToolRuntimeError } from "./errors.ts";
import { sha256, type Digest } from "./internal/digest.ts";

/** Bytes by content. What is put in comes out the same, or not at all. */
export interface BlobStore {
  /** Reads the content to its end and keeps it. @throws `ERR_INPUT_TOO_LARGE` beyond the store's limits. */
  put(content: Uint8Array | ReadableStream<Uint8Array>): Promise<{ digest: Digest; size: number }>;
  /** The bytes, or nothing where the store has (or still has) none of that digest. Not to be changed. */
  get(digest: string): Promise<Uint8Array | undefined>;
}

export interface MemoryBlobStoreOptions {
  /** The most for one blob, in bytes. Default 64 MiB. */
  readonly maxBlobBytes?: number;
  /** The most for all; beyond it what was used longest ago is dropped. Default 256 MiB. */
  readonly maxTotalBytes?: number;
}

/** Collects a stream up to a size. @throws `ERR_INPUT_TOO_LARGE`. */
export async function collectBytes(content: Uint8Array | ReadableStream<Uint8Array>, maxBytes: number): Promise<Uint8Array> {
  if (content instanceof Uint8Array) {
    assertSize(content.length, maxBytes);
    return content;
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = content.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      size += next.value.length;
      assertSize(size, maxBytes);
      chunks.push(next.value);
    }
  } catch (error) {
    await reader.cancel(error).catch(() => undefined);
    throw error;
  }
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}

function assertSize(size: number, maxBytes: number): void {
  if (size <= maxBytes) return;
  throw new ToolRuntimeError("ERR_INPUT_TOO_LARGE", `Cannot take the content: it is over ${maxBytes} bytes`, { details: { maxBytes } });
}

/** A `BlobStore` in this process's memory, bounded, least recently used out first. */
export function memoryBlobStore(options: MemoryBlobStoreOptions = {}): BlobStore {
  const maxBlobBytes = options.maxBlobBytes ?? 64 * 2 ** 20;
  const maxTotalBytes = options.maxTotalBytes ?? 256 * 2 ** 20;
  const blobs = new Map<string, Uint8Array>();
  let total = 0;
  return {
    async put(content) {
      const collected = await collectBytes(content, Math.min(maxBlobBytes, maxTotalBytes));
      const bytes = collected === content ? collected.slice() : collected;
      const digest = await sha256(bytes);
      if (!blobs.delete(digest)) total += bytes.length;
      blobs.set(digest, bytes);
      for (const [oldest, old] of blobs) {
        if (total <= maxTotalBytes) break;
        blobs.delete(oldest);
        total -= old.length;
      }
      return { digest, size: bytes.length };
    },
    async get(digest) {
      const bytes = blobs.get(digest);
      if (bytes === undefined) return undefined;
      blobs.delete(digest);
      blobs.set(digest, bytes);
      return bytes;
    },
  };
}
