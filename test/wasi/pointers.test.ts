import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AbiTrap, createWasi, FileSystem, ProcExit, wasiFunctionNames } from "../../src/wasm/wasi/index.ts";
import { bytesOf, Creat, Sandbox } from "./sandbox.ts";

const SIZE = 4 * 65_536;
const GOOD = 1024;
const PATH = 8;

/** A sandbox with "file" at address 8, an iovec at 64, a subscription at 128 and descriptor 4 open on a file. */
function prepared(): Sandbox {
  const fs = new FileSystem({ readOnlyRoot: false });
  fs.preopen("/work");
  const sandbox = new Sandbox({ args: ["tool", "arg"], env: { A: "b" }, stdin: bytesOf("input"), fs });
  sandbox.write(sandbox.openFile("file"), "content");
  sandbox.symlink("file", "link");
  sandbox.bytes.set(bytesOf("file"), PATH);
  sandbox.bytes.set(bytesOf("link"), PATH + 8);
  sandbox.bytes.set(bytesOf("newname"), PATH + 16);
  sandbox.view.setUint32(64, GOOD, true);
  sandbox.view.setUint32(68, 16, true);
  sandbox.view.setUint8(128 + 8, 2);
  sandbox.view.setUint32(128 + 16, 1, true);
  return sandbox;
}

type Call = (call: Sandbox["call"], pointer: number) => number | Promise<number>;

