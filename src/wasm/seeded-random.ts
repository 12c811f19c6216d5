/** Rounds that are thrown away before the first number, as PractRand does after seeding. */
const warmUp = 12;

/**
 * Makes a generator of random bytes from a text: sfc32 of PractRand 0.95 (https://pracrand.sourceforge.net/RNG_engines.txt),
 * whose words a, b and c are the first twelve bytes, little-endian, of the SHA-256 of the text as UTF-8, and whose counter
 * begins at 1. Each fill takes whole words of four bytes, little-endian; what is left of the last is thrown away.
 *
 * For runs that must be the same again, and for nothing that must not be guessed.
 */
export async function seededRandom(seed: string): Promise<(target: Uint8Array<ArrayBuffer>) => void> {
  const hash = new DataView(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(seed)));
  let [a, b, c, counter] = [hash.getInt32(0, true), hash.getInt32(4, true), hash.getInt32(8, true), 1];
  const next = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum;
  };
  for (let round = 0; round < warmUp; round++) next();
  return (target) => {
    for (let at = 0; at < target.length; at += 4) {
      const word = next();
      for (let byte = 0; byte < 4 && at + byte < target.length; byte++) target[at + byte] = word >>> (byte * 8);
    }
  };
}
