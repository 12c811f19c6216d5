import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { createRuntime, type LimitReceipt, type Result, type Task } from "../../src/index.ts";
import { defineTool, type Tool } from "../../src/tool.ts";
import { jcoTranspiler } from "../../src/wasm/component/jco/index.ts";
import { wasm } from "../../src/wasm/index.ts";
import { seededRandom } from "../../src/wasm/seeded-random.ts";
import { surroundingsOf, type Surroundings } from "../../src/wasm/surroundings.ts";
import { callingModule, type Call } from "../abuse/modules/binary.ts";
import { manifestWith } from "./support.ts";

const runtime = createRuntime({ backend: wasm({ components: jcoTranspiler() }), security: "standard" });
const now = "2026-01-31T12:00:00Z";
const startNs = 1_769_860_800_000_000_000n;

function toolOf(bytes: Uint8Array): Promise<Tool> {
  return defineTool(manifestWith(), { wasm: bytes });
}

function guest(path: string): Promise<Tool> {
  return toolOf(new Uint8Array(readFileSync(new URL(`../${path}.wasm`, import.meta.url))));
}

function run(tool: Tool, deterministic: Task["deterministic"], task: Partial<Task> = {}): Promise<Result> {
  return runtime.execute({ tool, ...(deterministic === undefined ? {} : { deterministic }), ...task });
}

function fuelOf(limits: readonly LimitReceipt[]): number | undefined {
  return limits.find(({ limit }) => limit === "fuel")?.peak;
}

/** sfc32 as PractRand has it, on numbers that do not wrap by themselves. */
function* referenceWords(seed: string): Generator<number> {
  const hash = createHash("sha256").update(seed).digest();
  const mask = 0xffffffffn;
  let [a, b, c, counter] = [...[0, 4, 8].map((at) => BigInt(hash.readUInt32LE(at))), 1n] as [bigint, bigint, bigint, bigint];
  for (let round = 0; ; round++) {
    const sum = (a + b + counter) & mask;
    counter = (counter + 1n) & mask;
    a = b ^ (b >> 9n);
    b = (c + (c << 3n)) & mask;
    c = ((((c << 21n) & mask) | (c >> 11n)) + sum) & mask;
    if (round >= 12) yield Number(sum);
  }
}

test("the seeded generator is the one that is documented", async () => {
  for (const seed of ["", "1", "häuser"]) {
    const fill = await seededRandom(seed);
    const words = referenceWords(seed);
    for (const length of [8, 3, 0, 5, 64]) {
      const target = new Uint8Array(length);
      fill(target);
      const expected = Buffer.concat(
        Array.from({ length: Math.ceil(length / 4) }, () => {
          const word = Buffer.alloc(4);
          word.writeUInt32LE(words.next().value as number);
          return word;
        }),
      ).subarray(0, length);
      expect(Buffer.from(target)).toEqual(expected);
    }
  }
});

/** Calls, and then writes so many bytes from address 0. */
function showing(calls: readonly Call[], bytes: number): Promise<Tool> {
  const list = [0, 0, 0, 0, bytes & 255, bytes >> 8, 0, 0];
  const at = 512;
  const data = [...Array.from({ length: at }, () => 0), ...list];
  return toolOf(callingModule([...calls, { name: "fd_write", args: [1, at, 1, 1024] }], data));
}

async function bytesShown(tool: Tool, deterministic: Task["deterministic"]): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  const task: Task = { tool, ...(deterministic === undefined ? {} : { deterministic }) };
  await runtime.execute(task, { onEvent: (event) => void (event.type === "stdout" && pieces.push(event.bytes)) });
  return Buffer.concat(pieces);
}

