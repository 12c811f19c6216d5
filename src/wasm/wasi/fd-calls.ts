import { Errno, FdFlag, FileType, Right, TimeFlag, Whence } from "./abi.ts";
import type { Descriptor } from "./descriptors.ts";
import { FIRST_SEQUENCE, FileNode, type DirectoryNode, type Node } from "./nodes.ts";
import type { WasiState } from "./state.ts";
import { encodeUtf8 } from "./text.ts";

const DIRENT_BYTES = 24;
const RIGHTS_MASK = 0x3fff_ffffn;

export function fdAdvise(state: WasiState, fd: number, range: { offset: bigint; length: bigint; advice: number }): number {
  state.memory.refresh();
  const file = fileWith(state, fd, Right.fdAdvise);
  if (typeof file === "number") return file;
  return range.advice >>> 0 > 5 || range.offset < 0n || range.length < 0n ? Errno.inval : Errno.success;
}

export function fdAllocate(state: WasiState, fd: number, range: { offset: bigint; length: bigint }): number {
  state.memory.refresh();
  const file = fileWith(state, fd, Right.fdAllocate);
  if (typeof file === "number") return file;
  if (range.offset < 0n || range.length <= 0n) return Errno.inval;
  const end = Number(range.offset) + Number(range.length);
  if (end > Number.MAX_SAFE_INTEGER) return Errno.fbig;
  return end <= file.size ? Errno.success : resize(state, file, end);
}

export function fdClose(state: WasiState, fd: number): number {
  state.memory.refresh();
  return state.descriptors.close(fd);
}

/** There is nothing below memory, so what is written is as safe as it gets. */
export function fdSync(state: WasiState, fd: number, right: number): number {
  state.memory.refresh();
  const descriptor = state.descriptors.get(fd);
  if (descriptor === undefined || isDirectory(descriptor.node)) return Errno.badf;
  return (descriptor.rights & right) === 0 ? Errno.notcapable : Errno.success;
}

export function fdFdstatGet(state: WasiState, fd: number, result: number): number {
  const { memory } = state;
  memory.refresh();
  const descriptor = state.descriptors.get(fd);
  if (descriptor === undefined) return Errno.badf;
  memory.check(result, 24);
  memory.bytes.fill(0, result, result + 24);
  memory.view.setUint8(result, fileType(descriptor.node));
  memory.view.setUint16(result + 2, descriptor.flags, true);
  memory.view.setUint32(result + 8, descriptor.rights, true);
  memory.view.setUint32(result + 16, descriptor.inheriting, true);
  return Errno.success;
}

export function fdFdstatSetFlags(state: WasiState, fd: number, flags: number): number {
  state.memory.refresh();
  const descriptor = state.descriptors.get(fd);
  if (descriptor === undefined || isDirectory(descriptor.node)) return Errno.badf;
  if ((descriptor.rights & Right.fdFdstatSetFlags) === 0) return Errno.notcapable;
  if ((flags & ~FdFlag.all) !== 0) return Errno.inval;
  descriptor.flags = flags;
  return Errno.success;
}

/** Rights can only be given up. */
export function fdFdstatSetRights(state: WasiState, fd: number, rights: { base: bigint; inheriting: bigint }): number {
  state.memory.refresh();
  const descriptor = state.descriptors.get(fd);
  if (descriptor === undefined) return Errno.badf;
  if (state.options.rights === "ignored") return Errno.notsup;
  const base = toRights(rights.base);
  const inheriting = toRights(rights.inheriting);
  if (base === undefined || (base & ~descriptor.rights) !== 0) return Errno.notcapable;
  if (inheriting === undefined || (inheriting & ~descriptor.inheriting) !== 0) return Errno.notcapable;
  descriptor.rights = base;
  descriptor.inheriting = inheriting;
  return Errno.success;
}

export function fdFilestatGet(state: WasiState, fd: number, result: number): number {
  state.memory.refresh();
  const descriptor = state.descriptors.get(fd);
  if (descriptor === undefined) return Errno.badf;
  if ((descriptor.rights & Right.fdFilestatGet) === 0) return Errno.notcapable;
  const { node } = descriptor;
  if (typeof node !== "string") {
    writeFilestat(state, node, result);
  } else {
    state.memory.check(result, 64);
    state.memory.bytes.fill(0, result, result + 64);
    state.memory.view.setUint8(result + 16, FileType.unknown);
  }
  return Errno.success;
}

