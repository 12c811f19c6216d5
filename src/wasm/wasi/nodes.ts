import { Errno } from "./abi.ts";

/** What the guest may still take. Shared by all nodes of one file system. */
export interface Quota {
  /** Bytes that the guest may still add to file contents and link targets. */
  bytesLeft: number;
  /** Names that the guest may still create. */
  entriesLeft: number;
  /** Bytes that were allocated, copied or cleared to make files larger and smaller, and are not charged yet; see {@link takeMoved}. */
  movedBytes: number;
}

/** What making files larger and smaller has cost since it was last asked, in bytes. */
export function takeMoved(quota: Quota): number {
  const { movedBytes } = quota;
  quota.movedBytes = 0;
  return movedBytes;
}

interface Times {
  accessNs: bigint;
  modifyNs: bigint;
  changeNs: bigint;
}

interface NodeBase extends Times {
  readonly inode: number;
  readOnly: boolean;
  /** Names that lead here. A node with none and no open descriptor is gone. */
  links: number;
  /** Open descriptors. */
  opens: number;
}

export interface SymlinkNode extends NodeBase {
  readonly kind: "symlink";
  readonly target: string;
  readonly targetBytes: number;
}

export interface DirectoryEntry {
  readonly node: Node;
  /** Place in the order of creation; never used twice in one directory, so it can be a cookie. */
  readonly sequence: number;
  /** Made by the guest, so it counts against the quota. */
  readonly counted: boolean;
}

/** Cookies 0 and 1 stand before "." and "..". */
export const FIRST_SEQUENCE = 2;

export interface DirectoryNode extends NodeBase {
  readonly kind: "directory";
  parent: DirectoryNode | undefined;
  readonly entries: Map<string, DirectoryEntry>;
  nextSequence: number;
}

export type Node = FileNode | DirectoryNode | SymlinkNode;

const EMPTY = new Uint8Array(0);
const MIN_CAPACITY = 256;

/**
 * The content of a regular file. `data` may be shorter than `size`: what lies behind it reads as zeros,
 * so growth alone allocates nothing. `data` that is not owned belongs to the caller of the run and is
 * copied before the first write.
 *
 * Against the quota counts the size, sparse parts included. What is allocated is at most twice the size
 * (and a small constant), also after the file shrank, so the host holds at most twice the quota.
 */
export class FileNode implements NodeBase {
  readonly kind = "file";
  readonly inode: number;
  readOnly: boolean;
  links = 0;
  opens = 0;
  size: number;
  accessNs: bigint;
  modifyNs: bigint;
  changeNs: bigint;
  #data: Uint8Array;
  #owned: boolean;
  #charged = 0;

  constructor(inode: number, data: Uint8Array | undefined, options: { readOnly: boolean; timeNs: bigint }) {
    this.inode = inode;
    this.readOnly = options.readOnly;
    this.#data = data ?? EMPTY;
    this.#owned = data === undefined;
    this.size = this.#data.length;
    this.accessNs = this.modifyNs = this.changeNs = options.timeNs;
  }

  /** Copies up to `length` bytes from `offset` to `target` at `at`; returns how many there were. */
  read(offset: number, target: Uint8Array, at: number, length: number): number {
    const available = this.size - offset;
    if (available <= 0) return 0;
    const count = length < available ? length : available;
    const data = this.#data;
    const stored = data.length - offset;
    if (stored >= count) {
      target.set(data.subarray(offset, offset + count), at);
    } else if (stored <= 0) {
      target.fill(0, at, at + count);
    } else {
      target.set(data.subarray(offset), at);
      target.fill(0, at + stored, at + count);
    }
    return count;
  }

