import { Errno, FdFlag, Right } from "./abi.ts";
import { FileNode } from "./nodes.ts";
import type { WasiState } from "./state.ts";

/** What a stream's callback gets at most in one piece, so that a huge write is not copied as a whole. */
const STREAM_PIECE_BYTES = 1024 * 1024;

/** As many as are looked at. */
const MAX_CHARGED_BUFFERS = 65_536;

type StreamCallback = WasiState["options"]["stdout"];

interface Transfer {
  readonly iovecs: number;
  readonly count: number;
  readonly result: number;
}

export function fdRead(state: WasiState, fd: number, transfer: Transfer): number {
  const { memory } = state;
  memory.refresh();
  const descriptor = state.descriptors.get(fd);
  if (descriptor === undefined || (descriptor.rights & Right.fdRead) === 0) return Errno.badf;
  const { node } = descriptor;
  if (node instanceof FileNode) {
    const read = readFile(state, node, { ...transfer, offset: descriptor.offset });
    descriptor.offset += read;
    return Errno.success;
  }
  if (node !== "stdin") return Errno.badf;
  memory.check(transfer.result, 4);
  memory.readIovecs(transfer.iovecs, transfer.count);
  const { iovecs } = memory;
  const { stdin } = state.options;
  const start = state.stdinOffset;
  let offset = start;
  for (let index = 0; index < iovecs.length && offset < stdin.length; index += 2) {
    const pointer = iovecs[index] ?? 0;
    const length = Math.min(iovecs[index + 1] ?? 0, stdin.length - offset);
    memory.bytes.set(stdin.subarray(offset, offset + length), pointer);
    offset += length;
  }
  state.stdinOffset = offset;
  memory.setU32(transfer.result, offset - start);
  chargeTransfer(state, offset - start, transfer.count);
  return Errno.success;
}

export function fdPread(state: WasiState, fd: number, transfer: Transfer & { offset: bigint }): number {
  state.memory.refresh();
  const descriptor = state.descriptors.get(fd);
  if (descriptor === undefined) return Errno.badf;
  if (typeof descriptor.node === "string") return Errno.spipe;
  if ((descriptor.rights & Right.fdRead) === 0 || !(descriptor.node instanceof FileNode)) return Errno.badf;
  if ((descriptor.rights & Right.fdSeek) === 0) return Errno.notcapable;
  if (transfer.offset < 0n) return Errno.inval;
  readFile(state, descriptor.node, { ...transfer, offset: Number(transfer.offset) });
  return Errno.success;
}

export function fdWrite(state: WasiState, fd: number, transfer: Transfer): number | Promise<number> {
  const { memory } = state;
  memory.refresh();
  const descriptor = state.descriptors.get(fd);
  if (descriptor === undefined || (descriptor.rights & Right.fdWrite) === 0) return Errno.badf;
  const { node } = descriptor;
  if (node instanceof FileNode) {
    const offset = (descriptor.flags & FdFlag.append) === 0 ? descriptor.offset : node.size;
    const written = writeFile(state, node, { ...transfer, offset });
    if (written < 0) return -written;
    descriptor.offset = offset + written;
    return Errno.success;
  }
  if (node !== "stdout" && node !== "stderr") return Errno.badf;
  memory.check(transfer.result, 4);
  const total = memory.readIovecs(transfer.iovecs, transfer.count);
  const { isCongested } = state.options;
  if (total > 0 && isCongested?.() === true) return Errno.again;
  chargeTransfer(state, total, transfer.count);
  memory.setU32(transfer.result, total);
  const write = node === "stdout" ? state.options.stdout : state.options.stderr;
  if (total > STREAM_PIECE_BYTES)
    return writePieces(state, write, { iovecs: [...memory.iovecs], index: 0, written: 0, result: transfer.result });
  if (total === 0) return Errno.success;
  const pending = deliver(state, write, gather(state, total));
  return pending === undefined ? Errno.success : pending.then(succeed);
}

export function fdPwrite(state: WasiState, fd: number, transfer: Transfer & { offset: bigint }): number {
  state.memory.refresh();
  const descriptor = state.descriptors.get(fd);
  if (descriptor === undefined) return Errno.badf;
  if (typeof descriptor.node === "string") return Errno.spipe;
  if ((descriptor.rights & Right.fdWrite) === 0 || !(descriptor.node instanceof FileNode)) return Errno.badf;
  if ((descriptor.rights & Right.fdSeek) === 0) return Errno.notcapable;
  if (transfer.offset < 0n) return Errno.inval;
  // Linux, unlike POSIX: a file that is open for appending is appended to whatever the offset.
  const offset = (descriptor.flags & FdFlag.append) === 0 ? Number(transfer.offset) : descriptor.node.size;
  const written = writeFile(state, descriptor.node, { ...transfer, offset });
  return written < 0 ? -written : Errno.success;
}

