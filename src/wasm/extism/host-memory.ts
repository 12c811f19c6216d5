import { AbiTrap } from "../wasi/index.ts";

/** Addresses of two blocks are this far apart, so that block and offset come apart without 64-bit arithmetic. */
const stride = 2 ** 32;
/** What the host holds for a block besides its bytes, by estimate. */
const blockOverheadBytes = 128;
/** What stays of a freed block. */
const slotBytes = 16;
const maxBlocks = 2 ** 20;
/** So many others are freed before an address is given out again. */
const quarantine = 2 ** 14;

/** Thrown where the plug-in asks for more host memory than its limit allows; ends the plug-in. */
export class HostMemoryLimit {
  readonly message = "the plug-in's host memory is used up";
}

interface Block {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
}

/**
 * The memory that a plug-in and its host share: blocks that the plug-in reads and writes by host calls. One per call.
 *
 * It stands in place of the one of Extism's SDK, which ends after 32,767 blocks, allocates before it looks at its limit, and ignores
 * writes outside a block. A freed address comes back late, so a stale one is a trap and not another block's data.
 */
export class HostMemory {
  readonly maxBytes: number;
  readonly #fail: (error: AbiTrap | HostMemoryLimit) => never;
  readonly #blocks: (Block | undefined)[] = [undefined];
  /** Freed addresses in the order of their freeing; those before `#reused` are in use again. */
  readonly #freed: number[] = [];
  #reused = 0;
  #used = 0;
  #peak = 0;

  /** @param fail hears of what ends the plug-in, and throws it */
  constructor(maxBytes: number, fail: (error: AbiTrap | HostMemoryLimit) => never) {
    this.maxBytes = maxBytes;
    this.#fail = fail;
  }

  get peakBytes(): number {
    return this.#peak;
  }

  /** Counts bytes that are held for the plug-in; negative ones are given back. Ends the plug-in beyond the limit. */
  charge(bytes: number): void {
    if (this.#used + bytes > this.maxBytes) this.#fail(new HostMemoryLimit());
    this.#used += bytes;
    if (this.#used > this.#peak) this.#peak = this.#used;
  }

  /** The address of a new block of zeros. */
  allocate(size: bigint): bigint {
    const length = Number(size);
    if (length < 0) this.#fail(new HostMemoryLimit());
    const index = this.#nextIndex();
    const isNew = index === this.#blocks.length;
    this.charge(length + blockOverheadBytes + (isNew ? slotBytes : 0));
    const bytes = new Uint8Array(length);
    this.#blocks[index] = { bytes, view: new DataView(bytes.buffer) };
    return BigInt(index * stride);
  }

  #nextIndex(): number {
    const waiting = this.#freed.length - this.#reused;
    if (waiting <= quarantine) {
      if (this.#blocks.length === maxBlocks) this.#fail(new HostMemoryLimit());
      return this.#blocks.length;
    }
    const index = this.#freed[this.#reused] ?? this.#blocks.length;
    this.#reused++;
    if (this.#reused === quarantine) {
      this.#freed.splice(0, this.#reused);
      this.#reused = 0;
    }
    return index;
  }

  store(content: Uint8Array): bigint {
    const address = this.allocate(BigInt(content.length));
    this.block(address).set(content);
    return address;
  }

  /** An address that is no block's is left alone: a plug-in may free what the host has freed already. */
  free(address: bigint): void {
    const index = Number(address) / stride;
    const block = this.#blocks[index];
    if (block === undefined) return;
    this.#blocks[index] = undefined;
    this.#freed.push(index);
    this.charge(-(block.bytes.length + blockOverheadBytes));
  }

  /** The length of the block that begins here; 0 where none does. */
  length(address: bigint): bigint {
    return BigInt(this.#blocks[Number(address) / stride]?.bytes.length ?? 0);
  }

  /** The block that begins here; ends the plug-in where none does. */
  block(address: bigint): Uint8Array<ArrayBuffer> {
    const block = this.#blocks[Number(address) / stride];
    if (block === undefined) return this.#fail(new AbiTrap(`Cannot use the address ${address}: no block begins there`));
    return block.bytes;
  }

  loadU8(address: bigint): number {
    const at = Number(address);
    const index = Math.floor(at / stride);
    return this.#viewOf(index, at - index * stride + 1).getUint8(at - index * stride);
  }

  loadU64(address: bigint): bigint {
    const at = Number(address);
    const index = Math.floor(at / stride);
    return this.#viewOf(index, at - index * stride + 8).getBigUint64(at - index * stride, true);
  }

  storeU8(address: bigint, value: number): void {
    const at = Number(address);
    const index = Math.floor(at / stride);
    this.#viewOf(index, at - index * stride + 1).setUint8(at - index * stride, value);
  }

  storeU64(address: bigint, value: bigint): void {
    const at = Number(address);
    const index = Math.floor(at / stride);
    this.#viewOf(index, at - index * stride + 8).setBigUint64(at - index * stride, value, true);
  }

  /** The block of an access that ends before this offset. */
  #viewOf(index: number, end: number): DataView<ArrayBuffer> {
    const block = this.#blocks[index];
    if (block !== undefined && end <= block.bytes.length) return block.view;
    return this.#fail(new AbiTrap("Cannot use an address that is outside every block"));
  }
}