describe("a deterministic WASI command", () => {
  test("draws the same random bytes from the same seed, and others from another one", async () => {
    const tool = await showing([{ name: "random_get", args: [0, 64] }], 64);
    const first = await bytesShown(tool, { seed: 7, now });
    expect(first).toHaveLength(64);
    expect(await bytesShown(tool, { seed: "7", now: 0 })).toEqual(first);
    expect(await bytesShown(tool, { seed: 8, now })).not.toEqual(first);
    expect(await bytesShown(tool, undefined)).not.toEqual(await bytesShown(tool, undefined));
  });

  test("has clocks that begin at the task's time and move by its own work alone", async () => {
    const time = (clock: number, at: number): Call => ({ name: "clock_time_get", args: [clock, 0n, at] });
    const tool = await showing([time(0, 0), time(0, 8), time(1, 16), { name: "clock_res_get", args: [0, 24] }], 32);
    const first = await bytesShown(tool, { seed: 1, now });
    const [realtime, later, monotonic, resolution] = [0, 8, 16, 24].map((at) => first.readBigUInt64LE(at));
    expect(Number((realtime ?? 0n) - startNs)).toBeLessThan(1_000_000);
    expect(realtime).toBeGreaterThanOrEqual(startNs);
    expect(later).toBeGreaterThan(realtime ?? 0n);
    expect(monotonic).toBeLessThan(1_000_000n);
    expect(resolution).toBe(1n);
    expect(await bytesShown(tool, { seed: 1, now })).toEqual(first);
    const other = await bytesShown(tool, { seed: 1, now: "1970-01-01" });
    expect(other.readBigUInt64LE(0)).toBe((realtime ?? 0n) - startNs);
  });

  test("sleeps without waiting, and its clock shows that it slept", async () => {
    // A subscription to the monotonic clock for an hour, at 64; then the time at 0.
    const hourNs = 3_600_000_000_000n;
    const data = new DataView(new ArrayBuffer(528));
    data.setUint32(64 + 16, 1, true);
    data.setBigUint64(64 + 24, hourNs, true);
    data.setUint32(516, 8, true);
    const calls: Call[] = [
      { name: "poll_oneoff", args: [64, 128, 1, 256] },
      { name: "clock_time_get", args: [1, 0n, 0] },
      { name: "fd_write", args: [1, 512, 1, 1024] },
    ];
    const tool = await toolOf(callingModule(calls, [...new Uint8Array(data.buffer)]));
    const before = performance.now();
    const shown = await bytesShown(tool, { seed: 1, now });
    expect(performance.now() - before).toBeLessThan(2000);
    const slept = shown.readBigUInt64LE(0);
    expect(slept).toBeGreaterThanOrEqual(hourNs);
    expect(slept).toBeLessThan(hourNs + 10_000_000n);
    expect(await bytesShown(tool, { seed: 1, now })).toEqual(shown);
  });

  test("finds its files with the task's time on them", async () => {
    // path_filestat_get of "in" to 128; the three times stand at 128 + 40.
    const calls: Call[] = [
      { name: "path_filestat_get", args: [3, 1, 8, 2, 128] },
      { name: "fd_write", args: [1, 0, 1, 1024] },
    ];
    const tool = await toolOf(callingModule(calls, [168, 0, 0, 0, 24, 0, 0, 0, 0x69, 0x6e]));
    const pieces: Uint8Array[] = [];
    const task: Task = { tool, files: { in: "x" }, deterministic: { seed: 1, now } };
    await runtime.execute(task, { onEvent: (event) => void (event.type === "stdout" && pieces.push(event.bytes)) });
    const times = Buffer.concat(pieces);
    expect([0, 8, 16].map((at) => times.readBigUInt64LE(at))).toEqual([startNs, startNs, startNs]);
  });

  test.each(["abuse/modules/recurse", "abuse/modules/recurse-table", "cli/guests/trap", "abuse/modules/grow-memory"])(
    "%s ends in the same way with the same fuel each time",
    async (path) => {
      const tool = await guest(path);
      const results = [await run(tool, { seed: 1, now }), await run(tool, { seed: 2, now: 5 }), await run(tool, { seed: 1, now })];
      const [first, ...others] = results.map(({ exit, limits }) => [exit, fuelOf(limits)]);
      expect(first?.[1]).toBeGreaterThan(0);
      expect(others).toEqual([first, first]);
    },
  );

  test("that recurses without end is ended by the count of its stack", async () => {
    const { exit } = await run(await guest("abuse/modules/recurse"), { seed: 1, now });
    expect(exit).toEqual({ kind: "trapped", trap: "call stack exhausted" });
  });

  test("a slow reader changes neither its output nor its fuel", async () => {
    const tool = await guest("wasi/guests/flood");
    const deterministic = { seed: 1, now } as const;
    const slow = { onEvent: async () => new Promise<void>((resolve) => setTimeout(resolve, 1)) };
    const resources = { output: "1Mi", fuel: "300k" } as const;
    const used = async (call: object) => {
      const error: unknown = await runtime.execute({ tool, deterministic, resources }, call).catch((thrown: unknown) => thrown);
      return (error as { partial?: { limits: LimitReceipt[]; stdout: string } }).partial;
    };
    const [fast, late] = [await used({}), await used(slow)];
    expect(fuelOf(late?.limits ?? [])).toBe(fuelOf(fast?.limits ?? []));
    expect(late?.stdout).toBe(fast?.stdout);
    expect(fuelOf(fast?.limits ?? [])).toBeGreaterThan(300_000);
  });

  test("does not share its code with other runs of the same tool", async () => {
    const tool = await showing([{ name: "random_get", args: [0, 16] }], 16);
    const fixed = { seed: 1, now } as const;
    const first = await bytesShown(tool, fixed);
    await bytesShown(tool, undefined);
    expect(await bytesShown(tool, fixed)).toEqual(first);
    expect(fuelOf((await run(tool, undefined)).limits)).toBeGreaterThan(0);
  });
});

