import { createWasi, FileSystem, Right, type Wasi, type WasiOptions } from "../../src/wasm/wasi/index.ts";

const HEAP = 4096;

/** All rights that fit in the thirty bits; what does not apply is left out by `path_open`. */
export const ALL_RIGHTS = 0x3fff_ffffn;
export const READ = BigInt(Right.fdRead | Right.fdSeek | Right.fdTell | Right.fdFilestatGet);
export const Creat = 1;
export const Directory = 2;
export const Excl = 4;
export const Trunc = 8;

export interface Stat {
  readonly inode: bigint;
  readonly type: number;
  readonly links: bigint;
  readonly size: bigint;
  readonly accessNs: bigint;
  readonly modifyNs: bigint;
  readonly changeNs: bigint;
}

export interface Dirent {
  readonly next: bigint;
  readonly inode: bigint;
  readonly type: number;
  readonly name: string;
}

/** A thrown errno, so that a test that expects success says what it got. */
export class Failed extends Error {
  readonly errno: number;

  constructor(call: string, errno: number) {
    super(`${call} answered errno ${errno}`);
    this.errno = errno;
  }
}

/**
 * A guest made of JavaScript: a memory of its own and the functions of a real run, called the way a
 * module would call them.
 */
export class Sandbox {
  readonly fs: FileSystem;
  readonly wasi: Wasi;
  readonly memory = new WebAssembly.Memory({ initial: 4, maximum: 64 });
  readonly stdout: Uint8Array[] = [];
  readonly stderr: Uint8Array[] = [];
  #heap = HEAP;

  /** Without a file system given: a writable root, preopened as descriptor 3 named "/". */
  constructor(options: Partial<WasiOptions> = {}) {
    this.fs = options.fs ?? writableFileSystem();
    this.wasi = createWasi({
      args: ["tool"],
      env: {},
      stdin: new Uint8Array(0),
      stdout: (bytes) => void this.stdout.push(bytes),
      stderr: (bytes) => void this.stderr.push(bytes),
      ...options,
      fs: this.fs,
    });
    this.wasi.bind(this.memory);
  }

  get call(): Wasi["imports"] {
    return this.wasi.imports;
  }

  get bytes(): Uint8Array {
    return new Uint8Array(this.memory.buffer);
  }

  get view(): DataView {
    return new DataView(this.memory.buffer);
  }

