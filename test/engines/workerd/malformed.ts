import {
  emptyCommand,
  functionBody,
  functionType,
  importOf,
  kinds,
  moduleOf,
  nameOf,
  section,
  types,
  u32,
  vector,
} from "../../abuse/modules/binary.ts";

/** What ingest refuses, by the case of the corpus, with the codes that may come of it. */
export interface Refused {
  readonly name: string;
  readonly code: string;
  readonly make: () => Uint8Array<ArrayBuffer>;
}

/** Little enough for a test, and more than the others take. */
export const maxArtifactBytes: number = 4 * 2 ** 20;

const exported = vector([
  [...nameOf("memory"), kinds.memory, 0],
  [...nameOf("_start"), kinds.function, 0],
]);

/** A command with another memory section, and with a type beside its own. */
export function command(memory: readonly number[], type?: readonly number[]): Uint8Array<ArrayBuffer> {
  return moduleOf(
    section(1, vector([functionType([]), ...(type === undefined ? [] : [type])])),
    section(3, vector([[0]])),
    section(5, memory),
    section(7, exported),
    section(10, vector([functionBody()])),
  );
}

/** One function of so many locals and so many times some code. */
function large(locals: number, code: readonly number[], count: number): Uint8Array<ArrayBuffer> {
  const repeated = Array.from({ length: count }, () => code).flat();
  const body = [1, ...u32(locals), types.i32, ...repeated, 0x0b];
  return moduleOf(
    section(1, vector([functionType([])])),
    section(3, vector([[0]])),
    section(5, vector([[0, 1]])),
    section(7, exported),
    section(10, vector([[...u32(body.length), ...body]])),
  );
}

const aFunction = [kinds.function, 0];
const page = vector([[0, 1]]);

export const refused: readonly Refused[] = [
  { name: "A11: locals at many loops", code: "ERR_LIMIT_COMPILE", make: () => large(4000, [0x03, 0x40, 0x0b], 12_500) },
  { name: "A11: twenty thousand locals", code: "ERR_LIMIT_COMPILE", make: () => large(20_000, [0x01], 1) },
  { name: "B3: several memories", code: "ERR_ARTIFACT_INVALID", make: () => command(vector([[0, 1], [0, 1]])) }, // oxfmt-ignore
  { name: "B3: a 64-bit memory", code: "ERR_ARTIFACT_INVALID", make: () => command(vector([[4, 1]])) },
  { name: "B3: a shared memory", code: "ERR_ARTIFACT_INVALID", make: () => command(vector([[3, 1, 2]])) },
  { name: "B3: a garbage-collected array", code: "ERR_ARTIFACT_INVALID", make: () => command(page, [0x5e, types.i32, 1]) },
  { name: "B4: nothing", code: "ERR_ARTIFACT_INVALID", make: () => new Uint8Array(0) },
  { name: "B4: no module", code: "ERR_ARTIFACT_INVALID", make: () => new Uint8Array(1000) },
  { name: "B4: another version", code: "ERR_ARTIFACT_INVALID", make: () => Uint8Array.of(0, 0x61, 0x73, 0x6d, 2, 0, 0, 0) },
  { name: "B5: more than the operator takes", code: "ERR_ARTIFACT_TOO_LARGE", make: () => new Uint8Array(maxArtifactBytes + 1) },
  {
    name: "B6: what nobody granted",
    code: "ERR_IMPORT_DENIED",
    make: () => emptyCommand({ imports: [importOf("env", "system", aFunction)] }),
  },
  {
    name: "B6: the checkpoint itself",
    code: "ERR_IMPORT_DENIED",
    make: () => emptyCommand({ imports: [importOf("toolruntime:host", "checkpoint", aFunction)] }),
  },
  {
    name: "B7: __proto__",
    code: "ERR_IMPORT_DENIED",
    make: () => emptyCommand({ imports: [importOf("__proto__", "__proto__", aFunction)] }),
  },
  {
    name: "B7: constructor",
    code: "ERR_IMPORT_DENIED",
    make: () => emptyCommand({ imports: [importOf("wasi_snapshot_preview1", "constructor", aFunction)] }),
  },
  { name: "B8: an export in the host's name", code: "ERR_ARTIFACT_INVALID", make: () => emptyCommand({ exports: ["toolruntime:fuel"] }) },
  {
    name: "B8: a hundred thousand exports",
    code: "ERR_LIMIT_COMPILE",
    make: () => emptyCommand({ exports: Array.from({ length: 100_000 }, (_, index) => `export${index}`) }),
  },
];

/** Mulberry32. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** B4: mutants of a good module: cut off, or with bytes changed, put in or taken out. */
export function mutants(good: Uint8Array, count: number): Uint8Array<ArrayBuffer>[] {
  const random = randomFrom(1);
  return Array.from({ length: count }, () => {
    const at = random(good.length);
    const kind = random(4);
    if (kind === 0) return good.slice(0, at);
    if (kind === 1) return Uint8Array.from(good, (byte, index) => (index === at ? byte ^ (1 << random(8)) : byte));
    const added = kind === 2 ? [random(256), random(256)] : [];
    return Uint8Array.of(...good.subarray(0, at), ...added, ...good.subarray(at + random(4)));
  });
}
