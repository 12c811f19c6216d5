// A box blur over a picture of three channels, 128x128, n times: two passes, each with a running sum.

const width: i32 = 128;
const height: i32 = 128;
const radius: i32 = 3;

/** Blurs along lines of `length` pixels that are `step` bytes apart; the edge pixels repeat outwards. */
function blurLines(from: Uint8Array, to: Uint8Array, lines: i32, lineStep: i32, length: i32, step: i32): void {
  const scale = 2 * radius + 1;
  for (let line = 0; line < lines; line++) {
    for (let channel = 0; channel < 3; channel++) {
      const start = line * lineStep + channel;
      let sum: i32 = 0;
      for (let i = -radius; i <= radius; i++) sum += from[start + max(i, 0) * step];
      for (let i = 0; i < length; i++) {
        to[start + i * step] = u8(sum / scale);
        sum += i32(from[start + min(i + radius + 1, length - 1) * step]) - i32(from[start + max(i - radius, 0) * step]);
      }
    }
  }
}

export function run(n: i32): i32 {
  const image = new Uint8Array(width * height * 3);
  const spare = new Uint8Array(width * height * 3);
  let seed: u32 = 13;
  for (let i = 0; i < image.length; i++) {
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    image[i] = u8(seed >> 8);
  }
  let sum: u32 = 0;
  for (let round = 0; round < n; round++) {
    blurLines(image, spare, height, width * 3, width, 3);
    blurLines(spare, image, width, 3, height, width * 3);
    image[round % image.length] ^= 255;
    sum = sum * 31 + image[(round * 97) % image.length];
  }
  for (let i = 0; i < image.length; i++) sum = sum * 31 + image[i];
  return i32(sum);
}