export function fdFilestatSetSize(state: WasiState, fd: number, size: bigint): number {
  state.memory.refresh();
  const file = fileWith(state, fd, Right.fdFilestatSetSize);
  if (file === Errno.spipe) return Errno.inval;
  // As POSIX has it for a file that is not open for writing.
  if (file === Errno.notcapable && state.options.rights === "ignored") return Errno.inval;
  if (typeof file === "number") return file;
  if (size < 0n) return Errno.inval;
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) return Errno.fbig;
  return resize(state, file, Number(size));
}

export function fdFilestatSetTimes(state: WasiState, fd: number, times: { access: bigint; modify: bigint; flags: number }): number {
  state.memory.refresh();
  const descriptor = state.descriptors.get(fd);
  if (descriptor === undefined) return Errno.badf;
  if ((descriptor.rights & Right.fdFilestatSetTimes) === 0) return Errno.notcapable;
  return typeof descriptor.node === "string" ? Errno.inval : setTimes(state, descriptor.node, times);
}

export function fdPrestatGet(state: WasiState, fd: number, result: number): number {
  const { memory } = state;
  memory.refresh();
  const name = state.descriptors.get(fd)?.preopenName;
  if (name === undefined) return Errno.badf;
  memory.check(result, 8);
  memory.view.setUint32(result, 0, true);
  memory.view.setUint32(result + 4, encodeUtf8(name).length, true);
  return Errno.success;
}

export function fdPrestatDirName(state: WasiState, fd: number, buffer: { pointer: number; length: number }): number {
  state.memory.refresh();
  const name = state.descriptors.get(fd)?.preopenName;
  if (name === undefined) return Errno.badf;
  const bytes = encodeUtf8(name);
  if (buffer.length < bytes.length) return Errno.nametoolong;
  state.memory.copyIn(buffer.pointer, bytes);
  return Errno.success;
}

export function fdReaddir(
  state: WasiState,
  fd: number,
  buffer: { pointer: number; length: number; cookie: bigint; result: number },
): number {
  const { memory } = state;
  memory.refresh();
  const descriptor = state.descriptors.get(fd);
  if (descriptor === undefined) return Errno.badf;
  const { node } = descriptor;
  if (!isDirectory(node)) return Errno.notdir;
  if ((descriptor.rights & Right.fdReaddir) === 0) return Errno.notcapable;
  memory.check(buffer.pointer, buffer.length);
  memory.check(buffer.result, 4);
  const writer = new DirentWriter(state, buffer.pointer, buffer.length);
  const cookie = BigInt.asUintN(64, buffer.cookie);
  const start = cookie > BigInt(node.nextSequence) ? node.nextSequence : Number(cookie);
  const isFull = (start <= 0 && !writer.add(".", node, 1)) || (start <= 1 && !writer.add("..", node.parent ?? node, FIRST_SEQUENCE));
  let seen = 0;
  if (!isFull) {
    for (const [name, entry] of node.entries) {
      seen++;
      if (entry.sequence >= start && !writer.add(name, entry.node, entry.sequence + 1)) break;
    }
  }
  state.charge(seen);
  memory.setU32(buffer.result, writer.used);
  return Errno.success;
}

export function fdRenumber(state: WasiState, from: number, to: number): number {
  state.memory.refresh();
  return state.descriptors.renumber(from, to);
}

export function fdSeek(state: WasiState, fd: number, to: { offset: bigint; whence: number; result: number }): number {
  const { memory } = state;
  memory.refresh();
  const isTell = to.offset === 0n && to.whence === Whence.cur;
  const descriptor = seekable(state, fd, isTell ? Right.fdSeek | Right.fdTell : Right.fdSeek);
  if (typeof descriptor === "number") return descriptor;
  const { node } = descriptor;
  let start = 0;
  if (to.whence === Whence.cur) start = descriptor.offset;
  else if (to.whence === Whence.end) start = node instanceof FileNode ? node.size : 0;
  else if (to.whence !== Whence.set) return Errno.inval;
  const position = Number(to.offset) + start;
  if (position < 0 || position > Number.MAX_SAFE_INTEGER) return Errno.inval;
  memory.setU64(to.result, BigInt(position));
  descriptor.offset = position;
  return Errno.success;
}

export function fdTell(state: WasiState, fd: number, result: number): number {
  state.memory.refresh();
  const descriptor = seekable(state, fd, Right.fdSeek | Right.fdTell);
  if (typeof descriptor === "number") return descriptor;
  state.memory.setU64(result, BigInt(descriptor.offset));
  return Errno.success;
}

export function isDirectory(node: Descriptor["node"]): node is DirectoryNode {
  return typeof node === "object" && node.kind === "directory";
}