/** Every pointer of every function, the other parameters sound. */
const POINTERS: readonly [string, Call][] = [
  ["args_get pointers", (c, p) => c.args_get(p, GOOD)],
  ["args_get buffer", (c, p) => c.args_get(GOOD, p)],
  ["args_sizes_get count", (c, p) => c.args_sizes_get(p, GOOD)],
  ["args_sizes_get size", (c, p) => c.args_sizes_get(GOOD, p)],
  ["environ_get pointers", (c, p) => c.environ_get(p, GOOD)],
  ["environ_get buffer", (c, p) => c.environ_get(GOOD, p)],
  ["environ_sizes_get count", (c, p) => c.environ_sizes_get(p, GOOD)],
  ["environ_sizes_get size", (c, p) => c.environ_sizes_get(GOOD, p)],
  ["clock_res_get", (c, p) => c.clock_res_get(0, p)],
  ["clock_time_get", (c, p) => c.clock_time_get(0, 0n, p)],
  ["fd_fdstat_get", (c, p) => c.fd_fdstat_get(4, p)],
  ["fd_filestat_get file", (c, p) => c.fd_filestat_get(4, p)],
  ["fd_filestat_get stream", (c, p) => c.fd_filestat_get(1, p)],
  ["fd_pread iovecs", (c, p) => c.fd_pread(4, p, 1, 0n, GOOD)],
  ["fd_pread result", (c, p) => c.fd_pread(4, 64, 1, 0n, p)],
  ["fd_prestat_get", (c, p) => c.fd_prestat_get(3, p)],
  ["fd_prestat_dir_name", (c, p) => c.fd_prestat_dir_name(3, p, 9)],
  ["fd_pwrite iovecs", (c, p) => c.fd_pwrite(4, p, 1, 0n, GOOD)],
  ["fd_pwrite result", (c, p) => c.fd_pwrite(4, 64, 1, 0n, p)],
  ["fd_read iovecs, file", (c, p) => c.fd_read(4, p, 1, GOOD)],
  ["fd_read iovecs, stdin", (c, p) => c.fd_read(0, p, 1, GOOD)],
  ["fd_read result, file", (c, p) => c.fd_read(4, 64, 1, p)],
  ["fd_read result, stdin", (c, p) => c.fd_read(0, 64, 1, p)],
  ["fd_readdir buffer", (c, p) => c.fd_readdir(3, p, 64, 0n, GOOD)],
  ["fd_readdir result", (c, p) => c.fd_readdir(3, GOOD, 64, 0n, p)],
  ["fd_seek", (c, p) => c.fd_seek(4, 0n, 0, p)],
  ["fd_tell", (c, p) => c.fd_tell(4, p)],
  ["fd_write iovecs, file", (c, p) => c.fd_write(4, p, 1, GOOD)],
  ["fd_write iovecs, stdout", (c, p) => c.fd_write(1, p, 1, GOOD)],
  ["fd_write result, file", (c, p) => c.fd_write(4, 64, 1, p)],
  ["fd_write result, stdout", (c, p) => c.fd_write(1, 64, 1, p)],
  ["path_create_directory", (c, p) => c.path_create_directory(3, p, 4)],
  ["path_filestat_get path", (c, p) => c.path_filestat_get(3, 0, p, 4, GOOD)],
  ["path_filestat_get result", (c, p) => c.path_filestat_get(3, 0, PATH, 4, p)],
  ["path_filestat_set_times", (c, p) => c.path_filestat_set_times(3, 0, p, 4, 0n, 0n, 0)],
  ["path_link from", (c, p) => c.path_link(3, 0, p, 4, 3, PATH + 16, 7)],
  ["path_link to", (c, p) => c.path_link(3, 0, PATH, 4, 3, p, 7)],
  ["path_open path", (c, p) => c.path_open(3, 0, p, 4, 0, 2n, 0n, 0, GOOD)],
  ["path_open result", (c, p) => c.path_open(3, 0, PATH, 4, 0, 2n, 0n, 0, p)],
  ["path_readlink path", (c, p) => c.path_readlink(3, p, 4, GOOD, 9, GOOD + 16)],
  ["path_readlink buffer", (c, p) => c.path_readlink(3, PATH + 8, 4, p, 9, GOOD + 16)],
  ["path_readlink result", (c, p) => c.path_readlink(3, PATH + 8, 4, GOOD, 9, p)],
  ["path_remove_directory", (c, p) => c.path_remove_directory(3, p, 4)],
  ["path_rename from", (c, p) => c.path_rename(3, p, 4, 3, PATH + 16, 7)],
  ["path_rename to", (c, p) => c.path_rename(3, PATH, 4, 3, p, 7)],
  ["path_symlink target", (c, p) => c.path_symlink(p, 4, 3, PATH + 16, 7)],
  ["path_symlink path", (c, p) => c.path_symlink(PATH, 4, 3, p, 7)],
  ["path_unlink_file", (c, p) => c.path_unlink_file(3, p, 4)],
  ["poll_oneoff subscriptions", (c, p) => c.poll_oneoff(p, GOOD, 1, GOOD + 64)],
  ["poll_oneoff events", (c, p) => c.poll_oneoff(128, p, 1, GOOD + 64)],
  ["poll_oneoff result", (c, p) => c.poll_oneoff(128, GOOD, 1, p)],
  ["random_get", (c, p) => c.random_get(p, 16)],
];

function outcome(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    return error;
  }
}

describe("a pointer outside the memory (B9)", () => {
  it.each(POINTERS)("%s traps", (_name, act) => {
    expect(outcome(() => act(prepared().call, GOOD + 256))).toBeTypeOf("number");
    for (const pointer of [SIZE, SIZE - 1, -1, -8, 0x7fff_ffff, -0x8000_0000]) {
      const sandbox = prepared();
      const thrown = outcome(() => act(sandbox.call, pointer));
      expect(thrown).toBeInstanceOf(AbiTrap);
      expect(sandbox.wasi.ended).toBe(thrown);
      expect(String(thrown)).toContain("Cannot access");
    }
  });

  it("traps for lengths that reach beyond the end, and nothing has happened", () => {
    const sandbox = prepared();
    sandbox.view.setUint32(68, SIZE - GOOD + 1, true);
    expect(outcome(() => sandbox.call.fd_write(1, 64, 1, 80))).toBeInstanceOf(AbiTrap);
    expect(sandbox.stdout).toHaveLength(0);
    const second = prepared();
    expect(outcome(() => second.call.random_get(GOOD, -1))).toBeInstanceOf(AbiTrap);
    const third = prepared();
    expect(outcome(() => third.call.path_create_directory(3, PATH, -1))).toBeInstanceOf(AbiTrap);
    const fourth = prepared();
    expect(outcome(() => fourth.call.poll_oneoff(128, GOOD, -1, 80))).toBeInstanceOf(AbiTrap);
  });

  it("up to the last byte is fine", () => {
    const sandbox = prepared();
    expect(sandbox.call.random_get(SIZE - 16, 16)).toBe(0);
    expect(sandbox.call.fd_filestat_get(4, SIZE - 64)).toBe(0);
    expect(sandbox.call.clock_time_get(0, 0n, SIZE - 8)).toBe(0);
    expect(sandbox.call.fd_readdir(3, SIZE - 64, 64, 0n, GOOD)).toBe(0);
  });
});

