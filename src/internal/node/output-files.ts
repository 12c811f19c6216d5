import { constants } from "node:fs";
import { open, opendir } from "node:fs/promises";
import { join } from "node:path";
import type { OutputFile } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { formatLimit } from "../../limits.ts";

export interface OutputCaps {
  readonly maxFiles: number;
  readonly maxBytes: number;
}

/** Folders that are looked into; a tool may make any number. */
const maxFolders = 4096;
/** Threat: a link, a device or a pipe in the place of a file, which would be read in the service's name or never end. */
const openFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

function overLimit(why: string, details: Record<string, unknown>): ToolRuntimeError {
  return new ToolRuntimeError("ERR_LIMIT_DISK", `Cannot hand back the files of the tool: ${why}`, { started: true, details });
}

/**
 * Reads the regular files of a folder, whole; links and special files are left out.
 *
 * @throws `ERR_LIMIT_DISK` where there are more files or bytes than the caps allow.
 */
export async function collectOutputFiles(folder: string, caps: OutputCaps): Promise<OutputFile[]> {
  const files: OutputFile[] = [];
  const pending = [""];
  let room = caps.maxBytes;
  for (let seen = 0; pending.length > 0; seen++) {
    const relative = pending.pop() ?? "";
    if (seen >= maxFolders) throw overLimit(`there are more than ${maxFolders} folders`, { limit: "disk", maxFolders });
    for await (const entry of await opendir(join(folder, relative))) {
      const path = relative === "" ? entry.name : `${relative}/${entry.name}`;
      if (entry.isDirectory()) pending.push(path);
      if (!entry.isFile()) continue;
      if (files.length >= caps.maxFiles) {
        throw overLimit(`there are more than ${caps.maxFiles}`, { limit: "disk", maxOutputFiles: caps.maxFiles });
      }
      const bytes = await readWhole(join(folder, path), room, caps);
      if (bytes === undefined) continue;
      room -= bytes.length;
      files.push({ path, bytes });
    }
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** `undefined` for what is no regular file any more. */
async function readWhole(path: string, room: number, caps: OutputCaps): Promise<Uint8Array | undefined> {
  const handle = await open(path, openFlags);
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) return undefined;
    if (stat.size > room) {
      const most = formatLimit("disk", caps.maxBytes);
      throw overLimit(`they are over ${most} together`, { limit: "disk", value: caps.maxBytes });
    }
    return new Uint8Array(await handle.readFile());
  } finally {
    await handle.close();
  }
}
