import { ToolRuntimeError } from "../../errors.ts";
import { hexOf, isDigest, sha256, toHex, type Digest } from "../../internal/digest.ts";
import {
  assertBlob,
  assertSize,
  collectBytes,
  streamOf,
  type BlobInfo,
  type BlobStore,
  type ByteRange,
  type OpenBlob,
} from "../../store.ts";
import type { Log } from "../options.ts";
import type { R2Bucket, R2Head } from "./bindings.ts";

export interface R2BlobOptions {
  readonly bucket: R2Bucket;
  /** The most for a blob that has to be in memory whole. */
  readonly maxBlobBytes: number;
  /** The most for one whose digest is known before its bytes are, such as a node's output file. Default 1 GiB. */
  readonly maxStreamedBytes?: number;
  readonly log: Log;
}

/** Where a blob lies in the bucket. Whoever uploads an artifact puts it there too. */
export function blobKey(digest: Digest): string {
  return `blobs/${digest}`;
}

/**
 * A `BlobStore` in a bucket. Nothing is ever dropped: a lifecycle rule on the prefix `blobs/` bounds it, where the
 * bucket's owner wants it bounded.
 */
export function r2BlobStore(options: R2BlobOptions): BlobStore {
  return new R2Blobs(options);
}

class R2Blobs implements BlobStore {
  readonly #bucket: R2Bucket;
  readonly #maxBlobBytes: number;
  readonly #maxStreamedBytes: number;
  readonly #log: Log;

  constructor({ bucket, maxBlobBytes, maxStreamedBytes = 2 ** 30, log }: R2BlobOptions) {
    this.#bucket = bucket;
    this.#maxBlobBytes = maxBlobBytes;
    this.#maxStreamedBytes = maxStreamedBytes;
    this.#log = log;
  }

  async put(content: Uint8Array | ReadableStream<Uint8Array>, expected?: Parameters<BlobStore["put"]>[1]): Promise<BlobInfo> {
    if (expected !== undefined && isDigest(expected.digest) && content instanceof ReadableStream)
      return this.#putStream(content, { digest: expected.digest, size: expected.size });
    // Copied before anything is awaited: the caller may change his bytes as soon as he has the promise.
    const bytes = await collectBytes(content instanceof Uint8Array ? content.slice() : content, this.#maxBlobBytes);
    const blob = { digest: await sha256(bytes), size: bytes.length };
    assertBlob(blob, expected);
    // The same bytes are there already. A put would only cost more.
    if ((await this.#bucket.head(blobKey(blob.digest)))?.size === blob.size) return blob;
    await this.#bucket.put(blobKey(blob.digest), bytes, { sha256: hexOf(blob.digest) });
    return blob;
  }

  /** The bucket counts the bytes and checks them. */
  async #putStream(content: ReadableStream<Uint8Array>, blob: BlobInfo): Promise<BlobInfo> {
    let failure: unknown;
    try {
      assertSize(blob.size, this.#maxStreamedBytes);
      const fixed = new FixedLengthStream(blob.size);
      const piping = content.pipeTo(fixed.writable).catch((error: unknown) => {
        failure = error;
      });
      await this.#bucket.put(blobKey(blob.digest), fixed.readable, { sha256: hexOf(blob.digest) });
      await piping;
      return blob;
    } catch (cause) {
      void content.cancel(cause).catch(() => undefined);
      if (cause instanceof ToolRuntimeError) throw cause;
      // What the sender says of its end tells more than the bucket's word.
      if (failure instanceof ToolRuntimeError) throw failure;
      const message = `Cannot keep the bytes as "${blob.digest}": the bucket refused them, or they are others`;
      throw new ToolRuntimeError("ERR_DIGEST_MISMATCH", message, { details: { expected: blob.digest }, cause });
    }
  }

  async get(digest: string): Promise<Uint8Array | undefined> {
    if (!isDigest(digest)) return undefined;
    const object = await this.#bucket.get(blobKey(digest));
    if (object === null) return undefined;
    if (object.size > this.#maxBlobBytes) throw tooLarge(digest, object.size, this.#maxBlobBytes);
    const bytes = new Uint8Array(await object.arrayBuffer());
    // Whoever may write to the bucket must not be able to put other bytes in the place of these.
    if ((await sha256(bytes)) === digest) return bytes;
    this.#log.error({ digest }, "a blob in the bucket does not match its digest");
    return undefined;
  }

  async open(digest: string): Promise<OpenBlob | undefined> {
    if (!isDigest(digest)) return undefined;
    const head = await this.#bucket.head(blobKey(digest));
    if (head === null) return undefined;
    if (isChecked(head, digest))
      return { size: head.size, stream: (range) => this.#stream(digest, range ?? { start: 0, end: head.size }), close() {} };
    const bytes = await this.get(digest);
    return bytes === undefined ? undefined : { size: bytes.length, stream: (range) => streamOf(bytes, range), close() {} };
  }

  #stream(digest: Digest, { start, end }: ByteRange): ReadableStream<Uint8Array> {
    const length = end - start;
    // The platform says how long an answer is where its body is such a stream.
    const { readable, writable } = new FixedLengthStream(length);
    const read = async (): Promise<void> => {
      if (length === 0) return writable.close();
      const object = await this.#bucket.get(blobKey(digest), { range: { offset: start, length } });
      if (object === null) throw new Error("the blob is gone");
      await object.body.pipeTo(writable);
    };
    // Whoever reads is told.
    read().catch((error: unknown) => writable.abort(error).catch(() => undefined));
    return readable;
  }
}

/** Whether the bucket itself has found, when it took the bytes, that they are those of the digest. */
function isChecked({ checksums }: R2Head, digest: Digest): boolean {
  const { sha256: sum } = checksums;
  return sum !== undefined && toHex(new Uint8Array(sum)) === hexOf(digest);
}

function tooLarge(digest: string, size: number, maxBytes: number): ToolRuntimeError {
  return new ToolRuntimeError("ERR_INPUT_TOO_LARGE", `Cannot read the blob "${digest}": it is ${size} bytes, the most is ${maxBytes}`, {
    details: { digest, size, maxBytes },
  });
}
