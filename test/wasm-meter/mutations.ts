import type { Choices } from "./choices.ts";

/** Where each section begins and ends, its id and its size included. */
function sectionsOf(bytes: Uint8Array): [start: number, end: number][] {
  const found: [number, number][] = [];
  for (let at = 8; at < bytes.length;) {
    let size = 0;
    let next = at + 1;
    for (let shift = 0; next < bytes.length; shift += 7) {
      const byte = bytes[next++] ?? 0;
      size += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    found.push([at, Math.min(next + size, bytes.length)]);
    at = next + size;
  }
  return found;
}

function splice(bytes: Uint8Array, at: number, removed: number, added: Uint8Array): Uint8Array {
  return Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + removed)]);
}

function pickSection(bytes: Uint8Array, choices: Choices): [start: number, end: number] {
  const sections = sectionsOf(bytes);
  return sections.length === 0 ? [0, bytes.length] : choices.pick(sections);
}

const wildBytes = [0x00, 0x01, 0x40, 0x60, 0x63, 0x64, 0x69, 0x6f, 0x70, 0x7f, 0x80, 0xfb, 0xfc, 0xfd, 0xfe, 0xff, 0x05, 0x0b] as const;
const oddNumbers = [
  [0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
  [0xff, 0xff, 0xff, 0xff, 0x7f],
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0xff, 0xff, 0xff, 0xff, 0x07],
  [0x80],
  [0x80, 0x80, 0x80, 0x80, 0x10],
  [0x80, 0x80, 0x04],
] as const;

type Mutation = (bytes: Uint8Array, choices: Choices, other: Uint8Array) => Uint8Array;

const mutations: Readonly<Record<string, Mutation>> = {
  truncated: (bytes, choices) => bytes.slice(0, choices.below(bytes.length)),
  "a bit flipped": (bytes, choices) => {
    const at = choices.below(bytes.length);
    const mutant = bytes.slice();
    mutant[at] = (mutant[at] ?? 0) ^ (1 << choices.below(8));
    return mutant;
  },
  "wild bytes": (bytes, choices) => {
    const mutant = bytes.slice();
    for (let left = choices.between(1, 4); left > 0; left--) mutant[choices.below(mutant.length)] = choices.pick(wildBytes);
    return mutant;
  },
  "wild bytes at the head of a section": (bytes, choices) => {
    const [start] = pickSection(bytes, choices);
    const mutant = bytes.slice();
    mutant[Math.min(start + choices.below(12), mutant.length - 1)] = choices.pick(wildBytes);
    return mutant;
  },
  "sections in another order": (bytes, choices) => {
    const [a, b] = [pickSection(bytes, choices), pickSection(bytes, choices)];
    const parts = sectionsOf(bytes).map((one) => (one[0] === a[0] ? b : one[0] === b[0] ? a : one));
    return Buffer.concat([bytes.subarray(0, 8), ...parts.map(([start, end]) => bytes.subarray(start, end))]);
  },
  "a section twice or gone": (bytes, choices) => {
    const [start, end] = pickSection(bytes, choices);
    return choices.once(2) ? splice(bytes, start, end - start, new Uint8Array(0)) : splice(bytes, start, 0, bytes.subarray(start, end));
  },
  "another module's section": (bytes, choices, other) => {
    const [start, end] = pickSection(bytes, choices);
    const [from, to] = pickSection(other, choices);
    return splice(bytes, start, end - start, other.subarray(from, to));
  },
  "another section's id": (bytes, choices) => {
    const [start] = pickSection(bytes, choices);
    const mutant = bytes.slice();
    mutant[start] = choices.below(20);
    return mutant;
  },
  "an odd number": (bytes, choices) => {
    const [start, end] = pickSection(bytes, choices);
    const at = choices.once(2) ? start + 1 : start + choices.below(end - start);
    return splice(bytes, at, 1, Uint8Array.from(choices.pick(oddNumbers)));
  },
  "bytes put in or taken out": (bytes, choices) => {
    const added = Uint8Array.from({ length: choices.below(8) }, () => choices.below(256));
    return splice(bytes, choices.below(bytes.length), choices.below(8), added);
  },
};

/** Bytes that are a module no longer, or another one. */
export function mutate(bytes: Uint8Array, choices: Choices, other: Uint8Array): Uint8Array<ArrayBuffer> {
  const mutation = choices.pick(Object.values(mutations));
  return Uint8Array.from(mutation(bytes, choices, other));
}

/** Bytes that are a module still, or nothing where so many tries gave none. */
export function mutateValid(bytes: Uint8Array, choices: Choices, tries: number): Uint8Array<ArrayBuffer> | undefined {
  for (let left = tries; left > 0; left--) {
    const mutant = Uint8Array.from(bytes);
    const at = choices.below(mutant.length);
    mutant[at] = choices.once(2) ? choices.below(256) : ((mutant[at] ?? 0) + choices.pick([1, 255, 2, 254])) % 256;
    if (WebAssembly.validate(mutant)) return mutant;
  }
  return undefined;
}