describe("arrays of buffers", () => {
  it("with 2^30 entries trap at once", () => {
    for (const count of [2 ** 30, -1, -(2 ** 31), SIZE / 8 + 1]) {
      expect(outcome(() => prepared().call.fd_write(1, 0, count, GOOD))).toBeInstanceOf(AbiTrap);
      expect(outcome(() => prepared().call.fd_read(4, 0, count, GOOD))).toBeInstanceOf(AbiTrap);
    }
  });

  it("that overlap move at most as much as the memory holds", () => {
    const sandbox = prepared();
    const count = 500;
    for (let index = 0; index < count; index++) {
      sandbox.view.setUint32(8192 + index * 8, 0, true);
      sandbox.view.setUint32(8196 + index * 8, SIZE, true);
    }
    expect(sandbox.call.fd_write(1, 8192, count, 80)).toBe(0);
    expect(sandbox.view.getUint32(80, true)).toBe(SIZE);
    expect(sandbox.stdout.reduce((sum, { length }) => sum + length, 0)).toBe(SIZE);
  });

  it("that are very many are a short write, and the rest can follow", () => {
    const sandbox = prepared();
    for (let index = 0; index < 3000; index++) {
      sandbox.view.setUint32(65_536 + index * 8, PATH, true);
      sandbox.view.setUint32(65_540 + index * 8, 1, true);
    }
    expect(sandbox.call.fd_write(1, 65_536, 3000, 80)).toBe(0);
    expect(sandbox.view.getUint32(80, true)).toBe(1024);
  });

  it("are read once: buffers that lie over the array and the result change nothing", () => {
    const sandbox = prepared();
    sandbox.view.setUint32(64, 64, true);
    sandbox.view.setUint32(68, 16, true);
    sandbox.view.setUint32(72, GOOD, true);
    sandbox.view.setUint32(76, 2, true);
    const file = sandbox.open("file");
    expect(sandbox.call.fd_read(file, 64, 2, 66)).toBe(0);
    expect(sandbox.view.getUint32(66, true)).toBe(7);
  });

  it("with one bad entry trap before anything is moved", () => {
    const sandbox = prepared();
    sandbox.view.setUint32(72, SIZE, true);
    sandbox.view.setUint32(76, 1, true);
    expect(outcome(() => sandbox.call.fd_write(1, 64, 2, 80))).toBeInstanceOf(AbiTrap);
    expect(sandbox.stdout).toHaveLength(0);
    expect(sandbox.bytes[80]).toBe(0);
  });
});

