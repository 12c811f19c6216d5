/** Makes malformed modules of good ones. */

/** A generator of its own, so that a failure can be had again (mulberry32). */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

type Random = ReturnType<typeof randomFrom>;

/** Where each section begins and ends, its id and size included. */
function sectionsOf(bytes: Uint8Array): [number, number][] {
  const found: [number, number][] = [];
  for (let at = 8; at < bytes.length;) {
    let size = 0;
    let next = at + 1;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[next++] ?? 0;
      size += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    found.push([at, next + size]);
    at = next + size;
  }
  return found;
}

function splice(bytes: Uint8Array, at: number, removed: number, added: Uint8Array): Uint8Array {
  return Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + removed)]);
}

const wildBytes = [0x00, 0x7f, 0x80, 0xff, 0x40, 0x60, 0x70, 0x6f, 0x05, 0x0b];
const badLebs = [
  [0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
  [0xff, 0xff, 0xff, 0xff, 0x7f],
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0x80],
  [0x80, 0x80, 0x80, 0x80, 0x10],
];

const mutations: Record<string, (bytes: Uint8Array, random: Random) => Uint8Array> = {
  truncated: (bytes, random) => bytes.slice(0, random(bytes.length)),
  "a bit flipped": (bytes, random) => {
    const mutant = bytes.slice();
    const at = random(mutant.length);
    mutant[at] = (mutant[at] ?? 0) ^ (1 << random(8));
    return mutant;
  },
  "bytes flipped in the head": (bytes, random) => {
    const mutant = bytes.slice();
    for (let count = 0; count < 3; count++) mutant[random(Math.min(mutant.length, 400))] = wildBytes[random(wildBytes.length)] ?? 0;
    return mutant;
  },
  "sections in another order": (bytes, random) => {
    const sections = sectionsOf(bytes);
    const [a, b] = [sections[random(sections.length)], sections[random(sections.length)]];
    if (a === undefined || b === undefined) return bytes;
    const parts = sections.map((one) => (one === a ? b : one === b ? a : one));
    return Buffer.concat([bytes.subarray(0, 8), ...parts.map(([start, end]) => bytes.subarray(start, end))]);
  },
  "a section twice or gone": (bytes, random) => {
    const sections = sectionsOf(bytes);
    const [start, end] = sections[random(sections.length)] ?? [8, 8];
    return random(2) === 0 ? splice(bytes, start, end - start, new Uint8Array(0)) : splice(bytes, start, 0, bytes.subarray(start, end));
  },
  "a bad number": (bytes, random) => {
    const sections = sectionsOf(bytes);
    const [start, end] = sections[random(sections.length)] ?? [8, 8];
    const at = random(2) === 0 ? start + 1 : start + random(Math.min(end - start, 64));
    return splice(bytes, at, 1, Uint8Array.from(badLebs[random(badLebs.length)] ?? []));
  },
  "bytes put in or taken out": (bytes, random) => {
    const added = Uint8Array.from({ length: random(8) }, () => random(256));
    return splice(bytes, random(bytes.length), random(8), added);
  },
  "another section's id": (bytes, random) => {
    const sections = sectionsOf(bytes);
    const mutant = bytes.slice();
    mutant[sections[random(sections.length)]?.[0] ?? 8] = random(20);
    return mutant;
  },
};

/** Mutates in one of these ways at a time, the same ones in the same order for the same seed. */
export function mutator(seed: number): (bytes: Uint8Array) => Uint8Array {
  const random = randomFrom(seed);
  const kinds = Object.values(mutations);
  return (bytes) => kinds[random(kinds.length)]?.(bytes, random) ?? bytes;
}
