import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { createRuntime, defineTool } from "../../src/index.ts";
import { wasm } from "../../src/wasm/index.ts";
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
  type Call,
} from "./modules/binary.ts";
import { canary, inlineProfiles, moduleFile, toolFrom, toolOf, under, useOracle } from "./wasm-support.ts";

const run = promisify(execFile);
/** Made before the cases, so that the making does not hold up the victims. */
const manyExports = emptyCommand({ exports: Array.from({ length: 100_000 }, (_, index) => `export${index}`) });
const MiB = 2 ** 20;

useOracle();

async function runAlone(name: string, memory: string) {
  const script = new URL("modules/run-alone.ts", import.meta.url).pathname;
  const { stdout } = await run(process.execPath, [script, moduleFile(name), memory]);
  const report: { exitCode: number; startBytes: number; peakBytes: number } = JSON.parse(stdout);
  return report;
}

describe.each(inlineProfiles)("B: modules and memory, profile %s", (security) => {
  const { codeOf, errorOf, resultOf } = under(security);

  test("B1: memory.grow until it fails ends at the cap", async () => {
    const tool = await toolFrom("grow-memory");
    for (const pages of [1, 2, 100, 1024]) {
      const { exitCode, limits } = await resultOf({ tool, resources: { memory: pages * 65_536 } });
      expect(exitCode).toBe(pages);
      expect(limits.find(({ limit }) => limit === "memory")).toMatchObject({ applied: pages * 65_536, peak: pages * 65_536, hit: "yes" });
    }
    expect((await resultOf({ tool, resources: { memory: 65_536 * 3 + 65_535 } })).exitCode).toBe(3);
  });

  test("B1: table.grow until it fails ends at the cap, in a process of its own too", async () => {
    expect((await runAlone("grow-tables", "64Mi")).exitCode).toBe(200_000);
    expect((await resultOf({ tool: await toolFrom("grow-tables") })).exitCode).toBe(200_000);
  });

  test("B2: touching every page stays inside the limit, resident", async () => {
    const { exitCode, startBytes, peakBytes } = await runAlone("touch-memory", "64Mi");
    expect(exitCode).toBeGreaterThan(1000);
    expect(peakBytes - startBytes).toBeLessThan(64 * MiB + 32 * MiB);
    expect((await resultOf({ tool: await toolFrom("touch-memory"), resources: { memory: "64Mi" } })).exitCode).toBe(exitCode);
  });

  const memories: Record<string, readonly number[]> = {
    "several memories": vector([[0, 1], [0, 1]]), // oxfmt-ignore
    "a 64-bit memory": vector([[4, 1]]),
    "a shared memory": vector([[3, 1, 2]]),
    "a shared 64-bit memory": vector([[7, 1, 2]]),
    "a custom page size": vector([[8, 1, 0]]),
  };
  test.each(Object.entries(memories))("B3: %s is refused", async (_, content) => {
    const bytes = moduleOf(
      section(1, vector([functionType([])])),
      section(3, vector([[0]])),
      section(5, content),
      section(7, vector([[...nameOf("memory"), kinds.memory, 0], [...nameOf("_start"), kinds.function, 0]])), // oxfmt-ignore
      section(10, vector([functionBody()])),
    );
    expect(await errorOf({ tool: await toolOf(bytes) })).toMatchObject({ code: "ERR_ARTIFACT_INVALID", started: false });
  });

  test("B3: four gibibytes from the beginning are over the limit", async () => {
    const plain = emptyCommand();
    const at = plain.findIndex((byte, index) => byte === 5 && plain[index + 1] === 3);
    const huge = Uint8Array.from([...plain.subarray(0, at), ...section(5, vector([[0, 0x80, 0x80, 4]])), ...plain.subarray(at + 5)]);
    expect(WebAssembly.validate(huge)).toBe(true);
    expect(await errorOf({ tool: await toolOf(huge) })).toMatchObject({ code: "ERR_LIMIT_MEMORY", started: false });
  });

  const heapTypes: Record<string, readonly number[]> = {
    "an array type": [0x5e, types.i32, 1],
    "a struct type": [0x5f, 1, types.i64, 1],
    "a recursive group": [0x4e, 1, 0x5f, 0],
    "a function over a garbage-collected reference": functionType([0x6e]),
  };
  test.each(Object.entries(heapTypes))("B3: %s, whose heap no limit bounds, is refused", async (_, type) => {
    const bytes = moduleOf(
      section(1, vector([functionType([]), type])),
      section(3, vector([[0]])),
      section(5, vector([[0, 1]])),
      section(7, vector([[...nameOf("memory"), kinds.memory, 0], [...nameOf("_start"), kinds.function, 0]])), // oxfmt-ignore
      section(10, vector([functionBody()])),
    );
    expect(WebAssembly.validate(bytes)).toBe(true);
    expect(await codeOf({ tool: await toolOf(bytes) })).toBe("ERR_ARTIFACT_INVALID");
  });

  test("B3: a table of exceptions, whose heap no limit bounds, is refused", async () => {
    const bytes = moduleOf(
      section(1, vector([functionType([])])),
      section(3, vector([[0]])),
      section(4, vector([[0x69, 0, 1]])),
      section(5, vector([[0, 1]])),
      section(7, vector([[...nameOf("memory"), kinds.memory, 0], [...nameOf("_start"), kinds.function, 0]])), // oxfmt-ignore
      section(10, vector([functionBody()])),
    );
    expect(WebAssembly.validate(bytes)).toBe(true);
    expect(await codeOf({ tool: await toolOf(bytes) })).toBe("ERR_ARTIFACT_INVALID");
  });

  test("B5: a module of 200 MB is refused, whether its bytes are given or fetched", async () => {
    const whole = new Uint8Array(200_000_000);
    whole.set(emptyCommand());
    whole.set(padding(1).subarray(0, 0));
    expect(await codeOf({ tool: await toolOf(whole) })).toBe("ERR_ARTIFACT_TOO_LARGE");
    const fetched = await defineTool(
      { name: "attack", version: "1.0.0", description: "An attack", inputSchema: true, artifacts: { wasm: {} } },
      { wasm: async () => whole },
    );
    expect(await codeOf({ tool: fetched })).toBe("ERR_ARTIFACT_TOO_LARGE");
  });

  test("B5: a module over the operator's size is refused although it is a good one", async () => {
    await using small = createRuntime({ backend: wasm({ maxArtifactBytes: 1000 }), security: "dev" });
    const bytes = emptyCommand({ imports: [padding(1000)] });
    expect(await codeOf({ tool: await toolOf(bytes) })).toBe("exited 0");
    await expect(small.execute({ tool: await toolOf(bytes) })).rejects.toMatchObject({ code: "ERR_ARTIFACT_TOO_LARGE" });
  });

  const aFunction = [kinds.function, 0];
  const namespaces = ["wasi_snapshot_preview1", "wasi_unstable", "env", "", "__proto__", "constructor", "toolruntime:host"];
  test.each(namespaces)("B6: a function of %j that nobody granted is refused by name", async (namespace) => {
    for (const name of ["system", "fd_write2", "FD_WRITE", "", "memory", "fd_write\0"]) {
      const error = await errorOf({ tool: await toolOf(emptyCommand({ imports: [importOf(namespace, name, aFunction)] })) });
      expect(error).toMatchObject({ code: "ERR_IMPORT_DENIED", started: false, details: { namespace, name, kind: "function" } });
    }
  });

  test("B6: a granted name of another kind or another type is refused", async () => {
    const descriptions = [[kinds.memory, 0, 1], [kinds.table, 0x70, 0, 1], [kinds.global, types.i32, 0], [kinds.tag, 0, 0], aFunction];
    for (const description of descriptions) {
      const bytes = emptyCommand({ imports: [importOf("wasi_snapshot_preview1", "fd_write", description)] });
      expect(await codeOf({ tool: await toolOf(bytes) })).toBe("ERR_IMPORT_DENIED");
    }
    for (const args of [
      [1n, 0, 0, 0],
      [1, 0, 0],
      [1, 0, 0, 0, 0],
    ]) {
      expect(await codeOf({ tool: await toolOf(callingModule([{ name: "fd_write", args }])) })).toBe("ERR_IMPORT_DENIED");
    }
    expect(await codeOf({ tool: await toolOf(callingModule([{ name: "fd_seek", args: [1, 0, 0, 0] }])) })).toBe("ERR_IMPORT_DENIED");
  });

  test.each(namespaces)("B7: __proto__ and its kin from %j are refused", async (namespace) => {
    for (const name of ["__proto__", "constructor", "hasOwnProperty", "toString", "valueOf", "__defineGetter__", "prototype"]) {
      const bytes = emptyCommand({ imports: [importOf(namespace, name, aFunction)] });
      expect(await codeOf({ tool: await toolOf(bytes) })).toBe("ERR_IMPORT_DENIED");
    }
  });

  test("B7: names that are no UTF-8 are refused", async () => {
    for (const name of [[0xff], [0xed, 0xa0, 0x80], [0xc0, 0x80]]) {
      expect(await codeOf({ tool: await toolOf(emptyCommand({ imports: [importOf("env", name, aFunction)] })) })).toBe(
        "ERR_ARTIFACT_INVALID",
      );
      expect(await codeOf({ tool: await toolOf(emptyCommand({ exports: [name] })) })).toBe("ERR_ARTIFACT_INVALID");
    }
  });

  test("B8: exports named then, __proto__ and constructor are never awaited or touched", async () => {
    const names = [
      "then",
      "catch",
      "finally",
      "__proto__",
      "constructor",
      "toString",
      "toJSON",
      "valueOf",
      "Symbol.toPrimitive",
      "hasOwnProperty",
      "",
    ];
    expect(await codeOf({ tool: await toolOf(emptyCommand({ exports: names })) })).toBe("exited 0");
  });

  test("B8: a hundred thousand exports are refused, and one in the name of the host's", async () => {
    expect(await codeOf({ tool: await toolOf(manyExports) })).toBe("ERR_LIMIT_COMPILE");
    expect(await codeOf({ tool: await toolOf(emptyCommand({ exports: ["toolruntime:start"] })) })).toBe("ERR_ARTIFACT_INVALID");
  });

  test("B8: an entry that takes or gives something is none", async () => {
    for (const type of [functionType([types.i64]), functionType([types.i32]), functionType([], [types.i32])]) {
      const bytes = moduleOf(
        section(1, vector([type])),
        section(3, vector([[0]])),
        section(5, vector([[0, 1]])),
        section(7, vector([[...nameOf("_start"), kinds.function, 0], [...nameOf("memory"), kinds.memory, 0]])), // oxfmt-ignore
        section(10, vector([functionBody(0x00)])),
      );
      expect(await codeOf({ tool: await toolOf(bytes) })).toBe("ERR_ARTIFACT_INVALID");
    }
    const imported = moduleOf(
      section(1, vector([functionType([types.i32])])),
      importOf("wasi_snapshot_preview1", "proc_exit", aFunction),
      section(5, vector([[0, 1]])),
      section(7, vector([[...nameOf("_start"), kinds.function, 0], [...nameOf("memory"), kinds.memory, 0]])), // oxfmt-ignore
    );
    expect(await codeOf({ tool: await toolOf(imported) })).toBe("ERR_ARTIFACT_INVALID");
  });

  /** iovec { 0xfffffff0, 32 }, { 65535, 2 }, { 0, -1 }, each at its own place. */
  const wild = [0xf0, 0xff, 0xff, 0xff, 32, 0, 0, 0, 0xff, 0xff, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
  const pointers: Record<string, Call> = {
    "a list of buffers outside": { name: "fd_write", args: [1, 65_536, 1, 0] },
    "a negative pointer": { name: "fd_write", args: [1, -8, 1, 0] },
    "a list that ends outside": { name: "fd_write", args: [1, 65_532, 1, 0] },
    "four billion buffers": { name: "fd_write", args: [1, 0, -1, 0] },
    "a buffer outside": { name: "fd_write", args: [1, 0, 1, 1024] },
    "a buffer one byte too long": { name: "fd_write", args: [1, 8, 1, 1024] },
    "a buffer of negative length": { name: "fd_write", args: [1, 16, 1, 1024] },
    "a result outside": { name: "fd_write", args: [1, 24, 0, 65_533] },
    "a read to outside": { name: "fd_read", args: [0, 8, 1, 1024] },
    "random bytes outside": { name: "random_get", args: [65_000, 1000] },
    "random bytes of negative length": { name: "random_get", args: [0, -1] },
    "a clock outside": { name: "clock_time_get", args: [0, 0n, 65_529] },
    "a path outside": { name: "path_open", args: [3, 0, 65_530, 10, 0, 0n, 0n, 0, 0] },
    "a path of negative length": { name: "path_open", args: [3, 0, 0, -1, 0, 0n, 0n, 0, 0] },
    "subscriptions outside": { name: "poll_oneoff", args: [65_530, 0, 1, 0] },
    "a million subscriptions": { name: "poll_oneoff", args: [0, 0, 1_000_000, 0] },
    "arguments outside": { name: "args_get", args: [-4, 0] },
  };
  test.each(Object.entries(pointers))("B9: %s is a trap of the ABI, and nothing was written", async (_, call) => {
    const { exit, stdout } = await resultOf({ tool: await toolOf(callingModule([call], wild)) });
    expect(exit).toEqual({ kind: "trapped", trap: "abi" });
    expect(stdout).toBe("");
  });

  test("B9: buffers that overlap, each other and their own list, stay inside", async () => {
    // Two buffers of 64 bytes over the list of buffers itself and the place of the result.
    const list = [0, 0, 0, 0, 64, 0, 0, 0, 8, 0, 0, 0, 64, 0, 0, 0];
    const calls: Call[] = [
      { name: "fd_read", args: [0, 0, 2, 4] },
      { name: "fd_write", args: [1, 0, 2, 8] },
    ];
    const { exit } = await resultOf({ tool: await toolOf(callingModule(calls, list)), input: "\u0001".repeat(40) });
    expect(exit.kind === "exited" || exit.kind === "trapped").toBe(true);
  });

  test("B10: bytes that differ from the registered digest never run", async () => {
    // Of one that ran before, the engine has what it made of the right bytes, and fetches none.
    const good = emptyCommand({ exports: [`good in ${security}`] });
    const other = emptyCommand({ exports: ["other"] });
    const { manifest } = await toolOf(good);
    await expect(defineTool(manifest, { wasm: other })).rejects.toMatchObject({ code: "ERR_DIGEST_MISMATCH" });
    const lazy = await defineTool(manifest, { wasm: async () => other });
    expect(await errorOf({ tool: lazy })).toMatchObject({ code: "ERR_DIGEST_MISMATCH", started: false });
    const right = await defineTool(manifest, { wasm: async () => good });
    expect(await codeOf({ tool: right })).toBe("exited 0");
  });

  test("B10: two tools whose manifests say the same but name no digest each run their own bytes", async () => {
    const manifest = { name: "same", version: "0.0.0", description: "Same", inputSchema: true, artifacts: { wasm: {} } };
    const codes = await Promise.all(
      [0, 7, 9].map(async (code) => {
        const wasm = async () => callingModule([{ name: "proc_exit", args: [code], hasResult: false }]);
        return codeOf({ tool: await defineTool(manifest, { wasm }) });
      }),
    );
    expect(codes).toEqual(["exited 0", "exited 7", "exited 9"]);
  });

  test("B11: nothing is left of an earlier run, one after the other or at once", async () => {
    const tool = await toolFrom("leftovers");
    for (let count = 0; count < 50; count++) expect(await codeOf({ tool })).toBe("exited 0");
    expect(new Set(await Promise.all(Array.from({ length: 50 }, () => codeOf({ tool }))))).toEqual(new Set(["exited 0"]));
  });

  const paths = [
    "/",
    "..",
    "../x",
    "/etc/passwd",
    "/proc/self/environ",
    "tmp/../../etc/passwd",
    "out/../..",
    "./..",
    "//",
    "tmp/..//../etc",
  ];
  const bytesOf = (text: string): number[] => [...new TextEncoder().encode(text)];
  test.each(paths)("B12: %s is not to be opened, listed or made, by itself or through a link", async (path) => {
    const link = "out/link";
    // A link is read from its own folder, so one step more leads out.
    const target = path.startsWith("/") ? path : `../${path}`;
    const data = [...bytesOf(path), ...bytesOf(link), ...bytesOf("/x"), ...bytesOf(target)];
    const [length, at] = [bytesOf(path).length, bytesOf(path).length];
    const symlink: Call = { name: "path_symlink", args: [at + link.length + 2, target.length, 3, at, link.length] };
    const attempts: Record<string, readonly Call[]> = {
      open: [{ name: "path_open", args: [3, 1, 0, length, 0, 2n, 0n, 0, 1024] }],
      create: [{ name: "path_open", args: [3, 1, 0, length, 1, 64n, 0n, 0, 1024] }],
      list: [{ name: "path_open", args: [3, 1, 0, length, 2, 0x4000n, 0n, 0, 1024] }],
      stat: [{ name: "path_filestat_get", args: [3, 1, 0, length, 1024] }],
      mkdir: [{ name: "path_create_directory", args: [3, 0, length] }],
      rename: [{ name: "path_rename", args: [3, at, 3, 3, 0, length] }],
      follow: [symlink, { name: "path_open", args: [3, 1, at, link.length, 0, 2n, 0n, 0, 1024] }],
      "walk through": [symlink, { name: "path_open", args: [3, 1, at, link.length + 2, 0, 2n, 0n, 0, 1024] }],
    };
    for (const calls of Object.values(attempts)) {
      const { exit } = await resultOf({ tool: await toolOf(callingModule(calls, data)) });
      expect(exit).toEqual({ kind: "exited", code: expect.any(Number) });
      expect(exit).not.toEqual({ kind: "exited", code: 0 });
    }
  });

  test("B12: there is one preopened folder and no socket", async () => {
    for (const fd of [4, 5, 100, -1])
      expect(await codeOf({ tool: await toolOf(callingModule([{ name: "fd_prestat_get", args: [fd, 64] }])) })).toBe("exited 8");
    for (const fd of [0, 1, 2, 3, 4]) {
      const calls: Call[] = [
        { name: "sock_accept", args: [fd, 0, 64] },
        { name: "sock_recv", args: [fd, 0, 0, 0, 64, 68] },
        { name: "sock_send", args: [fd, 0, 0, 0, 64] },
        { name: "sock_shutdown", args: [fd, 3] },
      ];
      for (const call of calls) expect(await codeOf({ tool: await toolOf(callingModule([call])) })).not.toBe("exited 0");
    }
  });

  test("B13: environment and arguments are what the task gave", async () => {
    const calls: Call[] = [
      { name: "environ_get", args: [512, 1024] },
      { name: "args_get", args: [768, 1536] },
      { name: "fd_write", args: [1, 0, 1, 64] },
    ];
    const tool = await toolOf(callingModule(calls, [0, 4, 0, 0, 0, 4, 0, 0]));
    const { stdout } = await resultOf({ tool, env: { GIVEN: "this" } });
    expect(stdout.split("\0").filter((part) => part !== "")).toEqual(["GIVEN=this", "attack"]);
    expect(stdout).not.toContain(canary.name);
  });
});
