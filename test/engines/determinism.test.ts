import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { bundle, engines, findBinary, openWorker, runScript, type Engine } from "../../bench/engines.ts";
import { kernels } from "../../bench/kernels/list.ts";
import { floatOps } from "./cases/nans.ts";
import type { KernelData } from "./cases/kernels.ts";
import { notTaken, type Sight } from "./cases/observe.ts";
import type { ProgramOptions } from "./cases/program.ts";
import { trapNames } from "./cases/ends.ts";

/** Each engine's host gives other amounts of fuel at a time: that must not matter either. */
const sliceUnits: Readonly<Record<Engine, number>> = { node: 100_000, bun: 33_331, deno: 1_000_000, workerd: 7001 };
const generatedModules = 200;

async function smallKernels(): Promise<KernelData[]> {
  return Promise.all(
    kernels.map(async ({ file, n, name }) => {
      const bytes = await readFile(new URL(`../../bench/kernels/${file}`, import.meta.url));
      // The time of this one grows with the power of its number.
      return { file, base64: bytes.toString("base64"), n: name === "fib" ? 22 : Math.ceil(n / 20) };
    }),
  );
}

async function see(engine: Engine, options: ProgramOptions): Promise<Sight[]> {
  const head = `import { seeAll } from "./cases/program.ts";
    const text = JSON.stringify(await seeAll(${JSON.stringify(options)}));`;
  const folder = fileURLToPath(new URL(".", import.meta.url));
  if (engine !== "workerd")
    return JSON.parse(await runScript(engine, await bundle(`${head} console.log(text);`, folder), { timeoutMs: 50_000 }));
  const code = await bundle(`${head} export default { fetch: () => new Response(text) };`, folder);
  await using worker = await openWorker(code);
  return JSON.parse(await (await fetch(worker.url)).text());
}

/** What sets an engine apart from Node, in lines. */
function differences(expected: readonly Sight[], actual: readonly Sight[]): string[] {
  const found: string[] = [];
  if (expected.length !== actual.length) found.push(`${actual.length} modules in place of ${expected.length}`);
  for (const [index, { name, rewritten, lines }] of expected.entries()) {
    const other = actual[index];
    if (other?.refused === notTaken) continue;
    if (other?.refused !== undefined) found.push(`${name}: ${other.refused}`);
    if (rewritten !== other?.rewritten) found.push(`${name}: was rewritten otherwise`);
    for (let line = 0; line < Math.max(lines.length, other?.lines.length ?? 0); line++) {
      if (lines[line] !== other?.lines[line]) found.push(`${name}, line ${line}: ${other?.lines[line]} in place of ${lines[line]}`);
    }
  }
  return found;
}

const ran = engines.filter((engine) => {
  const found = findBinary(engine);
  if ("missing" in found) console.log(`Not run on ${engine}: ${found.missing}`);
  return !("missing" in found);
});

const seen = new Map<Engine, Sight[]>();

function sights(engine: Engine): Sight[] {
  return seen.get(engine) ?? [];
}

beforeAll(async () => {
  const smalls = await smallKernels();
  await Promise.all(
    ran.map(async (engine) => {
      const startedAt = performance.now();
      seen.set(engine, await see(engine, { kernels: smalls, generatedModules, sliceUnits: sliceUnits[engine] }));
      const found = findBinary(engine);
      console.log(`Ran on ${engine} ${"version" in found ? found.version : ""} in ${Math.round(performance.now() - startedAt)} ms`);
    }),
  );
});

describe("deterministic mode", () => {
  test.for(engines.filter((engine) => engine !== "node"))("is on %s as on Node, byte for byte", (engine, { skip }) => {
    if (!ran.includes(engine)) skip(`${engine} is not here`);
    expect(differences(sights("node"), sights(engine)).slice(0, 10)).toEqual([]);
    const untaken = sights(engine).filter(({ refused }) => refused === notTaken).length;
    if (untaken > 0) console.log(`${untaken} of ${generatedModules} generated modules are none to ${engine}`);
    expect(untaken).toBeLessThan(generatedModules / 5);
  });

  test.each(ran)("ends everywhere before the stack of %s does", (engine) => {
    const own = sights(engine).flatMap(({ name, lines }) =>
      lines.filter((line) => line.includes("the engine's own end")).map((line) => `${name}: ${line}`),
    );
    expect(own).toEqual([]);
    const counted = sights(engine).filter(({ lines }) => lines.some((line) => line.includes("trap: call stack exhausted")));
    expect(counted.length).toBeGreaterThan(15);
  });
});

describe("what was compared", () => {
  const lines = (): string[] => sights("node").flatMap((sight) => sight.lines);

  test("Node refused nothing", () => {
    expect(sights("node").flatMap(({ name, refused }) => (refused === undefined ? [] : [`${name}: ${refused}`]))).toEqual([]);
  });

  test("there were traps of each kind, and each was taken for what it is", () => {
    for (const kind of trapNames) {
      const called = lines().filter((line) => line.startsWith(`${kind} `));
      expect(called.length).toBeGreaterThan(2);
      expect(called.filter((line) => !line.includes(`: trap: ${kind};`))).toEqual([]);
    }
  });

  test("there were NaNs of all operations, and those of arithmetic were the canonical one", () => {
    const [table] = sights("node");
    for (const { name, to, isArithmetic } of floatOps) {
      const results = (table?.lines ?? []).filter((line) => line.startsWith(`${name}(`)).map((line) => bitsOf(line));
      const nans = results.flat().flatMap((bits) => nansIn(bits, to));
      expect(nans.length).toBeGreaterThan(3);
      const canonical = to === "f32" ? 0x7fc00000n : 0x7ff8000000000000n;
      if (isArithmetic) expect(new Set(nans)).toEqual(new Set([canonical]));
      else expect(new Set(nans).size).toBeGreaterThan(3);
    }
  });

  test("there were runs that a limit of fuel ended, and modules that grew to their caps", () => {
    expect(lines().filter((line) => line.includes("exhausted, depth")).length).toBeGreaterThan(25);
    expect(lines()).toEqual(expect.arrayContaining([expect.stringMatching(/^memory\.grow\(\): \[99,-1,-1,100\]/)]));
    expect(sights("node").filter(({ name }) => name.startsWith("generated")).length).toBe(generatedModules);
  });
});

/** The results of one line: numbers of 32 bits in decimal, of 64 in hexadecimal with an n. */
function bitsOf(line: string): bigint[] {
  const shown = /: \[?([^;\]]*)\]?;/.exec(line)?.[1] ?? "";
  return shown.split(",").map((text) => (text.endsWith("n") ? BigInt(`0x${text.slice(0, -1)}`) : BigInt.asUintN(32, BigInt(text))));
}

/** The NaNs among numbers that are themselves of 64 bits, or hold one or two of 32. */
function nansIn(bits: bigint, type: "f32" | "f64"): bigint[] {
  if (type === "f64") return (bits & 0x7fffffffffffffffn) > 0x7ff0000000000000n ? [bits] : [];
  return [bits & 0xffffffffn, bits >> 32n].filter((half) => (half & 0x7fffffffn) > 0x7f800000n);
}
