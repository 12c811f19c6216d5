// SHA-256 (FIPS 180-4, section 6.2).

import { BlockHash, hex32 } from "./block-hash";

// The first 32 bits of the fractions of the cube roots of the first 64 primes.
const constants: StaticArray<u32> = [
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

export class Sha256 extends BlockHash {
  // The same of the square roots of the first 8 primes.
  private readonly state: StaticArray<u32> = [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
  ];
  private readonly words: StaticArray<u32> = new StaticArray<u32>(64);

  constructor() {
    super("sha256", 64, 8, false);
  }

  protected compress(block: usize): void {
    this.expand(block);
    const s = this.state;
    const w = this.words;
    let a = s[0];
    let b = s[1];
    let c = s[2];
    let d = s[3];
    let e = s[4];
    let f = s[5];
    let g = s[6];
    let h = s[7];
    for (let i = 0; i < 64; i++) {
      const big1 = rotr<u32>(e, 6) ^ rotr<u32>(e, 11) ^ rotr<u32>(e, 25);
      const one = h + big1 + ((e & f) ^ (~e & g)) + constants[i] + w[i];
      const big0 = rotr<u32>(a, 2) ^ rotr<u32>(a, 13) ^ rotr<u32>(a, 22);
      const two = big0 + ((a & b) ^ (a & c) ^ (b & c));
      h = g;
      g = f;
      f = e;
      e = d + one;
      d = c;
      c = b;
      b = a;
      a = one + two;
    }
    s[0] += a;
    s[1] += b;
    s[2] += c;
    s[3] += d;
    s[4] += e;
    s[5] += f;
    s[6] += g;
    s[7] += h;
  }

  protected hex(): string {
    let text = "";
    for (let i = 0; i < 8; i++) text += hex32(this.state[i]);
    return text;
  }

  private expand(block: usize): void {
    const w = this.words;
    for (let i = 0; i < 16; i++) w[i] = bswap<u32>(load<u32>(block + (i << 2)));
    for (let i = 16; i < 64; i++) {
      const far = w[i - 15];
      const near = w[i - 2];
      const small0 = rotr<u32>(far, 7) ^ rotr<u32>(far, 18) ^ (far >> 3);
      const small1 = rotr<u32>(near, 17) ^ rotr<u32>(near, 19) ^ (near >> 10);
      w[i] = w[i - 16] + small0 + w[i - 7] + small1;
    }
  }
}