  /** Takes memory, filled with 0xaa so that what a call leaves alone is seen. Starts over when it is used up. */
  alloc(size: number): number {
    if (this.#heap + size > this.memory.buffer.byteLength) this.#heap = HEAP;
    const at = this.#heap;
    this.#heap += (size + 15) & ~15;
    this.bytes.fill(0xaa, at, at + size);
    return at;
  }

  put(data: string | Uint8Array): { pointer: number; length: number } {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    const pointer = this.alloc(bytes.length);
    this.bytes.set(bytes, pointer);
    return { pointer, length: bytes.length };
  }

  text(pointer: number, length: number): string {
    return new TextDecoder().decode(this.bytes.slice(pointer, pointer + length));
  }

  iovecs(...buffers: readonly { pointer: number; length: number }[]): number {
    const at = this.alloc(buffers.length * 8);
    for (const [index, { pointer, length }] of buffers.entries()) {
      this.view.setUint32(at + index * 8, pointer, true);
      this.view.setUint32(at + index * 8 + 4, length, true);
    }
    return at;
  }

  open(path: string, how: OpenOptions = {}): number {
    const { errno, fd } = this.tryOpen(path, how);
    if (errno !== 0) throw new Failed(`path_open "${path}"`, errno);
    return fd;
  }

  tryOpen(path: string, how: OpenOptions = {}): { errno: number; fd: number } {
    const { pointer, length } = this.put(path);
    const result = this.alloc(4);
    const { dir = 3, follow = true, flags = 0, rights = ALL_RIGHTS, inheriting = ALL_RIGHTS, fdFlags = 0 } = how;
    const lookup = follow ? 1 : 0;
    const errno = this.call.path_open(dir, lookup, pointer, length, flags, rights, inheriting, fdFlags, result);
    return { errno, fd: this.view.getUint32(result, true) };
  }

  openDirectory(path: string, how: OpenOptions = {}): number {
    return this.open(path, { flags: Directory, rights: ALL_RIGHTS & ~BigInt(Right.fdWrite), ...how });
  }

  /** Opens a regular file to read and write. */
  openFile(path: string, how: OpenOptions = {}): number {
    return this.open(path, { flags: Creat, ...how });
  }

  write(fd: number, data: string | Uint8Array): number {
    const { errno, count } = this.tryWrite(fd, data);
    if (errno !== 0) throw new Failed("fd_write", errno);
    return count;
  }

  tryWrite(fd: number, data: string | Uint8Array): { errno: number; count: number } {
    const result = this.alloc(4);
    const errno = this.call.fd_write(fd, this.iovecs(this.put(data)), 1, result);
    if (typeof errno !== "number") throw new TypeError("fd_write answered a promise");
    return { errno, count: this.view.getUint32(result, true) };
  }

  tryPwrite(fd: number, data: string | Uint8Array, offset: bigint): { errno: number; count: number } {
    const result = this.alloc(4);
    const errno = this.call.fd_pwrite(fd, this.iovecs(this.put(data)), 1, offset, result);
    return { errno, count: this.view.getUint32(result, true) };
  }

  read(fd: number, length: number): Uint8Array {
    const buffer = this.alloc(length);
    const result = this.alloc(4);
    const errno = this.call.fd_read(fd, this.iovecs({ pointer: buffer, length }), 1, result);
    if (errno !== 0) throw new Failed("fd_read", errno);
    return this.bytes.slice(buffer, buffer + this.view.getUint32(result, true));
  }

  pread(fd: number, length: number, offset: bigint): Uint8Array {
    const buffer = this.alloc(length);
    const result = this.alloc(4);
    const errno = this.call.fd_pread(fd, this.iovecs({ pointer: buffer, length }), 1, offset, result);
    if (errno !== 0) throw new Failed("fd_pread", errno);
    return this.bytes.slice(buffer, buffer + this.view.getUint32(result, true));
  }

  seek(fd: number, offset: bigint, whence: number): { errno: number; position: bigint } {
    const result = this.alloc(8);
    const errno = this.call.fd_seek(fd, offset, whence, result);
    return { errno, position: this.view.getBigUint64(result, true) };
  }

  stat(path: string, follow = false, dir = 3): Stat {
    const { pointer, length } = this.put(path);
    const result = this.alloc(64);
    const errno = this.call.path_filestat_get(dir, follow ? 1 : 0, pointer, length, result);
    if (errno !== 0) throw new Failed(`path_filestat_get "${path}"`, errno);
    return this.#stat(result);
  }

  fstat(fd: number): Stat {
    const result = this.alloc(64);
    const errno = this.call.fd_filestat_get(fd, result);
    if (errno !== 0) throw new Failed("fd_filestat_get", errno);
    return this.#stat(result);
  }

  fdstat(fd: number): { type: number; flags: number; base: bigint; inheriting: bigint } {
    const at = this.alloc(24);
    const errno = this.call.fd_fdstat_get(fd, at);
    if (errno !== 0) throw new Failed("fd_fdstat_get", errno);
    const { view } = this;
    return {
      type: view.getUint8(at),
      flags: view.getUint16(at + 2, true),
      base: view.getBigUint64(at + 8, true),
      inheriting: view.getBigUint64(at + 16, true),
    };
  }

  readdir(fd: number, cookie = 0n, length = 4096): { entries: Dirent[]; used: number } {
    const buffer = this.alloc(length);
    const result = this.alloc(4);
    const errno = this.call.fd_readdir(fd, buffer, length, cookie, result);
    if (errno !== 0) throw new Failed("fd_readdir", errno);
    const used = this.view.getUint32(result, true);
    const entries: Dirent[] = [];
    for (let at = buffer; at + 24 <= buffer + used;) {
      const nameLength = this.view.getUint32(at + 16, true);
      if (at + 24 + nameLength > buffer + used) break;
      entries.push({
        next: this.view.getBigUint64(at, true),
        inode: this.view.getBigUint64(at + 8, true),
        type: this.view.getUint8(at + 20),
        name: this.text(at + 24, nameLength),
      });
      at += 24 + nameLength;
    }
    return { entries, used };
  }

  /** Calls a function that takes a descriptor and a path and nothing else. */
  onPath(name: "path_create_directory" | "path_remove_directory" | "path_unlink_file", path: string, dir = 3): number {
    const { pointer, length } = this.put(path);
    return this.call[name](dir, pointer, length);
  }

  mkdir(path: string): number {
    return this.onPath("path_create_directory", path);
  }

  symlink(target: string, path: string, dir = 3): number {
    const from = this.put(target);
    const to = this.put(path);
    return this.call.path_symlink(from.pointer, from.length, dir, to.pointer, to.length);
  }

  link(from: string, to: string, options: { flags?: number; fromDir?: number; toDir?: number } = {}): number {
    const a = this.put(from);
    const b = this.put(to);
    const { flags = 0, fromDir = 3, toDir = 3 } = options;
    return this.call.path_link(fromDir, flags, a.pointer, a.length, toDir, b.pointer, b.length);
  }

  rename(from: string, to: string, options: { fromDir?: number; toDir?: number } = {}): number {
    const a = this.put(from);
    const b = this.put(to);
    return this.call.path_rename(options.fromDir ?? 3, a.pointer, a.length, options.toDir ?? 3, b.pointer, b.length);
  }

  readlink(path: string, length = 256): { errno: number; target: string } {
    const { pointer, length: pathLength } = this.put(path);
    const buffer = this.alloc(length);
    const result = this.alloc(4);
    const errno = this.call.path_readlink(3, pointer, pathLength, buffer, length, result);
    return { errno, target: errno === 0 ? this.text(buffer, this.view.getUint32(result, true)) : "" };
  }

  output(): string {
    return joined(this.stdout);
  }

  #stat(at: number): Stat {
    const { view } = this;
    return {
      inode: view.getBigUint64(at + 8, true),
      type: view.getUint8(at + 16),
      links: view.getBigUint64(at + 24, true),
      size: view.getBigUint64(at + 32, true),
      accessNs: view.getBigUint64(at + 40, true),
      modifyNs: view.getBigUint64(at + 48, true),
      changeNs: view.getBigUint64(at + 56, true),
    };
  }
}

export interface OpenOptions {
  readonly dir?: number;
  readonly follow?: boolean;
  readonly flags?: number;
  readonly rights?: bigint;
  readonly inheriting?: bigint;
  readonly fdFlags?: number;
}

export function writableFileSystem(): FileSystem {
  const fs = new FileSystem({ readOnlyRoot: false });
  fs.preopen("/");
  return fs;
}

export function joined(pieces: readonly Uint8Array[]): string {
  const decoder = new TextDecoder();
  return pieces.map((piece) => decoder.decode(piece, { stream: true })).join("") + decoder.decode();
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