describe("deterministic plug-ins and components", () => {
  test("an Extism plug-in gives the same output and takes the same fuel", async () => {
    const bytes = new Uint8Array(readFileSync(new URL("../wasm-extism/guests/vowels.wasm", import.meta.url)));
    const artifacts = { wasm: { abi: "extism", entry: "count_vowels" } } as const;
    const tool = await defineTool(manifestWith({ artifacts }), { wasm: bytes });
    const [first, second] = [await run(tool, { seed: 1, now }, { input: "aeiou" }), await run(tool, { seed: 1, now }, { input: "aeiou" })];
    expect(first?.exitCode).toBe(0);
    expect([second?.stdout, fuelOf(second?.limits ?? [])]).toEqual([first?.stdout, fuelOf(first?.limits ?? [])]);
    expect(fuelOf(first?.limits ?? [])).toBeGreaterThan(0);
  });

  test("a component gives the same output and takes the same fuel", async () => {
    const tool = await guest("wasm-component/guests/script");
    const fixed = { seed: "x", now } as const;
    const [first, second] = [await run(tool, fixed, { input: { text: "a" } }), await run(tool, fixed, { input: { text: "a" } })];
    expect([second.stdout, fuelOf(second.limits)]).toEqual([first.stdout, fuelOf(first.limits)]);
    expect(JSON.parse(first.stdout)).toMatchObject({ text: "A", now: 1_769_860_800_000 });
  });
});

test("in profile hardened the clocks are coarse", async () => {
  const [coarse, fine] = [await surroundingsOf({ profile: "hardened" }), await surroundingsOf({ profile: "standard" })];
  const readings = ({ clockFor }: Surroundings): bigint[] => Array.from({ length: 200 }, () => clockFor(() => 0).monotonicNs());
  expect(readings(coarse).filter((ns) => ns % 1_000_000n !== 0n)).toEqual([]);
  expect(readings(fine).some((ns) => ns % 1_000_000n !== 0n)).toBe(true);
  expect(coarse.clockFor(() => 0).resolutionNs).toBe(1_000_000n);
});
