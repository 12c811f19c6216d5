import type { BlobStore } from "../../../store.ts";
import { FolderBlobs } from "./folder-blobs.ts";

export interface FolderBlobStoreOptions {
  /** This user's own; made where it is missing. */
  readonly folder: string;
  /** The most for all blobs, in bytes; beyond it what was used longest ago is dropped. Default 4 GiB. */
  readonly maxTotalBytes?: number;
  /** The most for one blob, in bytes. Default 1 GiB. */
  readonly maxBlobBytes?: number;
}

/**
 * A `BlobStore` in a folder: a file for each blob, named by its digest. It outlasts the process; what an earlier one left is read and
 * compared with its digest before it is given out for the first time. Nothing that is held or being read is dropped.
 *
 * @throws `ERR_CONFIG_INVALID` for a folder that cannot be used.
 */
export async function folderBlobStore(options: FolderBlobStoreOptions): Promise<BlobStore> {
  const { folder, maxTotalBytes = 4 * 2 ** 30, maxBlobBytes = 2 ** 30 } = options;
  const blobs = new FolderBlobs({ folder, maxTotalBytes, maxBlobBytes: Math.min(maxBlobBytes, maxTotalBytes) });
  await blobs.load();
  return blobs;
}
