import { DIRECTORY_RIGHTS, Errno, FILE_RIGHTS, MAX_NAME_BYTES, MAX_PATH_BYTES } from "./abi.ts";
import { FileNode, createDirectory, createSymlink, type DirectoryEntry, type DirectoryNode, type Node, type Quota } from "./nodes.ts";
import { isNameTooLong } from "./text.ts";

/** Directories may be nested this deep, so that no walk and no path grows without bound. */
const MAX_DEPTH = 64;
const MAX_BYTES = 2 ** 31 - 1;
const DEFAULT_MAX_BYTES = 16 * 1024 * 1024;
const DEFAULT_MAX_ENTRIES = 4096;

export interface FileSystemOptions {
  /**
   * Bytes that the guest may hold in what it writes: the sizes of its files, sparse parts included, and
   * its link targets. Beyond it writes answer ENOSPC. At most 2 GiB - 1; 16 MiB unless given.
   */
  readonly maxBytes?: number;
  /** Names (files, directories, links) that the guest may create; then ENOSPC. 4096 unless given. */
  readonly maxEntries?: number;
  /** Whether the guest may not create or remove names in the root folder itself. True unless given. */
  readonly readOnlyRoot?: boolean;
  /** Time stamp of everything that the host adds, in nanoseconds since 1970. Now unless given. */
  readonly timeNs?: bigint;
}

export interface AddOptions {
  /** Whether the guest may not change it: writes, new names in it and new times answer EPERM. */
  readonly readOnly?: boolean;
}

export interface PreopenOptions {
  /** Rights of the folder itself; all that a directory can have unless given. See `Right`. */
  readonly rights?: number;
  /** Rights that what is opened below it can have at most; all unless given. */
  readonly inheriting?: number;
}

/** A folder that the guest finds open when it starts. */
export interface Preopen {
  readonly name: string;
  readonly node: DirectoryNode;
  readonly rights: number;
  readonly inheriting: number;
}

/** A regular file of a folder, as {@link FileSystem.files} hands it out. */
export interface CollectedFile {
  /** Relative to the folder asked for, with `/` between names. */
  readonly path: string;
  /** The content. A view of the live file: copy it where the guest goes on running. */
  readonly bytes: Uint8Array;
}

/**
 * One run's files: an in-memory tree of directories, regular files, symbolic and hard links. Nothing of
 * the host's own file system is ever in it.
 *
 * The host fills it before the run (`addFile`, `mkdir`, `preopen`) and collects from it afterwards
 * (`files`, `readFile`). Not to be shared between runs.
 */
export class FileSystem {
  readonly root: DirectoryNode;
  readonly preopens: Preopen[] = [];
  readonly quota: Quota;
  readonly #timeNs: bigint;
  #nextInode = 2;

