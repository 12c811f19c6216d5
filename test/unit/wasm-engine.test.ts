import { readdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ToolRuntimeError } from "../../src/errors.ts";
import { loadTool } from "../../src/internal/node/tool-folder.ts";
import { createRuntime } from "../../src/runtime.ts";
import { defineTool, type Tool } from "../../src/tool.ts";
import { BoundError } from "../../src/wasm/binary.ts";
import { WeightedCache } from "../../src/wasm/cache.ts";
import { wasm } from "../../src/wasm/index.ts";
import { compileModule, type Compiling } from "../../src/wasm/compile.ts";
import { ingestModule, type IngestOptions, type Making } from "../../src/wasm/ingest.ts";
import { MemoryPool } from "../../src/wasm/memory-pool.ts";
import { checkpointName, defaultBounds, hostNamespace, memoryName, meterModule, startName, waitName } from "../../src/wasm/meter/index.ts";
import { createWasi, FileSystem, ProcExit, wasiFunctionNames } from "../../src/wasm/wasi/index.ts";
import {
  callingModule,
  emptyCommand,
  functionBody,
  functionType,
  importOf,
  kinds,
  moduleOf,
  nameOf,
  padding,
  section,
  types,
  vector,
} from "../abuse/modules/binary.ts";
import { codeOf, manifestWith } from "./support.ts";

const grantAll = { allows: () => true, memory: "import" } as const;
const making: Making = { tool: "t", deterministic: false };
const compiling: Compiling = { tool: "t", maxCompileMs: 10_000 };
const ingest = (bytes: Uint8Array, options: Partial<IngestOptions> = {}) => ingestModule(bytes, making, { ...grantAll, ...options });
/** What a metered module imports, besides its memory. */
const metering = { [checkpointName]: () => -1, [waitName]: () => -1 };
const aPage = section(5, vector([[0, 1]]));

async function compiled(bytes: Uint8Array, options: Partial<IngestOptions> = {}): Promise<WebAssembly.Module> {
  return compileModule((await ingest(bytes, options)).bytes, compiling);
}

function tablesOf(...tables: readonly (readonly number[])[]): Uint8Array<ArrayBuffer> {
  return moduleOf(section(4, vector(tables)), section(7, vector(tables.map((_, index) => [...nameOf(`t${index}`), kinds.table, index]))));
}

