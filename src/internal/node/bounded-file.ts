import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";

export class NotAFile extends Error {}

export class TooLarge extends Error {
  readonly size: number;

  constructor(size: number) {
    super("too large");
    this.size = size;
  }
}

const stateByCode: Readonly<Record<string, string>> = {
  ENOENT: "it does not exist",
  ENOTDIR: "a part of its path is no folder",
  EACCES: "this user may not use it",
  EPERM: "this user may not use it",
  EEXIST: "it exists already",
  EISDIR: "it is a folder",
  ELOOP: "it is a chain of symbolic links without an end",
  ENOSPC: "the system has no room for it",
};

/** Says for people why a path could not be used. */
export function stateOf(error: unknown): string {
  if (error instanceof NotAFile) return "it is no regular file";
  if (error instanceof TooLarge) return `it has ${error.size} bytes, which is too many`;
  const code = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
  return stateByCode[code] ?? (code === "" ? "it cannot be used" : `it cannot be used (${code})`);
}

/** Opens a regular file that is not over a size. @throws NotAFile, TooLarge, and what the system says. */
export async function openBounded(file: string, maxBytes: number): Promise<{ readonly handle: FileHandle; readonly size: number }> {
  // Without O_NONBLOCK the open of a FIFO waits for a writer that never comes.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = await handle.stat();
    if (!found.isFile()) throw new NotAFile();
    if (found.size > maxBytes) throw new TooLarge(found.size);
    return { handle, size: found.size };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Reads a whole regular file of at most this size; one that grows meanwhile is refused too. */
export async function readBounded(file: string, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const { handle, size } = await openBounded(file, maxBytes);
  try {
    // One byte more than there should be, to see a file that grows.
    const bytes = new Uint8Array(size + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length);
      length += bytesRead;
      if (length > size) throw new TooLarge(length);
      if (bytesRead === 0) return bytes.subarray(0, length);
    }
  } finally {
    await handle.close();
  }
}