  constructor(options: FileSystemOptions = {}) {
    this.#timeNs = options.timeNs ?? BigInt(Date.now()) * 1_000_000n;
    this.quota = {
      bytesLeft: Math.min(options.maxBytes ?? DEFAULT_MAX_BYTES, MAX_BYTES),
      entriesLeft: options.maxEntries ?? DEFAULT_MAX_ENTRIES,
      movedBytes: 0,
    };
    this.root = createDirectory(1, { readOnly: options.readOnlyRoot ?? true, timeNs: this.#timeNs });
    this.root.links = 1;
  }

  /**
   * Adds an input file, read-only unless said otherwise, and the folders above it that are missing.
   * The bytes are not copied unless the guest writes to the file, and never changed; the caller must
   * not change them during the run.
   *
   * @throws TypeError where the path is empty, leaves the root, or names what exists already
   */
  addFile(path: string, bytes: Uint8Array, options: AddOptions = {}): void {
    const names = splitHostPath(path);
    const name = names.pop();
    if (name === undefined) throw invalidPath(path, "it names no file");
    const directory = this.#makeDirectories(names, path);
    if (directory.entries.has(name)) throw invalidPath(path, "the name exists already");
    const file = new FileNode(this.#nextInode++, bytes, {
      readOnly: options.readOnly ?? true,
      timeNs: this.#timeNs,
    });
    insert(directory, name, { node: file, counted: false });
  }

  /**
   * Adds a folder, writable unless said otherwise, and the folders above it that are missing. A folder
   * that exists only takes over `readOnly`.
   *
   * @throws TypeError where the path leaves the root or a file is in the way
   */
  mkdir(path: string, options: AddOptions = {}): void {
    const directory = this.#makeDirectories(splitHostPath(path), path);
    directory.readOnly = options.readOnly ?? false;
  }

  /**
   * Gives the guest a folder under a name: the first one becomes descriptor 3.
   *
   * @param path the folder, made where it is missing; the root unless given
   * @throws TypeError where the path leaves the root or a file is in the way
   */
  preopen(name: string, path = "", options: PreopenOptions = {}): void {
    this.preopens.push({
      name,
      node: this.#makeDirectories(splitHostPath(path), path),
      rights: (options.rights ?? DIRECTORY_RIGHTS) & DIRECTORY_RIGHTS,
      inheriting: (options.inheriting ?? FILE_RIGHTS | DIRECTORY_RIGHTS) & (FILE_RIGHTS | DIRECTORY_RIGHTS),
    });
  }

  /** The content of a regular file, or undefined where there is none at this path. Links are not followed. */
  readFile(path: string): Uint8Array | undefined {
    const node = this.#find(path);
    return node instanceof FileNode ? node.content() : undefined;
  }

  /**
   * Walks a folder's regular files, at any depth, in order of creation. Symbolic links are not followed
   * and not listed. Lazy, so that the caller can stop at a limit of its own; a file with several names
   * comes once under each.
   */
  *files(path = ""): Generator<CollectedFile, void, void> {
    const start = this.#find(path);
    if (start === undefined || start.kind !== "directory") return;
    const pending: [prefix: string, entries: IterableIterator<[string, DirectoryEntry]>][] = [["", start.entries.entries()]];
    for (let level = pending.at(-1); level !== undefined; level = pending.at(-1)) {
      const [prefix, entries] = level;
      const next = entries.next();
      if (next.done === true) {
        pending.pop();
        continue;
      }
      const [name, { node }] = next.value;
      if (node.kind === "file") yield { path: prefix + name, bytes: node.content() };
      else if (node.kind === "directory") pending.push([`${prefix}${name}/`, node.entries.entries()]);
    }
  }

  /** Creates an empty file for the guest. Returns it, or an errno. */
  createFile(directory: DirectoryNode, name: string, timeNs: bigint): FileNode | number {
    const refusal = this.#refuseName(directory);
    if (refusal !== Errno.success) return refusal;
    const file = new FileNode(this.#nextInode++, undefined, { readOnly: false, timeNs });
    this.#insertCounted(directory, name, file, timeNs);
    return file;
  }

  createDirectory(directory: DirectoryNode, name: string, timeNs: bigint): number {
    const refusal = this.#refuseName(directory);
    if (refusal !== Errno.success) return refusal;
    if (depthOf(directory) + 1 > MAX_DEPTH) return Errno.nametoolong;
    const created = createDirectory(this.#nextInode++, { readOnly: false, timeNs });
    this.#insertCounted(directory, name, created, timeNs);
    return Errno.success;
  }

  createSymlink(directory: DirectoryNode, name: string, link: { target: string; targetBytes: number; timeNs: bigint }): number {
    const refusal = this.#refuseName(directory);
    if (refusal !== Errno.success) return refusal;
    if (link.targetBytes > this.quota.bytesLeft) return Errno.nospc;
    this.quota.bytesLeft -= link.targetBytes;
    this.#insertCounted(directory, name, createSymlink(this.#nextInode++, link), link.timeNs);
    return Errno.success;
  }

  /** Adds a second name for a file or symbolic link. */
  link(directory: DirectoryNode, name: string, linked: { node: Node; timeNs: bigint }): number {
    const refusal = this.#refuseName(directory);
    if (refusal !== Errno.success) return refusal;
    // Under a second name a read-only file could be renamed over, and its times would change.
    if (linked.node.readOnly) return Errno.perm;
    this.#insertCounted(directory, name, linked.node, linked.timeNs);
    linked.node.changeNs = linked.timeNs;
    return Errno.success;
  }

  /** Removes a name; the caller has made sure that it exists and is of the right kind. */
  remove(directory: DirectoryNode, name: string, timeNs: bigint): number {
    const entry = directory.entries.get(name);
    if (entry === undefined) return Errno.noent;
    if (directory.readOnly || entry.node.readOnly) return Errno.perm;
    directory.entries.delete(name);
    directory.modifyNs = directory.changeNs = timeNs;
    if (entry.counted) this.quota.entriesLeft++;
    entry.node.links--;
    entry.node.changeNs = timeNs;
    if (entry.node.kind === "directory") entry.node.parent = undefined;
    this.releaseIfUnused(entry.node);
    return Errno.success;
  }

  /**
   * Moves a name. The caller has made sure that source and target are compatible.
   */
  rename(from: { directory: DirectoryNode; name: string }, to: { directory: DirectoryNode; name: string }, timeNs: bigint): number {
    const entry = from.directory.entries.get(from.name);
    if (entry === undefined) return Errno.noent;
    const replaced = to.directory.entries.get(to.name);
    if (replaced?.node === entry.node) return Errno.success;
    if (from.directory.readOnly || to.directory.readOnly || entry.node.readOnly) return Errno.perm;
    if (to.directory.links === 0) return Errno.noent;
    if (entry.node.kind === "directory" && from.directory !== to.directory) {
      for (let above: DirectoryNode | undefined = to.directory; above !== undefined; above = above.parent) {
        if (above === entry.node) return Errno.inval;
      }
      if (depthOf(to.directory) + heightOf(entry.node) > MAX_DEPTH) return Errno.nametoolong;
    }
    if (replaced !== undefined) {
      const refusal = this.remove(to.directory, to.name, timeNs);
      if (refusal !== Errno.success) return refusal;
    }
    from.directory.entries.delete(from.name);
    entry.node.links--;
    insert(to.directory, to.name, entry);
    from.directory.modifyNs = from.directory.changeNs = timeNs;
    to.directory.modifyNs = to.directory.changeNs = timeNs;
    entry.node.changeNs = timeNs;
    return Errno.success;
  }

  /** Gives back what a node holds of the quota once neither a name nor a descriptor leads to it. */
  releaseIfUnused(node: Node): void {
    if (node.links > 0 || node.opens > 0) return;
    if (node.kind === "file") node.release(this.quota);
    else if (node.kind === "symlink") this.quota.bytesLeft += node.targetBytes;
  }

  #refuseName(directory: DirectoryNode): number {
    if (directory.links === 0) return Errno.noent;
    if (directory.readOnly) return Errno.perm;
    return this.quota.entriesLeft > 0 ? Errno.success : Errno.nospc;
  }

  #insertCounted(directory: DirectoryNode, name: string, node: Node, timeNs: bigint): void {
    this.quota.entriesLeft--;
    insert(directory, name, { node, counted: true });
    directory.modifyNs = directory.changeNs = timeNs;
  }

  #find(path: string): Node | undefined {
    let node: Node = this.root;
    for (const name of splitHostPath(path)) {
      const entry: DirectoryEntry | undefined = node.kind === "directory" ? node.entries.get(name) : undefined;
      if (entry === undefined) return undefined;
      node = entry.node;
    }
    return node;
  }