describe("ingest", () => {
  test("a module's own memory becomes an import, and stays exported", async () => {
    const { memory, bytes, imports } = await ingest(emptyCommand());
    expect([memory, imports]).toEqual([{ min: 1 }, []]);
    const module = new WebAssembly.Module(bytes);
    expect(WebAssembly.Module.imports(module)).toEqual([
      { module: hostNamespace, name: checkpointName, kind: "function" },
      { module: hostNamespace, name: waitName, kind: "function" },
      { module: hostNamespace, name: memoryName, kind: "memory" },
    ]);
    const given = new WebAssembly.Memory({ initial: 1, maximum: 3 });
    const { exports } = new WebAssembly.Instance(module, { [hostNamespace]: { ...metering, memory: given } });
    expect(exports["memory"]).toBe(given);
  });

  test("a memory with a cap keeps the smaller of both", async () => {
    const grownTo = async (max: readonly number[], cap: number): Promise<number> => {
      const bytes = moduleOf(section(5, vector([max])), section(7, vector([[...nameOf("memory"), kinds.memory, 0]])));
      const { memory } = new WebAssembly.Instance(await compiled(bytes, { memory: cap }), { [hostNamespace]: metering }).exports;
      if (!(memory instanceof WebAssembly.Memory)) throw new Error("no memory");
      for (;;) {
        try {
          memory.grow(1);
        } catch {
          return memory.buffer.byteLength / 65_536;
        }
      }
    };
    expect(await grownTo([0, 1], 5 * 65_536)).toBe(5);
    expect(await grownTo([1, 1, 3], 5 * 65_536)).toBe(3);
    expect(await grownTo([1, 1, 9], 5 * 65_536 + 65_535)).toBe(5);
    await expect(grownTo([0, 2], 65_536)).rejects.toBeInstanceOf(ToolRuntimeError);
  });

  test("each table gets a maximum, and a smaller one stays", async () => {
    const module = await compiled(tablesOf([0x70, 0, 0], [0x6f, 1, 2, 5], [0x6f, 1, 0, 0xff, 0xff, 0xff, 0x7f]));
    const { exports } = new WebAssembly.Instance(module, { [hostNamespace]: metering });
    const maxTableElements = defaultBounds.tableElements;
    const most = ["t0", "t1", "t2"].map((name) => {
      const table = exports[name];
      if (!(table instanceof WebAssembly.Table)) throw new Error("no table");
      const room = [maxTableElements, 5].find((size) => {
        try {
          table.grow(size - table.length);
          return true;
        } catch {
          return false;
        }
      });
      expect(() => table.grow(1)).toThrow(RangeError);
      return room;
    });
    expect(most).toEqual([maxTableElements, 5, maxTableElements]);
  });

  const overBounds: Record<string, Uint8Array<ArrayBuffer>> = {
    "a table that begins too large": tablesOf([0x70, 0, 0xa1, 0x8d, 6]),
    "seventeen tables": tablesOf(...Array.from({ length: 17 }, () => [0x70, 0, 1])),
    "too many imports": moduleOf(
      section(1, vector([functionType([])])),
      section(2, vector(Array.from({ length: 10_001 }, () => [...nameOf("a"), ...nameOf("b"), 0, 0]))),
    ),
    "too many globals": moduleOf(section(6, vector(Array.from({ length: 10_001 }, () => [types.i32, 0, 0x41, 0, 0x0b])))),
    "a function of too many locals": moduleOf(
      section(1, vector([functionType([])])),
      section(3, vector([[0]])),
      section(10, vector([[6, 1, 0xa1, 0x9c, 1, types.i32, 0x0b]])),
    ),
  };
  test.each(Object.entries(overBounds))("A11: %s is refused, although the engine takes it", async (_, bytes) => {
    expect(WebAssembly.validate(bytes)).toBe(true);
    await expect(ingest(bytes)).rejects.toMatchObject({ code: "ERR_LIMIT_COMPILE", started: false, details: { limit: "compile" } });
  });

  const refused: Record<string, Uint8Array<ArrayBuffer>> = {
    "a 64-bit table": tablesOf([0x70, 4, 1]),
    "a table of another kind": tablesOf([0x6e, 0, 1]),
    "an exception of many values": moduleOf(
      section(1, vector([functionType(Array.from({ length: 17 }, () => types.i64))])),
      section(13, vector([[0, 0]])),
    ),
  };
  test.each(Object.entries(refused))("%s is refused, although the engine takes it", async (_, bytes) => {
    expect(WebAssembly.validate(bytes)).toBe(true);
    expect(await codeOf(() => ingest(bytes))).toBe("ERR_ARTIFACT_INVALID");
  });

  test("the host's namespace is nobody's to import, whatever is granted", async () => {
    const bytes = emptyCommand({ imports: [importOf(hostNamespace, "memory", [kinds.function, 0])] });
    expect(await codeOf(() => ingest(bytes))).toBe("ERR_IMPORT_DENIED");
  });

  test("A11: a module that takes longer to compile than it may is refused", async () => {
    // More code than any engine validates within a thousandth of a millisecond.
    const { bytes } = await ingest(readFileSync(new URL("../../examples/tools/sqlite-query/sqlite-query.wasm", import.meta.url)));
    const late = compileModule(bytes, { ...compiling, maxCompileMs: 0.001 });
    await expect(late).rejects.toMatchObject({ code: "ERR_LIMIT_COMPILE", details: { limit: "compile", value: 0.001 } });
    await expect(compileModule(bytes, compiling)).resolves.toBeInstanceOf(WebAssembly.Module);
  });

  test("large modules are rewritten elsewhere where there is a way to, and its refusals are those of here", async () => {
    const sizes: number[] = [];
    const offload: NonNullable<Making["offload"]> = async (bytes, options) => {
      sizes.push(bytes.length);
      return meterModule(bytes, options);
    };
    const large = emptyCommand({ imports: [padding(300_000)] });
    const here = await ingestModule(large, making, grantAll);
    expect((await ingestModule(large, { ...making, offload }, grantAll)).bytes).toEqual(here.bytes);
    await ingestModule(emptyCommand(), { ...making, offload }, grantAll);
    expect(sizes).toEqual([large.length]);
    const refusing = { ...making, offload: () => Promise.reject(new BoundError("has 9 heads, the most is 7")) };
    await expect(ingestModule(large, refusing, grantAll)).rejects.toMatchObject({
      code: "ERR_LIMIT_COMPILE",
      message: expect.stringContaining("has 9 heads, the most is 7"),
    });
  });

  test("custom sections are dropped, wherever they stand", async () => {
    const custom = Uint8Array.from([0, 6, ...nameOf("name"), 1]);
    const bytes = moduleOf(custom, section(1, vector([functionType([])])), custom, aPage, custom, padding(1000));
    expect(WebAssembly.Module.customSections(new WebAssembly.Module(bytes), "name")).toHaveLength(3);
    const ingested = await ingest(bytes);
    expect(WebAssembly.Module.customSections(new WebAssembly.Module(ingested.bytes), "name")).toEqual([]);
    expect(ingested.bytes.length).toBeLessThan(500);
  });

  test("a start function is kept, or exported so that it can be suspended", async () => {
    const data = section(11, vector([[0, 0x41, 0, 0x0b, 1, 7]]));
    // Stores 9 at address 1.
    const code = section(10, vector([functionBody(0x41, 1, 0x41, 9, 0x3a, 0, 0)]));
    const bytes = moduleOf(
      section(1, vector([functionType([])])),
      section(3, vector([[0]])),
      aPage,
      Uint8Array.from([8, 1, 0]),
      code,
      data,
    );
    const bytesAfter = (memory: WebAssembly.Memory): number[] => [...new Uint8Array(memory.buffer, 0, 2)];
    const kept = new WebAssembly.Memory({ initial: 1 });
    void new WebAssembly.Instance(await compiled(bytes), { [hostNamespace]: { ...metering, memory: kept } });
    expect(bytesAfter(kept)).toEqual([7, 9]);
    const memory = new WebAssembly.Memory({ initial: 1 });
    const ingested = await ingest(bytes, { start: "export" });
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(ingested.bytes), { [hostNamespace]: { ...metering, memory } });
    expect([ingested.hasStart, bytesAfter(memory)]).toEqual([true, [7, 0]]);
    const start = exports[startName];
    if (typeof start !== "function") throw new Error("no start");
    start();
    expect(bytesAfter(memory)).toEqual([7, 9]);
  });

  test("it says which functions are exported, and as what", async () => {
    const { functions, imports } = await ingest(callingModule([{ name: "fd_seek", args: [1, 0n, 0, 0] }]));
    expect([...functions]).toEqual([["_start", "->"]]);
    expect(imports.map(({ name, type }) => [name, type])).toEqual([
      ["fd_seek", "i32 i64 i32 i32 -> i32"],
      ["proc_exit", "i32 ->"],
    ]);
  });

  test("bytes on shared memory and views of larger buffers are read for what they are", async () => {
    const plain = emptyCommand();
    const shared = new Uint8Array(new SharedArrayBuffer(plain.length + 10), 5, plain.length);
    shared.set(plain);
    expect((await ingest(shared)).bytes).toEqual((await ingest(plain)).bytes);
  });

  test("whatever the bytes, there is a module or an error of ours", () => {
    const body = fc.uint8Array({ maxLength: 40 }).map((rest) => Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...rest]));
    return fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 40 }), body), async (bytes) => {
        const outcome = await ingest(bytes).then(
          () => "taken",
          () => codeOf(ingest(bytes)),
        );
        expect(["taken", "ERR_ARTIFACT_INVALID", "ERR_IMPORT_DENIED", "ERR_LIMIT_COMPILE"]).toContain(outcome);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("every function of WASI", () => {
  test("is granted under its type and no other", async () => {
    const backend = wasm();
    const runtime = createRuntime({ backend, security: "dev" });
    const typeOf = (name: string): string => {
      // Found out by trying: the engine's list of types is checked against what the functions take.
      const state = createWasi({
        args: [],
        env: {},
        fs: new FileSystem(),
        stdin: new Uint8Array(0),
        stdout: () => undefined,
        stderr: () => undefined,
      });
      return `${Object.entries(state.imports).find(([known]) => known === name)?.[1].length ?? -1}`;
    };
    for (const name of wasiFunctionNames) {
      const count = Number(typeOf(name));
      const outcomes = new Set<string>();
      for (let mask = 0; mask < 2 ** Math.min(count, 9); mask++) {
        const args = Array.from({ length: count }, (_, index) => ((mask >> index) & 1 ? 0n : 0));
        const bytes = callingModule([{ name, args, hasResult: name !== "proc_exit" }]);
        const tool = await defineTool(manifestWith(), { wasm: bytes });
        const refused = await runtime.execute({ tool }).then(
          () => "runs",
          (error: unknown) => (error instanceof ToolRuntimeError ? error.code : "another error"),
        );
        outcomes.add(refused);
        if (refused === "runs") break;
      }
      expect([name, outcomes.has("runs"), outcomes.has("another error"), outcomes.has("ERR_INTERNAL")]).toEqual([name, true, false, false]);
    }
  });
});

function take(pool: MemoryPool, min: number, max: number) {
  const lease = pool.take(min, max);
  return { lease, bytes: new Uint8Array(lease.memory.buffer) };
}

describe("the pool of memories", () => {
  test("a memory that is given back comes back with every byte zero", () => {
    const pool = new MemoryPool(2 ** 20);
    const first = take(pool, 2, 4);
    first.bytes.fill(0xff);
    pool.give(first.lease);
    const second = take(pool, 2, 4);
    expect(second.lease.memory).toBe(first.lease.memory);
    expect(second.bytes.every((byte) => byte === 0)).toBe(true);
    expect(take(pool, 2, 4).lease.memory).not.toBe(first.lease.memory);
  });

  test("one that grew is not taken for one of its first size", () => {
    const pool = new MemoryPool(2 ** 20);
    const { lease } = take(pool, 1, 4);
    lease.memory.grow(2);
    pool.give(lease);
    const next = take(pool, 1, 4);
    expect(next.lease.memory.buffer.byteLength).toBe(65_536);
  });

  test("another cap is another class, and the cap holds", () => {
    const pool = new MemoryPool(2 ** 20);
    const { lease } = take(pool, 1, 4);
    pool.give(lease);
    const other = take(pool, 1, 5);
    expect(other.lease.memory).not.toBe(lease.memory);
    expect([lease.maxBytes, other.lease.maxBytes]).toEqual([4 * 65_536, 5 * 65_536]);
    lease.memory.grow(3);
    expect(() => lease.memory.grow(1)).toThrow(RangeError);
  });

  test("no more wait than the pool may hold, and none of more than sixteen mebibytes", () => {
    const pool = new MemoryPool(3 * 65_536);
    const leases = Array.from({ length: 5 }, () => pool.take(1, 2));
    for (const lease of leases) pool.give(lease);
    const again = new Set(Array.from({ length: 5 }, () => pool.take(1, 2).memory));
    expect(leases.filter(({ memory }) => again.has(memory))).toHaveLength(3);
    const large = new MemoryPool(2 ** 30);
    const lease = large.take(257, 300);
    large.give(lease);
    expect(large.take(257, 300).memory).not.toBe(lease.memory);
  });

  test("whatever is taken and given, a memory is with one run at a time, zeroed and of its size", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom("take", "give", "grow"), fc.integer({ min: 1, max: 3 }), fc.nat()), { maxLength: 40 }),
        (steps) => {
          const pool = new MemoryPool(4 * 65_536);
          const held: ReturnType<typeof take>[] = [];
          const faults: string[] = [];
          for (const [what, size, pick] of steps) {
            const index = pick % Math.max(1, held.length);
            const one = held[index];
            if (what === "take") {
              const taken = take(pool, size, 4);
              const isClean = Buffer.from(taken.bytes).equals(Buffer.alloc(size * 65_536));
              faults.push(...(isClean ? [] : ["a memory that is not of its size and zero"]));
              faults.push(...(held.some(({ lease }) => lease.memory === taken.lease.memory) ? ["a memory that another run has"] : []));
              taken.bytes.fill(1);
              held.push(taken);
            } else if (what === "give" && one !== undefined) {
              pool.give(one.lease);
              held.splice(index, 1);
            } else if (one !== undefined && one.lease.memory.buffer.byteLength < 4 * 65_536) {
              one.lease.memory.grow(1);
              new Uint8Array(one.lease.memory.buffer).fill(2);
            }
          }
          expect(faults).toEqual([]);
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe("the cache of artifacts", () => {
  const value = (name: string, weight = 1) => ({ name, weight });

  test("makes a value once, however many ask at once", async () => {
    const cache = new WeightedCache<ReturnType<typeof value>>(10);
    let made = 0;
    const make = async () => {
      made++;
      await new Promise((resolve) => setTimeout(resolve, 5));
      return value("a");
    };
    const [first, ...others] = await Promise.all(Array.from({ length: 10 }, () => cache.get("a", make)));
    expect([made, new Set([first, ...others]).size, cache.peek("a")]).toEqual([1, 1, first]);
  });

  test("does not keep a failure", async () => {
    const cache = new WeightedCache<ReturnType<typeof value>>(10);
    const failing = () => cache.get("a", () => Promise.reject(new Error("x")));
    await Promise.all([expect(failing()).rejects.toThrow("x"), expect(failing()).rejects.toThrow("x")]);
    expect(cache.peek("a")).toBeUndefined();
    expect(await cache.get("a", async () => value("second"))).toEqual(value("second"));
  });

  test("drops what was used longest ago by weight; looking counts as use", async () => {
    const cache = new WeightedCache<ReturnType<typeof value>>(10);
    for (const name of ["a", "b", "c"]) await cache.get(name, async () => value(name, 3));
    cache.peek("a");
    await cache.get("d", async () => value("d", 3));
    expect(["a", "b", "c", "d"].filter((name) => cache.peek(name) !== undefined)).toEqual(["a", "c", "d"]);
    await cache.get("huge", async () => value("huge", 100));
    expect(["a", "c", "d", "huge"].filter((name) => cache.peek(name) !== undefined)).toEqual(["huge"]);
    await cache.get("small", async () => value("small", 1));
    expect(["huge", "small"].filter((name) => cache.peek(name) !== undefined)).toEqual(["small"]);
  });

  test("a tool's bytes are fetched once for many calls at once, and again after a failure", async () => {
    let fetched = 0;
    const source = async (): Promise<Uint8Array> => {
      if (fetched++ === 0) throw new ToolRuntimeError("ERR_ARTIFACT_INVALID", "not yet");
      return emptyCommand();
    };
    const tool = await defineTool(manifestWith(), { wasm: source });
    const runtime = createRuntime({ backend: wasm(), security: "dev" });
    expect(await codeOf(runtime.execute({ tool }))).toBe("ERR_ARTIFACT_INVALID");
    await Promise.all(Array.from({ length: 5 }, () => runtime.execute({ tool })));
    expect(fetched).toBe(2);
  });
});

/** The original, instantiated with the same WASI but without ingest and runtime. */
function runOriginal(tool: Tool, bytes: Uint8Array, stdin: Uint8Array, files: Readonly<Record<string, Uint8Array>>) {
  const decoder = new TextDecoder();
  let stdout = "";
  const fs = new FileSystem({ maxBytes: 2 ** 28 });
  fs.preopen("/");
  fs.mkdir("out");
  fs.mkdir("tmp");
  for (const [path, content] of Object.entries(files)) fs.addFile(path, content);
  const wasi = createWasi({
    args: [tool.manifest.name],
    env: {},
    fs,
    stdin,
    stdout: (part) => void (stdout += decoder.decode(part, { stream: true })),
    stderr: () => undefined,
  });
  const imports: WebAssembly.ModuleImports = { ...wasi.imports };
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(bytes)), { wasi_snapshot_preview1: imports });
  const { memory, _start: start } = exports;
  if (!(memory instanceof WebAssembly.Memory) || typeof start !== "function") throw new Error("no command");
  wasi.bind(memory);
  let exitCode = 0;
  try {
    start();
  } catch (error) {
    if (!(error instanceof ProcExit)) throw error;
    exitCode = error.code;
  }
  return { stdout, exitCode, files: [...fs.files("out")].map(({ path, bytes: content }) => ({ path, size: content.length })) };
}

interface Sample {
  readonly path: string;
  readonly tool: Tool;
  readonly bytes: Uint8Array;
}

const samplesFolder = new URL("../../examples/tools/", import.meta.url).pathname;

/** The sample tools that are WASI commands. */
async function findSamples(): Promise<Sample[]> {
  const samples: Sample[] = [];
  const names = readdirSync(samplesFolder, { recursive: true, encoding: "utf8" });
  for (const name of names.filter((one) => one.endsWith("tool.json") && !one.includes("node_modules"))) {
    const path = dirname(`${samplesFolder}${name}`);
    const tool = await loadTool(path);
    const source = tool.sources.wasm;
    if (source === undefined) continue;
    const bytes = source instanceof Uint8Array ? source : await source();
    if (bytes[4] === 1 && (tool.manifest.artifacts.wasm?.abi ?? "wasi-p1") === "wasi-p1") samples.push({ path, tool, bytes });
  }
  return samples;
}

const samples = await findSamples();

describe("an ingested tool behaves as its original", () => {
  const runtime = createRuntime({ backend: wasm(), security: "dev", maxOutputFiles: 1000 });

  test("there are samples", () => {
    expect(samples.length).toBeGreaterThan(4);
  });

  test.each(samples.map((sample) => [sample.tool.manifest.name, sample] as const))(
    "%s, on its own examples",
    async (_, { path, tool, bytes }) => {
      const { examples = [] } = tool.manifest;
      expect(examples.length).toBeGreaterThan(0);
      for (const { input, files: named } of examples) {
        const files = Object.fromEntries(
          Object.entries(named ?? {}).map(([name, from]) => [name, new Uint8Array(readFileSync(`${path}/${from}`))]),
        );
        const original = runOriginal(tool, bytes, new TextEncoder().encode(JSON.stringify(input ?? {})), files);
        const ingested = await runtime.execute({ tool, input, files });
        expect([ingested.stdout, ingested.exitCode]).toEqual([original.stdout.slice(0, 65_536), original.exitCode]);
        expect(ingested.files.map(({ path: name, size }) => ({ path: name, size }))).toEqual(original.files);
      }
    },
  );

  test.each(["stdio", "files"])("the guest %s of the WASI tests", async (name) => {
    const bytes = new Uint8Array(readFileSync(new URL(`../wasi/guests/${name}.wasm`, import.meta.url)));
    const tool = await defineTool(manifestWith({ name }), { wasm: bytes });
    const input = { a: "é".repeat(100), list: [1, 2, 3] };
    const files = { "data.txt": new TextEncoder().encode("content") };
    const ingested = await runtime.execute({ tool, input, files });
    const original = runOriginal(tool, bytes, new TextEncoder().encode(JSON.stringify(input)), files);
    expect([ingested.stdout, ingested.exitCode]).toEqual([original.stdout, original.exitCode]);
  });
});
