import { Errno } from "../../wasi/abi.ts";
import { Follow } from "../../wasi/lookup.ts";
import { FileNode, type DirectoryNode, type Node } from "../../wasi/nodes.ts";
import { DirectoryEntryStream, typeOf, type NodeType } from "./directory-entries.ts";
import { check, fail, type Files } from "./files.ts";
import { InputStream, OutputStream } from "./io.ts";
import { toDatetime, type Datetime } from "./process.ts";

/** Flags as jco makes them: an object of booleans. */
type Flags<Name extends string> = { readonly [N in Name]?: boolean };
type DescriptorFlags = Flags<"read" | "write" | "fileIntegritySync" | "dataIntegritySync" | "requestedWriteSync" | "mutateDirectory">;
type PathFlags = Flags<"symlinkFollow">;
type OpenFlags = Flags<"create" | "directory" | "exclusive" | "truncate">;
type NewTimestamp = { readonly tag: "no-change" | "now" } | { readonly tag: "timestamp"; readonly val: Datetime };

interface Stat {
  readonly type: NodeType;
  readonly linkCount: bigint;
  readonly size: bigint;
  readonly dataAccessTimestamp: Datetime;
  readonly dataModificationTimestamp: Datetime;
  readonly statusChangeTimestamp: Datetime;
}

const maxReadBytes = 2 ** 20;
const encoder = new TextEncoder();

/** An open file or directory. Methods throw an `error-code`; the guest's handle on the host's side. */
export class Descriptor {
  readonly #files: Files;
  readonly #node: FileNode | DirectoryNode;
  readonly #flags: DescriptorFlags;
  #isOpen = true;

  constructor(files: Files, node: FileNode | DirectoryNode, flags: DescriptorFlags) {
    files.opened(node);
    this.#files = files;
    this.#node = node;
    this.#flags = flags;
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#files.closed(this.#node);
  }