  /**
   * Makes room for up to `length` bytes at `offset` and extends the file over it; the caller writes the
   * bytes at once with {@link FileNode.write}.
   *
   * @returns how many bytes fit; 0 where the quota is used up
   */
  reserve(offset: number, length: number, quota: Quota): number {
    const limit = this.#charged + quota.bytesLeft;
    const copied = this.#owned ? 0 : this.size;
    if (offset >= limit || copied > limit) return 0;
    const count = length < limit - offset ? length : limit - offset;
    const end = offset + count;
    const needed = Math.max(end, copied);
    if (!this.#owned || this.#data.length < needed) {
      if (!this.#grow(needed, limit)) return 0;
      quota.movedBytes += this.#data.length;
    }
    if (end > this.size) this.size = end;
    this.#settle(quota);
    return count;
  }

  /** Writes into room that {@link FileNode.reserve} has made. */
  write(offset: number, source: Uint8Array, from: number, length: number): void {
    this.#data.set(source.subarray(from, from + length), offset);
  }

  /** Sets the size; growth allocates nothing. Returns an errno. */
  resize(size: number, quota: Quota): number {
    const kept = Math.min(size, this.#data.length);
    if (size > this.size) {
      if (size - this.#charged > quota.bytesLeft) return Errno.nospc;
    } else if (this.#owned && (this.#data.length > 2 * size + MIN_CAPACITY || size === 0)) {
      quota.movedBytes += kept;
      this.#data = size === 0 ? EMPTY : this.#data.slice(0, kept);
    } else if (this.#owned) {
      quota.movedBytes += this.#data.length - kept;
      // What is cut off must read as zeros when the file grows again.
      this.#data.fill(0, kept);
    } else {
      this.#data = this.#data.subarray(0, kept);
      if (kept === 0) this.#owned = true;
    }
    this.size = size;
    this.#settle(quota);
    return Errno.success;
  }

  /** Gives the quota back when the last name and the last descriptor are gone. */
  release(quota: Quota): void {
    quota.bytesLeft += this.#charged;
    this.#charged = 0;
    this.#data = EMPTY;
    this.#owned = true;
    this.size = 0;
  }

  /** The content; a view of the live file where it is stored whole. */
  content(): Uint8Array {
    if (this.#data.length === this.size) return this.#data;
    if (this.#data.length > this.size) return this.#data.subarray(0, this.size);
    const whole = new Uint8Array(this.size);
    whole.set(this.#data);
    return whole;
  }

  /** Owns at least `needed` bytes, twice as many where the limit allows. False where the host has no memory. */
  #grow(needed: number, limit: number): boolean {
    const data = this.#data;
    const capacity = Math.min(Math.max(MIN_CAPACITY, data.length * 2, needed), limit);
    let grown: Uint8Array;
    try {
      grown = new Uint8Array(capacity);
    } catch {
      return false;
    }
    grown.set(data);
    this.#data = grown;
    this.#owned = true;
    return true;
  }

  #settle(quota: Quota): void {
    // A file of the caller's that the guest only shortened holds nothing of the guest's.
    const charge = this.#owned || this.size > this.#data.length ? this.size : 0;
    quota.bytesLeft -= charge - this.#charged;
    this.#charged = charge;
  }
}

export function createDirectory(inode: number, options: { readOnly: boolean; timeNs: bigint }): DirectoryNode {
  const { readOnly, timeNs } = options;
  return {
    kind: "directory",
    inode,
    readOnly,
    links: 0,
    opens: 0,
    accessNs: timeNs,
    modifyNs: timeNs,
    changeNs: timeNs,
    parent: undefined,
    entries: new Map(),
    nextSequence: FIRST_SEQUENCE,
  };
}

export function createSymlink(inode: number, options: { target: string; targetBytes: number; timeNs: bigint }): SymlinkNode {
  const { target, targetBytes, timeNs } = options;
  return {
    kind: "symlink",
    inode,
    readOnly: false,
    links: 0,
    opens: 0,
    accessNs: timeNs,
    modifyNs: timeNs,
    changeNs: timeNs,
    target,
    targetBytes,
  };
}
