import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { createRuntime, defineTool, ToolRuntimeError } from "../../src/index.ts";
import { wasm } from "../../src/wasm/index.ts";

/** What is still a good module is run, in a way that may loop for ever: so for a moment only. */
const runtime = createRuntime({
  backend: wasm({ maxCacheBytes: 2 ** 20 }),
  security: "standard",
  timeout: 20,
  resources: { memory: "16Mi" },
});

async function outcomeOf(bytes: Uint8Array): Promise<string> {
  const tool = await defineTool(
    { name: "mutant", version: "1.0.0", description: "A mutant", inputSchema: true, artifacts: { wasm: { abi: "wasi-p1" } } },
    { wasm: bytes },
  );
  try {
    return (await runtime.execute({ tool })).exit.kind;
  } catch (error) {
    return error instanceof ToolRuntimeError ? error.code : `${error}`;
  }
}

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

function filesIn(folder: string): string[] {
  const url = new URL(folder, import.meta.url);
  return readdirSync(url, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".wasm") && !name.includes("node_modules"))
    .map((name) => new URL(name, url).pathname);
}

const files = ["modules/", "../wasi/guests/", "../../examples/tools/", "../../src/conformance/guests/"].flatMap(filesIn);
/** Large modules take long to validate, so there are fewer mutants of them. */
const seeds = files.map((file) => new Uint8Array(readFileSync(file)));
const small = seeds.filter(({ length }) => length <= 65_536);
const large = seeds.filter(({ length }) => length > 65_536);

async function hunt(from: readonly Uint8Array[], count: number, seed: number): Promise<Record<string, number>> {
  const random = randomFrom(seed);
  const kinds = Object.values(mutations);
  const tally: Record<string, number> = {};
  for (let index = 0; index < count; index++) {
    const bytes = from[index % from.length];
    const mutate = kinds[random(kinds.length)];
    if (bytes === undefined || mutate === undefined) throw new Error("nothing to mutate");
    const outcome = await outcomeOf(mutate(bytes, random));
    tally[outcome] = (tally[outcome] ?? 0) + 1;
  }
  return tally;
}

const clean = new Set([
  "exited",
  "trapped",
  "ERR_ARTIFACT_INVALID",
  "ERR_ARTIFACT_UNSUPPORTED",
  "ERR_IMPORT_DENIED",
  "ERR_LIMIT_COMPILE",
  "ERR_LIMIT_DISK",
  "ERR_LIMIT_MEMORY",
  "ERR_LIMIT_OUTPUT",
  "ERR_LIMIT_TIMEOUT",
]);

test("B4: the modules themselves run, or are refused with a code", async () => {
  for (const bytes of seeds) expect(clean).toContain(await outcomeOf(bytes));
});

test("B4: ten thousand mutations of good modules: no crash, no hang, each refusal with a code", { timeout: 300_000 }, async () => {
  expect([small.length > 10, large.length > 2]).toEqual([true, true]);
  const tally = await hunt(small, 9700, 1);
  for (const [outcome, count] of Object.entries(await hunt(large, 300, 2))) tally[outcome] = (tally[outcome] ?? 0) + count;
  console.log("B4:", JSON.stringify(tally));
  expect(Object.keys(tally).filter((outcome) => !clean.has(outcome))).toEqual([]);
  expect(tally["ERR_ARTIFACT_INVALID"]).toBeGreaterThan(5000);
  expect((tally["exited"] ?? 0) + (tally["trapped"] ?? 0)).toBeGreaterThan(200);
});

test("B4: bytes that are no module at all", async () => {
  const heads = [
    [],
    [0],
    [0, 0x61, 0x73, 0x6d],
    [0, 0x61, 0x73, 0x6d, 2, 0, 0, 0],
    [0, 0x61, 0x73, 0x6d, 13, 0, 1, 0],
    [0x7f, 0x45, 0x4c, 0x46],
  ];
  for (const head of heads) expect(clean).toContain(await outcomeOf(Uint8Array.from(head)));
  expect(await outcomeOf(new Uint8Array(1000))).toBe("ERR_ARTIFACT_INVALID");
  expect(await outcomeOf(new TextEncoder().encode("#!/bin/sh\n"))).toBe("ERR_ARTIFACT_INVALID");
});