/** Reads into the guest's buffers and stores the count; returns it. */
function readFile(state: WasiState, file: FileNode, transfer: Transfer & { offset: number }): number {
  const { memory } = state;
  memory.check(transfer.result, 4);
  memory.readIovecs(transfer.iovecs, transfer.count);
  const { iovecs } = memory;
  let read = 0;
  for (let index = 0; index < iovecs.length; index += 2) {
    const pointer = iovecs[index] ?? 0;
    const length = iovecs[index + 1] ?? 0;
    const count = file.read(transfer.offset + read, memory.bytes, pointer, length);
    read += count;
    if (count < length) break;
  }
  memory.setU32(transfer.result, read);
  chargeTransfer(state, read, transfer.count);
  return read;
}

/** Writes the guest's buffers and stores the count; returns it, or an errno as a negative number. */
function writeFile(state: WasiState, file: FileNode, transfer: Transfer & { offset: number }): number {
  const { memory } = state;
  memory.check(transfer.result, 4);
  const total = memory.readIovecs(transfer.iovecs, transfer.count);
  chargeTransfer(state, total, transfer.count);
  if (total === 0) {
    memory.setU32(transfer.result, 0);
    return 0;
  }
  if (transfer.offset + total > Number.MAX_SAFE_INTEGER) return -Errno.fbig;
  const room = file.reserve(transfer.offset, total, state.options.fs.quota);
  state.chargeMoved();
  if (room === 0) return -Errno.nospc;
  const { iovecs } = memory;
  let written = 0;
  for (let index = 0; index < iovecs.length && written < room; index += 2) {
    const pointer = iovecs[index] ?? 0;
    const length = Math.min(iovecs[index + 1] ?? 0, room - written);
    file.write(transfer.offset + written, memory.bytes, pointer, length);
    written += length;
  }
  file.modifyNs = file.changeNs = state.nowNs();
  memory.setU32(transfer.result, written);
  return written;
}

/** For what was moved, and for buffers that were looked at beside the first. */
function chargeTransfer(state: WasiState, bytes: number, buffers: number): void {
  state.charge((bytes + Math.min(Math.max(buffers - 1, 0), MAX_CHARGED_BUFFERS)) / 16);
}

/** One fresh copy of all the buffers of the last `readIovecs`. */
function gather(state: WasiState, total: number): Uint8Array<ArrayBuffer> {
  const { iovecs, bytes } = state.memory;
  const copy = new Uint8Array(total);
  let at = 0;
  for (let index = 0; index < iovecs.length; index += 2) {
    const pointer = iovecs[index] ?? 0;
    const length = iovecs[index + 1] ?? 0;
    copy.set(bytes.subarray(pointer, pointer + length), at);
    at += length;
  }
  return copy;
}

/** What the callback throws, or rejects with, ends the guest. */
function deliver(state: WasiState, write: StreamCallback, bytes: Uint8Array<ArrayBuffer>): Promise<void> | undefined {
  try {
    const pending = write(bytes);
    return pending === undefined ? undefined : pending.catch((error: unknown) => state.memory.end(error));
  } catch (error) {
    return state.memory.end(error);
  }
}

interface Pieces {
  readonly iovecs: readonly number[];
  index: number;
  written: number;
  /** Where the number of bytes goes that were taken. */
  readonly result: number;
}

/** Hands over a large write in pieces, one after the other; goes on in the background where one must wait. */
function writePieces(state: WasiState, write: StreamCallback, rest: Pieces): number | Promise<number> {
  const { isCongested } = state.options;
  for (; rest.index < rest.iovecs.length; rest.index += 2) {
    const start = rest.iovecs[rest.index] ?? 0;
    const end = start + (rest.iovecs[rest.index + 1] ?? 0);
    for (let at = start; at < end; at += STREAM_PIECE_BYTES) {
      state.memory.refresh();
      if (isCongested?.() === true) {
        state.memory.setU32(rest.result, rest.written);
        return Errno.success;
      }
      const length = Math.min(STREAM_PIECE_BYTES, end - at);
      const pending = deliver(state, write, state.memory.copyOut(at, length));
      rest.written += length;
      if (pending === undefined) continue;
      const tail = at + length < end ? [at + length, end - at - length] : [];
      const iovecs = [...tail, ...rest.iovecs.slice(rest.index + 2)];
      return pending.then(() => writePieces(state, write, { ...rest, iovecs, index: 0 }));
    }
  }
  return Errno.success;
}

function succeed(): number {
  return Errno.success;
}
