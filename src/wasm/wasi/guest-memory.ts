import { AbiTrap } from "./signals.ts";

// Zero bytes long, so there is nothing in them that could be shared or changed.
const NO_BUFFER = new ArrayBuffer(0);
const NO_BYTES = new Uint8Array(NO_BUFFER);
const NO_VIEW = new DataView(NO_BUFFER);

/** At most this many buffers of one scatter or gather call are served; the rest is a short read or write. */
const MAX_IOVECS = 1024;
/** So many bytes go in one call, the rest is a short read or write: nothing else of the host runs in the middle of a call. */
const MAX_TRANSFER_BYTES = 4 * 1024 * 1024;
/** At most this many entries are looked at, empty ones included. */
const MAX_IOVEC_SCAN = 65_536;

export interface GuestListener {
  /** See `WasiOptions.called`. */
  readonly called?: () => void;
  /** See `WasiOptions.ended`. */
  readonly ended?: () => void;
}

/**
 * The guest's linear memory. Every pointer is checked here before the host touches a byte: outside the
 * memory is an {@link AbiTrap} (threat: a guest that aims the host at what is not its own).
 *
 * Pointers arrive as signed 32-bit numbers; callers pass them through `>>> 0`. Sums of two such numbers
 * are exact in a double, so `ptr + length` cannot wrap.
 */
export class GuestMemory {
  /** The whole memory. Valid until the guest runs again: growth detaches it. */
  bytes: Uint8Array<ArrayBuffer> = NO_BYTES;
  view: DataView<ArrayBuffer> = NO_VIEW;
  /** The buffers of the last {@link GuestMemory.readIovecs}: pointer at 2n, length at 2n + 1. */
  readonly iovecs: number[] = [];
  #memory: WebAssembly.Memory | undefined;
  #buffer: ArrayBuffer = NO_BUFFER;
  #ended: { readonly reason: unknown } | undefined;
  readonly #listener: GuestListener;

  constructor(listener: GuestListener = {}) {
    this.#listener = listener;
  }

  bind(memory: WebAssembly.Memory): void {
    this.#memory = memory;
  }

  /** What the guest was ended with, if it was. */
  get ended(): unknown {
    return this.#ended?.reason;
  }

  /**
   * Ends the guest: throws, and from here on every call throws the same, because a guest can catch a throw
   * and go on (threat: `catch_all` around `proc_exit`, a trap or a limit).
   */
  end(reason: unknown): never {
    if (this.#ended === undefined) {
      this.#ended = { reason };
      this.#memory = undefined;
      this.#listener.ended?.();
    }
    throw this.#ended.reason;
  }

  /** Must be called before the first access of each WASI call, and after each wait in one; growth replaces the buffer. */
  refresh(): void {
    const memory = this.#memory;
    this.#listener.called?.();
    if (memory === undefined) this.end(this.ended ?? new AbiTrap("Cannot call WASI: no memory is bound"));
    const buffer = memory.buffer;
    if (buffer !== this.#buffer) {
      this.#buffer = buffer;
      this.bytes = new Uint8Array(buffer);
      this.view = new DataView(buffer);
    }
  }

  /** Throws unless `length` bytes at `pointer` lie inside the memory. No bytes lie everywhere. */
  check(pointer: number, length: number): void {
    if (pointer + length > this.bytes.length && length > 0) {
      const message = `Cannot access ${length} bytes at address ${pointer}: the memory has ${this.bytes.length} bytes`;
      this.end(new AbiTrap(message));
    }
  }

  getU32(pointer: number): number {
    this.check(pointer, 4);
    return this.view.getUint32(pointer, true);
  }

  setU32(pointer: number, value: number): void {
    this.check(pointer, 4);
    this.view.setUint32(pointer, value, true);
  }

  setU64(pointer: number, value: bigint): void {
    this.check(pointer, 8);
    this.view.setBigUint64(pointer, value, true);
  }

  /** A copy that the guest cannot change any more, never backed by shared memory. */
  copyOut(pointer: number, length: number): Uint8Array<ArrayBuffer> {
    this.check(pointer, length);
    const copy = new Uint8Array(length);
    copy.set(this.bytes.subarray(pointer, pointer + length));
    return copy;
  }

  copyIn(pointer: number, source: Uint8Array): void {
    this.check(pointer, source.length);
    this.bytes.set(source, pointer);
  }

  /**
   * Reads an array of buffers into {@link GuestMemory.iovecs}, each entry once, and checks all of them.
   * Empty buffers are left out. The total is at most the size of the memory, and four mebibytes; what is
   * beyond is a short read or write.
   *
   * @returns the total number of bytes
   */
  readIovecs(pointer: number, count: number): number {
    this.check(pointer, count * 8);
    const { iovecs, view } = this;
    const size = Math.min(this.bytes.length, MAX_TRANSFER_BYTES);
    iovecs.length = 0;
    let total = 0;
    const scanned = count < MAX_IOVEC_SCAN ? count : MAX_IOVEC_SCAN;
    for (let index = 0; index < scanned; index++) {
      const at = pointer + index * 8;
      const start = view.getUint32(at, true);
      let length = view.getUint32(at + 4, true);
      if (length === 0) continue;
      this.check(start, length);
      if (length > size - total) length = size - total;
      if (length === 0 || iovecs.length === MAX_IOVECS * 2) break;
      iovecs.push(start, length);
      total += length;
    }
    return total;
  }
}