  readViaStream(offset: bigint): InputStream {
    const file = this.#readable();
    let at = toOffset(offset);
    return new InputStream(this.#files.state, (maxBytes) => {
      const bytes = readFrom(file, at, maxBytes);
      at += bytes.length;
      return bytes;
    });
  }

  writeViaStream(offset: bigint): OutputStream {
    const file = this.#writable();
    let at = toOffset(offset);
    const write = (bytes: Uint8Array): void => {
      this.#writeAll(file, at, bytes);
      at += bytes.length;
    };
    return new OutputStream(this.#files.state, { write });
  }

  appendViaStream(): OutputStream {
    const file = this.#writable();
    return new OutputStream(this.#files.state, { write: (bytes) => this.#writeAll(file, file.size, bytes) });
  }

  advise(): void {
    this.#file();
  }

  /** There is nothing below memory, so what is written is as safe as it gets. */
  syncData(): void {
    this.#files.state.assertLive();
  }

  sync(): void {
    this.#files.state.assertLive();
  }

  getFlags(): DescriptorFlags {
    return { ...this.#flags };
  }

  getType(): NodeType {
    return typeOf(this.#node);
  }

  setSize(size: bigint): void {
    const file = this.#writable();
    check(file.resize(toOffset(size), this.#files.fs.quota));
    this.#touch(file);
  }

  setTimes(access: NewTimestamp, modify: NewTimestamp): void {
    this.#setTimes(this.#node, access, modify);
  }

  read(length: bigint, offset: bigint): [Uint8Array, boolean] {
    const file = this.#readable();
    const at = toOffset(offset);
    const bytes = readFrom(file, at, length < maxReadBytes ? Number(length) : maxReadBytes);
    return [bytes, at + bytes.length >= file.size];
  }

  write(bytes: Uint8Array, offset: bigint): bigint {
    const file = this.#writable();
    return BigInt(this.#writeSome(file, toOffset(offset), bytes));
  }

  readDirectory(): DirectoryEntryStream {
    return new DirectoryEntryStream(this.#directory());
  }

  createDirectoryAt(path: string): void {
    const { directory, name, node } = this.#files.locate(this.#directory(), path, Follow.never);
    if (node !== undefined) fail(Errno.exist);
    check(this.#files.fs.createDirectory(directory, name, this.#files.nowNs()));
  }

  stat(): Stat {
    this.#files.state.assertLive();
    return statOf(this.#node);
  }

  statAt(flags: PathFlags, path: string): Stat {
    return statOf(this.#find(flags, path));
  }

  setTimesAt(flags: PathFlags, path: string, access: NewTimestamp, modify: NewTimestamp): void {
    this.#setTimes(this.#find(flags, path), access, modify);
  }

  linkAt(flags: PathFlags, oldPath: string, target: Descriptor, newPath: string): void {
    if (flags.symlinkFollow === true) fail(Errno.inval);
    const linked = this.#files.find(this.#directory(), oldPath, Follow.never);
    if (linked.kind === "directory") fail(Errno.perm);
    const { directory, name, node, mustBeDirectory } = this.#files.locate(target.#directory(), newPath, Follow.never);
    if (node !== undefined) fail(Errno.exist);
    if (mustBeDirectory) fail(Errno.noent);
    check(this.#files.fs.link(directory, name, { node: linked, timeNs: this.#files.nowNs() }));
  }

  openAt(pathFlags: PathFlags, path: string, openFlags: OpenFlags, flags: DescriptorFlags): Descriptor {
    const { create = false, exclusive = false, directory: wantsDirectory = false, truncate = false } = openFlags;
    const { write = false, mutateDirectory = false } = flags;
    const isExclusive = create && exclusive;
    if (create && wantsDirectory) fail(Errno.inval);
    const follow = isExclusive ? Follow.never : followOf(pathFlags);
    const { directory, name, node, mustBeDirectory } = this.#files.locate(this.#directory(), path, follow);
    if (node === undefined) {
      if (!create) fail(Errno.noent);
      if (mustBeDirectory) fail(Errno.isdir);
      const created = this.#files.fs.createFile(directory, name, this.#files.nowNs());
      if (typeof created === "number") fail(created);
      return new Descriptor(this.#files, created, flags);
    }
    if (isExclusive) fail(Errno.exist);
    if (node.kind === "symlink") fail(Errno.loop);
    if (node.kind === "directory") {
      if (write || truncate || create) fail(Errno.isdir);
      return new Descriptor(this.#files, node, { ...flags, read: true });
    }
    if (mustBeDirectory || wantsDirectory) fail(Errno.notdir);
    if (node.readOnly && (write || truncate || mutateDirectory)) fail(Errno.perm);
    if (truncate) {
      check(node.resize(0, this.#files.fs.quota));
      this.#touch(node);
    }
    return new Descriptor(this.#files, node, flags);
  }

  readlinkAt(path: string): string {
    const node = this.#files.find(this.#directory(), path, Follow.beforeSlash);
    if (node.kind !== "symlink") fail(Errno.inval);
    return node.target;
  }

  removeDirectoryAt(path: string): void {
    const node = this.#files.find(this.#directory(), path, Follow.never);
    const { directory, name } = this.#files.locate(this.#directory(), path, Follow.never);
    if (node.kind !== "directory") fail(Errno.notdir);
    if (name === "") fail(Errno.inval);
    if (node.entries.size > 0) fail(Errno.notempty);
    check(this.#files.fs.remove(directory, name, this.#files.nowNs()));
  }

  renameAt(oldPath: string, target: Descriptor, newPath: string): void {
    const moved = this.#files.find(this.#directory(), oldPath, Follow.never);
    const { directory: from, name: oldName } = this.#files.locate(this.#directory(), oldPath, Follow.never);
    const { directory, name, node, mustBeDirectory } = this.#files.locate(target.#directory(), newPath, Follow.never);
    if (oldName === "" || name === "") fail(Errno.inval);
    if (moved.kind === "directory") {
      if (node !== undefined && node.kind !== "directory") fail(Errno.notdir);
      if (node?.kind === "directory" && node !== moved && node.entries.size > 0) fail(Errno.notempty);
    } else {
      if (node?.kind === "directory") fail(Errno.isdir);
      if (mustBeDirectory) fail(Errno.notdir);
    }
    check(this.#files.fs.rename({ directory: from, name: oldName }, { directory, name }, this.#files.nowNs()));
  }

  symlinkAt(oldPath: string, newPath: string): void {
    if (oldPath === "") fail(Errno.noent);
    if (oldPath.startsWith("/")) fail(Errno.perm);
    const targetBytes = encoder.encode(oldPath).length;
    if (targetBytes > 4096) fail(Errno.nametoolong);
    if (oldPath.includes("\0")) fail(Errno.inval);
    const { directory, name, node, mustBeDirectory } = this.#files.locate(this.#directory(), newPath, Follow.never);
    if (node !== undefined) fail(Errno.exist);
    if (mustBeDirectory) fail(Errno.noent);
    check(this.#files.fs.createSymlink(directory, name, { target: oldPath, targetBytes, timeNs: this.#files.nowNs() }));
  }

  unlinkFileAt(path: string): void {
    const node = this.#files.find(this.#directory(), path, Follow.never);
    const { directory, name } = this.#files.locate(this.#directory(), path, Follow.never);
    if (node.kind === "directory") fail(Errno.isdir);
    check(this.#files.fs.remove(directory, name, this.#files.nowNs()));
  }

  isSameObject(other: Descriptor): boolean {
    return other.#node === this.#node;
  }

  metadataHash(): { readonly lower: bigint; readonly upper: bigint } {
    return hashOf(this.#node);
  }

  metadataHashAt(flags: PathFlags, path: string): { readonly lower: bigint; readonly upper: bigint } {
    return hashOf(this.#find(flags, path));
  }

  #find(flags: PathFlags, path: string): Node {
    return this.#files.find(this.#directory(), path, followOf(flags));
  }

  #directory(): DirectoryNode {
    this.#files.state.assertLive();
    if (this.#node.kind !== "directory") fail(Errno.notdir);
    return this.#node;
  }

  #file(): FileNode {
    this.#files.state.assertLive();
    if (this.#node.kind === "directory") fail(Errno.isdir);
    return this.#node;
  }

  #readable(): FileNode {
    const file = this.#file();
    if (this.#flags.read !== true) fail(Errno.badf);
    return file;
  }

  #writable(): FileNode {
    const file = this.#file();
    if (this.#flags.write !== true) fail(Errno.badf);
    if (file.readOnly) fail(Errno.perm);
    return file;
  }

  #writeSome(file: FileNode, offset: number, bytes: Uint8Array): number {
    if (bytes.length === 0) return 0;
    const room = file.reserve(offset, bytes.length, this.#files.fs.quota);
    if (room === 0) fail(Errno.nospc);
    file.write(offset, bytes, 0, room);
    this.#touch(file);
    return room;
  }

  #writeAll(file: FileNode, offset: number, bytes: Uint8Array): void {
    this.#files.state.assertLive();
    if (this.#writeSome(file, offset, bytes) < bytes.length) fail(Errno.nospc);
  }

  #touch(file: FileNode): void {
    file.modifyNs = file.changeNs = this.#files.nowNs();
  }

  #setTimes(node: Node, access: NewTimestamp, modify: NewTimestamp): void {
    this.#files.state.assertLive();
    if (node.readOnly) fail(Errno.perm);
    const nowNs = this.#files.nowNs();
    node.accessNs = pickTime(access, node.accessNs, nowNs);
    node.modifyNs = pickTime(modify, node.modifyNs, nowNs);
    node.changeNs = nowNs;
  }
}

function pickTime(time: NewTimestamp, oldNs: bigint, nowNs: bigint): bigint {
  if (time.tag === "now") return nowNs;
  return time.tag === "timestamp" ? BigInt.asUintN(64, time.val.seconds * 1_000_000_000n + BigInt(time.val.nanoseconds)) : oldNs;
}

function followOf({ symlinkFollow }: PathFlags): Follow {
  return symlinkFollow === true ? Follow.always : Follow.beforeSlash;
}

function toOffset(offset: bigint): number {
  if (offset > BigInt(Number.MAX_SAFE_INTEGER)) fail(Errno.fbig);
  return Number(offset);
}

function readFrom(file: FileNode, offset: number, maxBytes: number): Uint8Array {
  const bytes = new Uint8Array(Math.max(0, Math.min(maxBytes, file.size - offset)));
  file.read(offset, bytes, 0, bytes.length);
  return bytes;
}

function statOf(node: Node): Stat {
  return {
    type: typeOf(node),
    linkCount: BigInt(node.links),
    size: BigInt(node.kind === "file" ? node.size : node.kind === "symlink" ? node.targetBytes : 0),
    dataAccessTimestamp: toDatetime(node.accessNs),
    dataModificationTimestamp: toDatetime(node.modifyNs),
    statusChangeTimestamp: toDatetime(node.changeNs),
  };
}

/** Differs between nodes, and after each change of one. */
function hashOf(node: Node): { readonly lower: bigint; readonly upper: bigint } {
  return { lower: BigInt(node.inode), upper: node.changeNs };
}
