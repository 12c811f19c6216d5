import { Errno, MAX_PATH_BYTES, MAX_SYMLINKS } from "./abi.ts";
import type { GuestMemory } from "./guest-memory.ts";
import type { DirectoryNode, Node } from "./nodes.ts";
import { isNameTooLong } from "./text.ts";

/** Bytes. */
const SHORT_PATH = 64;

/** When a symbolic link at the end of a path is followed. */
export const Follow = {
  never: 0,
  /** Only where a slash comes after it: the path then means a directory. */
  beforeSlash: 1,
  always: 2,
} as const;

export type Follow = (typeof Follow)[keyof typeof Follow];

/**
 * Turns a path that the guest passed into a place in the tree. The result of the last successful
 * {@link PathLookup.resolve} stays in the fields until the next one, so that the usual call allocates little.
 *
 * No path leads out of the directory that it starts from: absolute paths, `..` above the start and
 * links that lead there answer EPERM (threat: escape from a granted folder).
 */
export class PathLookup {
  /** The directory that holds, or would hold, the last name. */
  directory: DirectoryNode;
  /** The last name; empty where the path means a directory by `.`, `..` or nothing. */
  name = "";
  /** What is there. */
  node: Node | undefined;
  /** Components that the last walk looked at, those of links that it followed included. */
  steps = 0;
  /** Whether the path ended in a slash, so that only a directory will do. */
  mustBeDirectory = false;
  /** The path that {@link PathLookup.readPath} has read. */
  path = "";
  readonly #memory: GuestMemory;
  #decoder: TextDecoder | undefined;

  constructor(memory: GuestMemory, root: DirectoryNode) {
    this.#memory = memory;
    this.directory = root;
  }

  /** Reads a path from guest memory, each byte once, into `path`; returns an errno. */
  readPath(pointer: number, length: number): number {
    this.#memory.check(pointer, length);
    if (length > MAX_PATH_BYTES) return Errno.nametoolong;
    const path = (length <= SHORT_PATH ? this.#readAscii(pointer, length) : undefined) ?? this.#decode(pointer, length);
    if (path === undefined) return Errno.ilseq;
    if (path.includes("\0")) return Errno.inval;
    this.path = path;
    return Errno.success;
  }

  /** Walks `path` from `start`. Returns an errno; a last name that does not exist is not an error here. */
  resolve(start: DirectoryNode, follow: Follow): number {
    const { path } = this;
    if (path === "") return Errno.noent;
    if (path.startsWith("/")) return Errno.perm;
    // The names still to walk, the next one last.
    const pending = splitReversed(path);
    this.steps = pending.length;
    const above: DirectoryNode[] = [];
    let current = start;
    let links = 0;
    this.mustBeDirectory = path.endsWith("/");
    for (;;) {
      const name = pending.pop();
      if (name === undefined || name === "." || name === "..") {
        if (name === "..") {
          const parent = above.pop();
          if (parent === undefined) return Errno.perm;
          current = parent;
        }
        if (pending.length > 0) continue;
        this.directory = current;
        this.name = "";
        this.node = current;
        return Errno.success;
      }
      if (isNameTooLong(name)) return Errno.nametoolong;
      const node = current.entries.get(name)?.node;
      const isLast = pending.length === 0;
      if (node?.kind === "symlink" && (!isLast || this.#follows(follow))) {
        if (++links > MAX_SYMLINKS) return Errno.loop;
        const { target } = node;
        if (target.startsWith("/")) return Errno.perm;
        if (isLast && target.endsWith("/")) this.mustBeDirectory = true;
        const parts = splitReversed(target);
        this.steps += parts.length;
        for (const part of parts) pending.push(part);
        continue;
      }
      if (isLast) {
        this.directory = current;
        this.name = name;
        this.node = node;
        return Errno.success;
      }
      if (node === undefined) return Errno.noent;
      if (node.kind !== "directory") return Errno.notdir;
      above.push(current);
      current = node;
    }
  }

  /** Undefined where the path is not ASCII. For short ones faster than the host's decoder. */
  #readAscii(pointer: number, length: number): string | undefined {
    const { bytes } = this.#memory;
    let path = "";
    for (let index = pointer; index < pointer + length; index++) {
      const byte = bytes[index] ?? 0;
      if (byte > 0x7f) return undefined;
      path += String.fromCharCode(byte);
    }
    return path;
  }

  /** Undefined where the path is not UTF-8. */
  #decode(pointer: number, length: number): string | undefined {
    // Without ignoreBOM two different names would decode to one.
    this.#decoder ??= new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    try {
      return this.#decoder.decode(this.#memory.copyOut(pointer, length));
    } catch {
      return undefined;
    }
  }

  #follows(follow: Follow): boolean {
    return follow === Follow.always || (follow === Follow.beforeSlash && this.mustBeDirectory);
  }
}

function splitReversed(path: string): string[] {
  if (!path.includes("/")) return [path];
  return path
    .split("/")
    .filter((name) => name !== "")
    .toReversed();
}
