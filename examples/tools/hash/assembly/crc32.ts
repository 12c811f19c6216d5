// CRC-32 as in ZIP, PNG and gzip (ISO 3309; RFC 1952, section 8).

import { Hash, hex32 } from "./block-hash";

export class Crc32 extends Hash {
  private readonly table: StaticArray<u32> = makeTable();
  private crc: u32 = 0xffffffff;

  constructor() {
    super("crc32");
  }

  update(data: usize, length: i32): void {
    let crc = this.crc;
    for (let i = 0; i < length; i++) crc = this.table[(crc ^ load<u8>(data + i)) & 0xff] ^ (crc >> 8);
    this.crc = crc;
  }

  finish(): string {
    return hex32(~this.crc);
  }
}

function makeTable(): StaticArray<u32> {
  const table = new StaticArray<u32>(256);
  for (let i: u32 = 0; i < 256; i++) {
    let entry = i;
    for (let bit = 0; bit < 8; bit++) entry = entry & 1 ? (entry >> 1) ^ 0xedb88320 : entry >> 1;
    table[i] = entry;
  }
  return table;
}
