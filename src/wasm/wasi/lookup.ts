import { Errno, MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_SYMLINKS } from "./abi.ts";
import type { GuestMemory } from "./guest-memory.ts";
import type { DirectoryNode, Node } from "./nodes.ts";

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

  /** Reads a path from guest memory once into `path`; returns an errno. */
  readPath(pointer: number, length: number): number {
    this.#memory.check(pointer, length);
    if (length > MAX_PATH_BYTES) return Errno.nametoolong;
    const bytes = this.#memory.copyOut(pointer, length);
    let isAscii = true;
    for (let index = 0; index < length; index++) {
      const byte = bytes[index];
      if (byte === 0) return Errno.inval;
      if (byte === undefined || byte > 0x7f) isAscii = false;
    }
    if (isAscii) {
      this.path = String.fromCharCode.apply(null, [...bytes]);
      return Errno.success;
    }
    // Without ignoreBOM two different names would decode to one.
    this.#decoder ??= new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    try {
      this.path = this.#decoder.decode(bytes);
      return Errno.success;
    } catch {
      return Errno.ilseq;
    }
  }

  /** Walks `path` from `start`. Returns an errno; a last name that does not exist is not an error here. */
  resolve(start: DirectoryNode, follow: Follow): number {
    const { path } = this;
    if (path === "") return Errno.noent;
    if (path.startsWith("/")) return Errno.perm;
    // The names still to walk, the next one last.
    const pending = splitReversed(path);
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
      if (isTooLong(name)) return Errno.nametoolong;
      const node = current.entries.get(name)?.node;
      const isLast = pending.length === 0;
      if (node?.kind === "symlink" && (!isLast || this.#follows(follow))) {
        if (++links > MAX_SYMLINKS) return Errno.loop;
        const { target } = node;
        if (target.startsWith("/")) return Errno.perm;
        if (isLast && target.endsWith("/")) this.mustBeDirectory = true;
        for (const part of splitReversed(target)) pending.push(part);
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

  #follows(follow: Follow): boolean {
    return follow === Follow.always || (follow === Follow.beforeSlash && this.mustBeDirectory);
  }
}

function splitReversed(path: string): string[] {
  if (!path.includes("/")) return [path];
  return path
    .split("/")
    .filter((name) => name !== "")
    .reverse();
}

function isTooLong(name: string): boolean {
  return name.length * 3 > MAX_NAME_BYTES && new TextEncoder().encode(name).length > MAX_NAME_BYTES;
}
