import { constants } from "node:fs";
import { mkdir, open, realpath } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, sep } from "node:path";
import { ToolRuntimeError } from "../errors.ts";
import { stateOf } from "../internal/node/bounded-file.ts";
import type { ResultFile } from "../runtime.ts";
import type { BlobStore } from "../store.ts";

/**
 * Writes a run's output files under a folder, which is made where it is missing. The paths come from the tool: none may
 * lead out of the folder, by its text or by a symbolic link that is there already.
 *
 * @throws `ERR_CONFIG_INVALID` where the folder cannot be written, `ERR_OUTPUT_INVALID` for a path that leaves it.
 */
export async function saveFiles(files: readonly ResultFile[], blobs: BlobStore, folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    const root = await realpath(folder);
    for (const { path, digest } of files) {
      const blob = await blobs.open(digest);
      if (blob === undefined) throw new ToolRuntimeError("ERR_BLOB_NOT_FOUND", `Cannot save the file "${path}": the store dropped it`);
      try {
        await saveFile(root, path, blob.stream());
      } finally {
        blob.close();
      }
    }
  } catch (error) {
    if (error instanceof ToolRuntimeError) throw error;
    throw new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot save files in the folder "${folder}": ${stateOf(error)}`, { cause: error });
  }
}

async function saveFile(root: string, path: string, content: ReadableStream<Uint8Array>): Promise<void> {
  const target = join(root, path);
  assertInside(root, target, path);
  await mkdir(dirname(target), { recursive: true });
  assertInside(root, await realpath(dirname(target)), path);
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
  const handle = await open(target, flags, 0o644);
  try {
    await handle.writeFile(content);
  } finally {
    await handle.close();
  }
}

function assertInside(root: string, target: string, path: string): void {
  const inner = relative(root, target);
  if (inner !== ".." && !inner.startsWith(`..${sep}`) && !isAbsolute(inner)) return;
  throw new ToolRuntimeError("ERR_OUTPUT_INVALID", `Cannot save the file ${JSON.stringify(path)}: it leads out of the folder`, {
    started: true,
    details: { path },
  });
}
