// SHA-1 (FIPS 180-4, section 6.1). Broken for signatures; still what Git names its objects by.

import { BlockHash, hex32 } from "./block-hash";

export class Sha1 extends BlockHash {
  private readonly state: StaticArray<u32> = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
  private readonly words: StaticArray<u32> = new StaticArray<u32>(80);

  constructor() {
    super("sha1", 64, 8, false);
  }

  protected compress(block: usize): void {
    const w = this.words;
    for (let i = 0; i < 16; i++) w[i] = bswap<u32>(load<u32>(block + (i << 2)));
    for (let i = 16; i < 80; i++) w[i] = rotl<u32>(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    const s = this.state;
    let a = s[0];
    let b = s[1];
    let c = s[2];
    let d = s[3];
    let e = s[4];
    for (let i = 0; i < 80; i++) {
      let mixed: u32;
      if (i < 20) mixed = ((b & c) | (~b & d)) + 0x5a827999;
      else if (i < 40) mixed = (b ^ c ^ d) + 0x6ed9eba1;
      else if (i < 60) mixed = ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
      else mixed = (b ^ c ^ d) + 0xca62c1d6;
      const sum = rotl<u32>(a, 5) + mixed + e + w[i];
      e = d;
      d = c;
      c = rotl<u32>(b, 30);
      b = a;
      a = sum;
    }
    s[0] += a;
    s[1] += b;
    s[2] += c;
    s[3] += d;
    s[4] += e;
  }

  protected hex(): string {
    let text = "";
    for (let i = 0; i < 5; i++) text += hex32(this.state[i]);
    return text;
  }
}