export function writeFilestat(state: WasiState, node: Node, result: number): void {
  const { memory } = state;
  memory.check(result, 64);
  const { view } = memory;
  memory.bytes.fill(0, result, result + 64);
  view.setUint32(result, 1, true);
  view.setUint32(result + 8, node.inode, true);
  view.setUint8(result + 16, fileType(node));
  view.setUint32(result + 24, node.links, true);
  view.setBigUint64(result + 32, BigInt(sizeOf(node)), true);
  view.setBigUint64(result + 40, node.accessNs, true);
  view.setBigUint64(result + 48, node.modifyNs, true);
  view.setBigUint64(result + 56, node.changeNs, true);
}

export function setTimes(state: WasiState, node: Node, times: { access: bigint; modify: bigint; flags: number }): number {
  const { flags } = times;
  const isAmbiguous =
    (flags & (TimeFlag.atim | TimeFlag.atimNow)) === (TimeFlag.atim | TimeFlag.atimNow) ||
    (flags & (TimeFlag.mtim | TimeFlag.mtimNow)) === (TimeFlag.mtim | TimeFlag.mtimNow);
  if (isAmbiguous || (flags & ~TimeFlag.all) !== 0) return Errno.inval;
  if (node.readOnly) return Errno.perm;
  const nowNs = state.nowNs();
  if ((flags & TimeFlag.atim) !== 0) node.accessNs = BigInt.asUintN(64, times.access);
  if ((flags & TimeFlag.atimNow) !== 0) node.accessNs = nowNs;
  if ((flags & TimeFlag.mtim) !== 0) node.modifyNs = BigInt.asUintN(64, times.modify);
  if ((flags & TimeFlag.mtimNow) !== 0) node.modifyNs = nowNs;
  node.changeNs = nowNs;
  return Errno.success;
}

/** Writes directory entries until the buffer is full; the last one may be cut off, as the specification has it. */
class DirentWriter {
  used = 0;
  readonly #state: WasiState;
  readonly #pointer: number;
  readonly #length: number;

  constructor(state: WasiState, pointer: number, length: number) {
    this.#state = state;
    this.#pointer = pointer;
    this.#length = length;
  }

  /** False where the buffer is full. */
  add(name: string, node: Node, nextCookie: number): boolean {
    const bytes = encodeUtf8(name);
    const entry = new Uint8Array(DIRENT_BYTES + bytes.length);
    const view = new DataView(entry.buffer);
    view.setBigUint64(0, BigInt(nextCookie), true);
    view.setBigUint64(8, BigInt(node.inode), true);
    view.setUint32(16, bytes.length, true);
    view.setUint8(20, fileType(node));
    entry.set(bytes, DIRENT_BYTES);
    const room = this.#length - this.used;
    const part = entry.length <= room ? entry : entry.subarray(0, room);
    this.#state.memory.copyIn(this.#pointer + this.used, part);
    this.used += part.length;
    return this.used < this.#length;
  }
}

function fileType(node: Descriptor["node"] | Node): number {
  if (typeof node === "string") return FileType.unknown;
  if (node.kind === "directory") return FileType.directory;
  return node.kind === "file" ? FileType.regularFile : FileType.symbolicLink;
}

function sizeOf(node: Node): number {
  if (node.kind === "file") return node.size;
  return node.kind === "symlink" ? node.targetBytes : 0;
}

/** The regular file behind a descriptor that has the right, or an errno. */
function fileWith(state: WasiState, fd: number, right: number): FileNode | number {
  const descriptor = state.descriptors.get(fd);
  if (descriptor === undefined) return Errno.badf;
  const { node } = descriptor;
  if (typeof node === "string") return Errno.spipe;
  if (node.kind === "directory") return Errno.badf;
  return (descriptor.rights & right) === 0 ? Errno.notcapable : node;
}

function seekable(state: WasiState, fd: number, anyOf: number): Descriptor | number {
  const descriptor = state.descriptors.get(fd);
  if (descriptor === undefined) return Errno.badf;
  if (typeof descriptor.node === "string") return Errno.spipe;
  if (descriptor.node.kind === "directory") return Errno.badf;
  return (descriptor.rights & anyOf) === 0 ? Errno.notcapable : descriptor;
}

function resize(state: WasiState, file: FileNode, size: number): number {
  if (file.readOnly) return Errno.perm;
  const errno = file.resize(size, state.options.fs.quota);
  state.chargeMoved();
  if (errno === Errno.success) file.modifyNs = file.changeNs = state.nowNs();
  return errno;
}

function toRights(value: bigint): number | undefined {
  const bits = BigInt.asUintN(64, value);
  return (bits & ~RIGHTS_MASK) === 0n ? Number(bits) : undefined;
}
