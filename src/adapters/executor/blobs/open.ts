import { join } from "node:path";
import { memoryBlobStore, type BlobStore } from "../../../store.ts";
import type { ServiceConfig } from "../config/schema.ts";
import { folderBlobStore } from "./index.ts";

/** Where a service keeps files: in a folder where one is configured, or there is one for its state; else in memory. */
export async function openBlobs({ blobs, state, limits }: ServiceConfig): Promise<BlobStore> {
  const folder = blobs?.folder ?? (state === undefined ? undefined : join(state.folder, "blobs"));
  const maxTotalBytes = blobs?.maxBytes === undefined ? {} : { maxTotalBytes: blobs.maxBytes };
  if (folder !== undefined) return folderBlobStore({ folder, ...maxTotalBytes });
  return memoryBlobStore({ ...maxTotalBytes, ...(limits.maxUploadBytes === undefined ? {} : { maxBlobBytes: limits.maxUploadBytes }) });
}