  #makeDirectories(names: readonly string[], path: string): DirectoryNode {
    if (names.length > MAX_DEPTH) throw invalidPath(path, `it is deeper than ${MAX_DEPTH} folders`);
    let directory = this.root;
    for (const name of names) {
      const entry = directory.entries.get(name);
      if (entry === undefined) {
        const { readOnly } = directory;
        const created = createDirectory(this.#nextInode++, { readOnly, timeNs: this.#timeNs });
        insert(directory, name, { node: created, counted: false });
        directory = created;
      } else if (entry.node.kind === "directory") {
        directory = entry.node;
      } else {
        throw invalidPath(path, `"${name}" is not a folder`);
      }
    }
    return directory;
  }
}

function insert(directory: DirectoryNode, name: string, entry: { node: Node; counted: boolean }): void {
  const { node, counted } = entry;
  directory.entries.set(name, { node, counted, sequence: directory.nextSequence++ });
  node.links++;
  if (node.kind === "directory") node.parent = directory;
}

/** The root has depth 0. */
function depthOf(directory: DirectoryNode): number {
  let depth = 0;
  for (let above = directory.parent; above !== undefined; above = above.parent) depth++;
  return depth;
}

/** Levels of directories in a tree, itself included; the depth is bounded, so this recursion is too. */
function heightOf(directory: DirectoryNode): number {
  let height = 0;
  for (const { node } of directory.entries.values()) {
    if (node.kind === "directory") height = Math.max(height, heightOf(node));
  }
  return height + 1;
}

function splitHostPath(path: string): string[] {
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  if (path.length > MAX_PATH_BYTES || !path.isWellFormed() || path.includes("\0")) {
    throw invalidPath(path, "it is too long or has characters that no path can have");
  }
  for (const name of names) {
    if (name === "..") throw invalidPath(path, `".." is not accepted`);
    if (isNameTooLong(name)) {
      throw invalidPath(path, `a name is longer than ${MAX_NAME_BYTES} bytes`);
    }
  }
  return names;
}

function invalidPath(path: string, reason: string): TypeError {
  return new TypeError(`Cannot add ${JSON.stringify(path.slice(0, 200))} to the tool's files: ${reason}`);
}
