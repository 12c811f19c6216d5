import { ToolRuntimeError } from "../../errors.ts";
import { isDigest, sha256, type Digest } from "../../internal/digest.ts";
import { collectBytes, type BlobStore } from "../../store.ts";
import type { Log } from "../options.ts";
import type { R2Bucket } from "./bindings.ts";

export interface R2BlobOptions {
  readonly bucket: R2Bucket;
  readonly maxBlobBytes: number;
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
export function r2BlobStore({ bucket, maxBlobBytes, log }: R2BlobOptions): BlobStore {
  return {
    async put(content) {
      // Copied before anything is awaited: the caller may change his bytes as soon as he has the promise.
      const bytes = await collectBytes(content instanceof Uint8Array ? content.slice() : content, maxBlobBytes);
      const digest = await sha256(bytes);
      // The same bytes are there already. A put would only cost more.
      if ((await bucket.head(blobKey(digest)))?.size === bytes.length) return { digest, size: bytes.length };
      await bucket.put(blobKey(digest), bytes, { sha256: digest.slice("sha256:".length) });
      return { digest, size: bytes.length };
    },
    async get(digest) {
      if (!isDigest(digest)) return undefined;
      const object = await bucket.get(blobKey(digest));
      if (object === null) return undefined;
      const bytes = new Uint8Array(await readWhole(object, digest, maxBlobBytes));
      // Whoever may write to the bucket must not be able to put other bytes in the place of these.
      if ((await sha256(bytes)) === digest) return bytes;
      log.error({ digest }, "a blob in the bucket does not match its digest");
      return undefined;
    },
  };
}

async function readWhole(
  object: { readonly size: number; arrayBuffer(): Promise<ArrayBuffer> },
  digest: string,
  maxBytes: number,
): Promise<ArrayBuffer> {
  if (object.size <= maxBytes) return object.arrayBuffer();
  throw new ToolRuntimeError(
    "ERR_INPUT_TOO_LARGE",
    `Cannot read the blob "${digest}": it is ${object.size} bytes, the most is ${maxBytes}`,
    {
      details: { digest, size: object.size, maxBytes },
    },
  );
}