describe("the memory", () => {
  it("may grow between calls and while the host waits", async () => {
    let release = (): void => undefined;
    const sandbox = new Sandbox({
      stdout: () =>
        new Promise((resolve) => {
          release = resolve;
        }),
    });
    const pending = sandbox.call.fd_write(1, sandbox.iovecs(sandbox.put("x")), 1, 32);
    sandbox.memory.grow(8);
    release();
    expect(await pending).toBe(0);
    expect(sandbox.call.clock_time_get(0, 0n, SIZE + 65_536)).toBe(0);
    expect(sandbox.view.getBigUint64(SIZE + 65_536, true)).toBeGreaterThan(0n);
  });

  it("may grow inside a callback of a large write", () => {
    const sandbox = new Sandbox({ stdout: (bytes) => void (sandbox.memory.grow(1), sandbox.stdout.push(bytes)) });
    sandbox.memory.grow(40);
    const { length } = Uint8Array.from({ length: 2_200_000 });
    expect(sandbox.write(1, new Uint8Array(length).fill(9))).toBe(length);
    expect(Buffer.concat(sandbox.stdout).every((byte) => byte === 9)).toBe(true);
  });

  it("may be shared: what leaves it is copied", () => {
    const pieces: Uint8Array[] = [];
    const fs = new FileSystem({ readOnlyRoot: false });
    fs.preopen("/");
    const wasi = createWasi({
      args: [],
      env: {},
      fs,
      stdin: new Uint8Array(),
      stdout: (bytes) => void pieces.push(bytes),
      stderr: () => undefined,
    });
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true });
    wasi.bind(memory);
    const bytes = new Uint8Array(memory.buffer);
    bytes.set(bytesOf("päth"), 512);
    new DataView(memory.buffer).setUint32(64, 512, true);
    new DataView(memory.buffer).setUint32(68, 5, true);
    expect(wasi.imports.fd_write(1, 64, 1, 80)).toBe(0);
    expect(pieces[0]?.buffer).toBeInstanceOf(ArrayBuffer);
    expect(wasi.imports.random_get(2048, 70_000)).toBe(0);
    expect(wasi.imports.path_open(3, 0, 512, 5, Creat, 66n, 0n, 0, 96)).toBe(0);
    expect([...fs.files()].map(({ path }) => path)).toEqual(["päth"]);
  });
});

describe("any call with any parameters", () => {
  const word = fc.oneof(
    fc.integer({ min: -2, max: 12 }),
    fc.integer({ min: 0, max: SIZE + 64 }),
    fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  );
  const long = fc.oneof(fc.bigInt({ min: -2n, max: 70n }), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }));

  it("answers an errno or traps, and nothing else", () => {
    const names = wasiFunctionNames.filter((name) => name !== "proc_exit");
    const calls = fc.array(
      fc.tuple(fc.constantFrom(...names), fc.array(word, { minLength: 9, maxLength: 9 }), fc.array(long, { minLength: 9, maxLength: 9 })),
      {
        minLength: 1,
        maxLength: 12,
      },
    );
    fc.assert(
      fc.property(calls, (sequence) => {
        const sandbox = prepared();
        for (const [name, words, longs] of sequence) {
          const result = outcome(() => invoke(sandbox, name, words, longs));
          if (result instanceof AbiTrap || result instanceof ProcExit) return;
          if (result instanceof Promise) continue;
          expect(result).toBeTypeOf("number");
          expect(result).toBeGreaterThanOrEqual(0);
          expect(result).toBeLessThanOrEqual(76);
        }
      }),
      { numRuns: 1500 },
    );
  });
});

/** Which parameters of a function are 64-bit, by position. */
const LONGS: Readonly<Record<string, readonly number[]>> = {
  clock_time_get: [1],
  fd_advise: [1, 2],
  fd_allocate: [1, 2],
  fd_fdstat_set_rights: [1, 2],
  fd_filestat_set_size: [1],
  fd_filestat_set_times: [1, 2],
  fd_pread: [3],
  fd_pwrite: [3],
  fd_readdir: [3],
  fd_seek: [1],
  path_filestat_set_times: [4, 5],
  path_open: [5, 6],
};

function invoke(sandbox: Sandbox, name: string, words: readonly number[], longs: readonly bigint[]): unknown {
  const target: unknown = Reflect.get(sandbox.call, name);
  if (typeof target !== "function") throw new TypeError(`No function ${name}`);
  const parameters = Array.from({ length: target.length }, (_, index) =>
    LONGS[name]?.includes(index) === true ? longs[index] : words[index],
  );
  return Reflect.apply(target, undefined, parameters);
}
