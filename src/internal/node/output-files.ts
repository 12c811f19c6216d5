import { constants } from "node:fs";
import { lstat, open, opendir, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import type { RunIo } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { formatLimit } from "../../limits.ts";
import { fileStream } from "./file-stream.ts";

/** Folders that are looked into; a tool may make any number. */
const maxFolders = 4096;
/** Threat: a link, a device or a pipe in the place of a file, which would be read in the service's name or never end. */
const openFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

function overLimit(why: string, details: Record<string, unknown>): ToolRuntimeError {
  return new ToolRuntimeError("ERR_LIMIT_DISK", `Cannot hand back the files of the tool: ${why}`, { started: true, details });
}

/**
 * Hands over the regular files of a folder, one after the other; links and special files are left out. The folder can go when it has
 * settled.
 *
 * @throws `ERR_LIMIT_DISK` where there are more files or bytes than may come out; then none is handed over.
 */
export async function handOverFiles(folder: string, io: Pick<RunIo, "file" | "maxOutputFiles">, maxBytes: number): Promise<void> {
  let room = maxBytes;
  for (const path of await listFiles(folder, io.maxOutputFiles, maxBytes)) {
    const handle = await open(join(folder, path), openFlags);
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) continue;
      room -= stat.size;
      if (room < 0) throw overBytes(maxBytes);
      await io.file({ path, content: streamOf(handle, stat.size) });
    } finally {
      // The stream that was read to its end has closed it.
      await handle.close().catch(() => undefined);
    }
  }
}

function streamOf(handle: FileHandle, size: number): ReadableStream<Uint8Array> {
  return fileStream({ open: async () => handle, start: 0, end: size });
}

function overBytes(maxBytes: number): ToolRuntimeError {
  return overLimit(`they are over ${formatLimit("disk", maxBytes)} together`, { limit: "disk", value: maxBytes });
}

/** The paths in order. Threat: a tool makes files without end; what is too much ends the search. */
async function listFiles(folder: string, maxFiles: number, maxBytes: number): Promise<string[]> {
  const paths: string[] = [];
  const pending = [""];
  let room = maxBytes;
  for (let seen = 0; pending.length > 0; seen++) {
    const relative = pending.pop() ?? "";
    if (seen >= maxFolders) throw overLimit(`there are more than ${maxFolders} folders`, { limit: "disk", maxFolders });
    for await (const entry of await opendir(join(folder, relative))) {
      const path = relative === "" ? entry.name : `${relative}/${entry.name}`;
      if (entry.isDirectory()) pending.push(path);
      if (!entry.isFile()) continue;
      if (paths.length >= maxFiles) throw overLimit(`there are more than ${maxFiles}`, { limit: "disk", maxOutputFiles: maxFiles });
      room -= (await lstat(join(folder, path))).size;
      if (room < 0) throw overBytes(maxBytes);
      paths.push(path);
    }
  }
  return paths.sort();
}
