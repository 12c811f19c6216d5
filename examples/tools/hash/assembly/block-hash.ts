// What MD5, SHA-1, SHA-256 and SHA-512 share: blocks, padding and the length at the end (Merkle and Damgård).

export abstract class Hash {
  constructor(readonly name: string) {}
  abstract update(data: usize, length: i32): void;
  /** The digest's bytes in hexadecimal. Ends the hash: nothing may be added afterwards. */
  abstract finish(): string;
}

export abstract class BlockHash extends Hash {
  private readonly block: StaticArray<u8>;
  private filled: i32 = 0;
  private total: u64 = 0;

  /** `lengthBytes` is the size of the message's length at the end of the last block. */
  constructor(name: string, blockBytes: i32, private readonly lengthBytes: i32, private readonly isLittle: bool) {
    super(name);
    this.block = new StaticArray<u8>(blockBytes);
  }

  protected abstract compress(block: usize): void;
  protected abstract hex(): string;

  update(data: usize, length: i32): void {
    const size = this.block.length;
    const block = changetype<usize>(this.block);
    this.total += <u64>length;
    while (length > 0) {
      if (this.filled == 0 && length >= size) {
        this.compress(data);
        data += size;
        length -= size;
        continue;
      }
      const count = min(size - this.filled, length);
      memory.copy(block + this.filled, data, count);
      this.filled += count;
      data += count;
      length -= count;
      if (this.filled == size) {
        this.compress(block);
        this.filled = 0;
      }
    }
  }

  finish(): string {
    const size = this.block.length;
    const block = changetype<usize>(this.block);
    const bits = this.total * 8;
    store<u8>(block + this.filled++, 0x80);
    if (this.filled > size - this.lengthBytes) {
      memory.fill(block + this.filled, 0, size - this.filled);
      this.compress(block);
      this.filled = 0;
    }
    // The upper bytes of SHA-512's length of 128 bits stay zero.
    memory.fill(block + this.filled, 0, size - this.filled);
    store<u64>(block + size - 8, this.isLittle ? bits : bswap<u64>(bits));
    this.compress(block);
    return this.hex();
  }
}

export function hex32(word: u32): string {
  return hexDigits(word, 8);
}

export function hex64(word: u64): string {
  return hexDigits(word, 16);
}

function hexDigits(word: u64, count: i32): string {
  let text = "";
  for (let shift = 4 * (count - 1); shift >= 0; shift -= 4) text += "0123456789abcdef".charAt(<i32>((word >> shift) & 15));
  return text;
}
