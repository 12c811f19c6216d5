import { describe, expect, it } from "vitest";
import { FileSystem } from "../../src/wasm/wasi/index.ts";
import { bytesOf, Creat, joined, READ, Sandbox, Trunc, writableFileSystem } from "./sandbox.ts";

const MAX_OFFSET = 2n ** 62n;

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

describe("stdin", () => {
  it("is read in the pieces asked for, then ends", () => {
    const sandbox = new Sandbox({ stdin: bytesOf("hello world") });
    expect(text(sandbox.read(0, 5))).toBe("hello");
    expect(text(sandbox.read(0, 100))).toBe(" world");
    expect(sandbox.read(0, 100)).toHaveLength(0);
  });

  it("is scattered over several buffers, empty ones too", () => {
    const sandbox = new Sandbox({ stdin: bytesOf("abcdef") });
    const buffer = sandbox.alloc(16);
    const iovecs = sandbox.iovecs({ pointer: buffer, length: 1 }, { pointer: 0xffff_fff0, length: 0 }, { pointer: buffer + 8, length: 3 });
    const result = sandbox.alloc(4);
    expect(sandbox.call.fd_read(0, iovecs, 3, result)).toBe(0);
    expect(sandbox.view.getUint32(result, true)).toBe(4);
    expect(text(sandbox.bytes.slice(buffer, buffer + 1))).toBe("a");
    expect(text(sandbox.bytes.slice(buffer + 8, buffer + 11))).toBe("bcd");
    expect(sandbox.bytes[buffer + 1]).toBe(0xaa);
  });

  it("can be neither written nor sought", () => {
    const sandbox = new Sandbox({ stdin: bytesOf("x") });
    expect(sandbox.tryWrite(0, "x").errno).toBe(8);
    expect(sandbox.seek(0, 0n, 0).errno).toBe(70);
    expect(sandbox.call.fd_tell(0, 64)).toBe(70);
    expect(sandbox.call.fd_pread(0, 64, 0, 0n, 80)).toBe(70);
    expect(sandbox.tryPwrite(0, "x", 0n).errno).toBe(70);
  });
});

describe("stdout and stderr", () => {
  it("are told apart and get fresh copies", () => {
    const sandbox = new Sandbox();
    expect(sandbox.write(1, "out")).toBe(3);
    expect(sandbox.write(2, "err")).toBe(3);
    sandbox.bytes.fill(0, 4096);
    expect(joined(sandbox.stdout)).toBe("out");
    expect(joined(sandbox.stderr)).toBe("err");
    expect(sandbox.stdout[0]?.buffer.byteLength).toBe(3);
  });

  it("gather several buffers into one piece", () => {
    const sandbox = new Sandbox();
    const iovecs = sandbox.iovecs(sandbox.put("a"), sandbox.put(""), sandbox.put("bc"));
    const result = sandbox.alloc(4);
    expect(sandbox.call.fd_write(1, iovecs, 3, result)).toBe(0);
    expect(sandbox.view.getUint32(result, true)).toBe(3);
    expect(sandbox.stdout.map(text)).toEqual(["abc"]);
  });

  it("hear nothing of empty writes", () => {
    const sandbox = new Sandbox();
    expect(sandbox.write(1, "")).toBe(0);
    expect(sandbox.call.fd_write(1, 0, 0, 64)).toBe(0);
    expect(sandbox.stdout).toHaveLength(0);
  });

  it("get bytes as they are (C2)", () => {
    const sandbox = new Sandbox();
    sandbox.write(1, Uint8Array.of(0, 0xff, 0xc3, 0x28, 0xed, 0xa0, 0x80));
    expect([...(sandbox.stdout[0] ?? [])]).toEqual([0, 0xff, 0xc3, 0x28, 0xed, 0xa0, 0x80]);
  });

  it("get a huge write whole, in pieces of at most 1 MiB", () => {
    const sandbox = new Sandbox();
    sandbox.memory.grow(40);
    const size = 2.5 * 1024 * 1024;
    const big = Uint8Array.from({ length: size }, (_, index) => index % 251);
    expect(sandbox.write(1, big)).toBe(size);
    expect(sandbox.stdout.map(({ length }) => length)).toEqual([1_048_576, 1_048_576, 524_288]);
    expect(Buffer.concat(sandbox.stdout).equals(big)).toBe(true);
  });

  it("what the callback throws unwinds the guest", () => {
    const limit = { code: "limit" };
    const sandbox = new Sandbox({
      stdout: () => {
        throw limit;
      },
    });
    let thrown: unknown;
    try {
      sandbox.write(1, "x");
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBe(limit);
  });

  it("cannot be read", () => {
    const sandbox = new Sandbox();
    expect(sandbox.call.fd_read(1, 0, 0, 64)).toBe(8);
    expect(sandbox.call.fd_pread(1, 0, 0, 0n, 64)).toBe(70);
  });
});

describe("a callback that must be waited for", () => {
  it("makes fd_write a promise, and only then", async () => {
    let release = (): void => undefined;
    const seen: string[] = [];
    const sandbox = new Sandbox({
      stdout: (bytes) => {
        seen.push(text(bytes));
        return new Promise((resolve) => {
          release = resolve;
        });
      },
    });
    const result = sandbox.alloc(4);
    const pending = sandbox.call.fd_write(1, sandbox.iovecs(sandbox.put("abc")), 1, result);
    expect(pending).toBeInstanceOf(Promise);
    release();
    expect(await pending).toBe(0);
    expect(sandbox.view.getUint32(result, true)).toBe(3);
    expect(sandbox.tryWrite(2, "sync").errno).toBe(0);
    expect(seen).toEqual(["abc"]);
  });

  it("gets the pieces of a huge write one after the other", async () => {
    let running = 0;
    const pieces: Uint8Array[] = [];
    const sandbox = new Sandbox({
      stdout: async (bytes) => {
        expect(++running).toBe(1);
        pieces.push(bytes);
        await Promise.resolve();
        running--;
      },
    });
    sandbox.memory.grow(40);
    const big = Uint8Array.from({ length: 1_500_000 }, (_, index) => index % 241);
    const all = [sandbox.put(big.subarray(0, 1_200_000)), sandbox.put(big.subarray(1_200_000))];
    const result = sandbox.alloc(4);
    expect(await sandbox.call.fd_write(1, sandbox.iovecs(...all), 2, result)).toBe(0);
    expect(sandbox.view.getUint32(result, true)).toBe(1_500_000);
    expect(Buffer.concat(pieces).equals(big)).toBe(true);
  });

  it("that rejects unwinds the guest", async () => {
    const sandbox = new Sandbox({ stdout: () => Promise.reject(new Error("stop")) });
    await expect(sandbox.call.fd_write(1, sandbox.iovecs(sandbox.put("x")), 1, 64)).rejects.toThrow("stop");
  });
});

describe("regular files", () => {
  it("are written, sought, told and read", () => {
    const sandbox = new Sandbox();
    const fd = sandbox.openFile("file");
    expect(sandbox.write(fd, "hello world")).toBe(11);
    expect(sandbox.seek(fd, -5n, 2)).toEqual({ errno: 0, position: 6n });
    expect(text(sandbox.read(fd, 99))).toBe("world");
    expect(sandbox.seek(fd, 1n, 0).position).toBe(1n);
    expect(sandbox.seek(fd, 2n, 1).position).toBe(3n);
    expect(sandbox.write(fd, "L")).toBe(1);
    expect(text(sandbox.pread(fd, 99, 0n))).toBe("helLo world");
    const at = sandbox.alloc(8);
    expect(sandbox.call.fd_tell(fd, at)).toBe(0);
    expect(sandbox.view.getBigUint64(at, true)).toBe(4n);
  });

  it("seeking fails before the start, past all numbers and with an unknown base, and moves nothing", () => {
    const sandbox = new Sandbox();
    const fd = sandbox.openFile("file");
    sandbox.write(fd, "abc");
    expect(sandbox.seek(fd, -4n, 1).errno).toBe(28);
    expect(sandbox.seek(fd, MAX_OFFSET, 0).errno).toBe(28);
    expect(sandbox.seek(fd, 0n, 3).errno).toBe(28);
    expect(sandbox.seek(fd, 0n, -1).errno).toBe(28);
    expect(sandbox.seek(fd, 0n, 1).position).toBe(3n);
  });

  it("pread and pwrite leave the offset alone", () => {
    const sandbox = new Sandbox();
    const fd = sandbox.openFile("file");
    sandbox.write(fd, "abc");
    expect(sandbox.tryPwrite(fd, "XY", 5n)).toEqual({ errno: 0, count: 2 });
    expect([...sandbox.pread(fd, 99, 2n)]).toEqual([...bytesOf("c\0\0XY")]);
    expect(sandbox.seek(fd, 0n, 1).position).toBe(3n);
    expect(sandbox.pread(fd, 9, 7n)).toHaveLength(0);
    expect(sandbox.pread(fd, 9, MAX_OFFSET)).toHaveLength(0);
    expect(sandbox.call.fd_pread(fd, 0, 0, -1n, 64)).toBe(28);
    expect(sandbox.tryPwrite(fd, "x", -1n).errno).toBe(28);
  });

  it("append whatever the offset, until the flag is taken away", () => {
    const sandbox = new Sandbox();
    const fd = sandbox.openFile("file", { fdFlags: 1 });
    sandbox.write(fd, "aa");
    sandbox.seek(fd, 0n, 0);
    sandbox.write(fd, "bb");
    expect(sandbox.seek(fd, 0n, 1).position).toBe(4n);
    expect(sandbox.tryPwrite(fd, "cc", 0n).errno).toBe(0);
    expect(text(sandbox.pread(fd, 9, 0n))).toBe("aabbcc");
    expect(sandbox.fdstat(fd).flags).toBe(1);
    expect(sandbox.call.fd_fdstat_set_flags(fd, 0)).toBe(0);
    sandbox.seek(fd, 0n, 0);
    sandbox.write(fd, "X");
    expect(text(sandbox.pread(fd, 9, 0n))).toBe("Xabbcc");
  });

  it("open for one of reading and writing refuse the other with EBADF", () => {
    const sandbox = new Sandbox();
    const reader = sandbox.openFile("file", { rights: READ });
    const writer = sandbox.openFile("file", { rights: 1n << 6n });
    expect(sandbox.tryWrite(reader, "x").errno).toBe(8);
    expect(sandbox.tryWrite(reader, "").errno).toBe(8);
    expect(sandbox.call.fd_read(writer, 0, 0, 64)).toBe(8);
    expect(sandbox.tryWrite(writer, "shared").errno).toBe(0);
    expect(text(sandbox.read(reader, 9))).toBe("shared");
  });

  it("a write at an offset that no file can have is EFBIG, and allocates nothing", () => {
    const sandbox = new Sandbox();
    const fd = sandbox.openFile("file");
    expect(sandbox.tryPwrite(fd, "x", MAX_OFFSET).errno).toBe(22);
    expect(sandbox.tryPwrite(fd, "x", 2n ** 63n - 1n).errno).toBe(22);
    expect(sandbox.call.fd_filestat_set_size(fd, MAX_OFFSET)).toBe(22);
    expect(sandbox.call.fd_allocate(fd, MAX_OFFSET, 1n)).toBe(22);
    expect(sandbox.call.fd_filestat_set_size(fd, -1n)).toBe(28);
    expect(sandbox.fstat(fd).size).toBe(0n);
  });

  it("reading at the end of one descriptor sees what another one adds", () => {
    const sandbox = new Sandbox();
    const a = sandbox.openFile("file");
    const b = sandbox.openFile("file");
    expect(sandbox.read(a, 9)).toHaveLength(0);
    sandbox.write(b, "new");
    expect(text(sandbox.read(a, 9))).toBe("new");
  });
});

describe("quotas", () => {
  function limited(maxBytes: number, maxEntries = 100): Sandbox {
    const fs = new FileSystem({ maxBytes, maxEntries, readOnlyRoot: false });
    fs.preopen("/");
    return new Sandbox({ fs });
  }

  it("cut the write that passes them short, then answer ENOSPC", () => {
    const sandbox = limited(1000);
    const fd = sandbox.openFile("file");
    expect(sandbox.tryWrite(fd, new Uint8Array(1500))).toEqual({ errno: 0, count: 1000 });
    expect(sandbox.tryWrite(fd, "x").errno).toBe(51);
    expect(sandbox.tryWrite(sandbox.openFile("other"), "x").errno).toBe(51);
    expect(sandbox.fs.readFile("file")).toHaveLength(1000);
  });

  it("count sparse growth: truncate, allocate and a far pwrite", () => {
    const sandbox = limited(1000);
    const fd = sandbox.openFile("file");
    expect(sandbox.call.fd_filestat_set_size(fd, 1001n)).toBe(51);
    expect(sandbox.call.fd_allocate(fd, 500n, 501n)).toBe(51);
    expect(sandbox.tryPwrite(fd, "x", 1000n).errno).toBe(51);
    expect(sandbox.tryPwrite(fd, "x", 2n ** 40n).errno).toBe(51);
    expect(sandbox.tryPwrite(fd, "xy", 999n)).toEqual({ errno: 0, count: 1 });
    expect(sandbox.call.fd_filestat_set_size(fd, 10n)).toBe(0);
    expect(sandbox.call.fd_allocate(fd, 0n, 1000n)).toBe(0);
    expect(sandbox.fstat(fd).size).toBe(1000n);
  });

  it("a sparse file inside them allocates nothing until it is written", () => {
    const sandbox = limited(2 ** 31);
    const before = process.memoryUsage().arrayBuffers;
    for (let index = 0; index < 4; index++) {
      const fd = sandbox.openFile(`file${index}`);
      expect(sandbox.call.fd_filestat_set_size(fd, 2n ** 28n)).toBe(0);
      expect([...sandbox.pread(fd, 3, 2n ** 28n - 3n)]).toEqual([0, 0, 0]);
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 26);
  });

  it("are given back by truncating and by unlinking, but not while a descriptor is open", () => {
    const sandbox = limited(1000);
    const fd = sandbox.openFile("file");
    sandbox.write(fd, new Uint8Array(1000));
    expect(sandbox.onPath("path_unlink_file", "file")).toBe(0);
    const other = sandbox.openFile("other");
    expect(sandbox.tryWrite(other, "x").errno).toBe(51);
    expect(sandbox.call.fd_close(fd)).toBe(0);
    expect(sandbox.tryWrite(other, new Uint8Array(1000)).count).toBe(1000);
    expect(sandbox.call.fd_filestat_set_size(other, 0n)).toBe(0);
    expect(sandbox.tryWrite(sandbox.openFile("third"), new Uint8Array(1000)).count).toBe(1000);
  });

  it("are given back where fd_renumber closes the last descriptor", () => {
    const sandbox = limited(1000);
    const fd = sandbox.openFile("file");
    sandbox.write(fd, new Uint8Array(1000));
    const other = sandbox.openFile("other");
    expect(sandbox.onPath("path_unlink_file", "file")).toBe(0);
    expect(sandbox.call.fd_renumber(other, fd)).toBe(0);
    expect(sandbox.tryWrite(fd, new Uint8Array(1000)).count).toBe(1000);
  });

  it("hold for names: files, folders, links", () => {
    const sandbox = limited(1000, 3);
    sandbox.openFile("a");
    expect(sandbox.mkdir("b")).toBe(0);
    expect(sandbox.symlink("a", "c")).toBe(0);
    expect(sandbox.tryOpen("d", { flags: Creat }).errno).toBe(51);
    expect(sandbox.mkdir("d")).toBe(51);
    expect(sandbox.symlink("a", "d")).toBe(51);
    expect(sandbox.link("a", "d")).toBe(51);
    expect(sandbox.onPath("path_unlink_file", "c")).toBe(0);
    expect(sandbox.link("a", "d")).toBe(0);
    expect(sandbox.rename("d", "e")).toBe(0);
    expect(sandbox.mkdir("f")).toBe(51);
  });

  it("count the targets of symbolic links", () => {
    const sandbox = limited(100);
    expect(sandbox.symlink("x".repeat(101), "long")).toBe(51);
    expect(sandbox.symlink("x".repeat(100), "long")).toBe(0);
    expect(sandbox.tryWrite(sandbox.openFile("file"), "x").errno).toBe(51);
    expect(sandbox.onPath("path_unlink_file", "long")).toBe(0);
    expect(sandbox.tryWrite(sandbox.openFile("file"), "x").errno).toBe(0);
  });

  it("count a file of the caller's only once the guest changes it", () => {
    const fs = new FileSystem({ maxBytes: 100, readOnlyRoot: false });
    fs.addFile("small", new Uint8Array(60), { readOnly: false });
    fs.addFile("big", new Uint8Array(1000), { readOnly: false });
    fs.preopen("/");
    const sandbox = new Sandbox({ fs });
    expect(sandbox.tryWrite(sandbox.open("big"), "x").errno).toBe(51);
    expect(sandbox.tryWrite(sandbox.open("small"), "x").errno).toBe(0);
    expect(sandbox.tryWrite(sandbox.openFile("new"), new Uint8Array(60)).count).toBe(40);
    expect(sandbox.open("big", { flags: Trunc })).toBeGreaterThan(3);
    expect(sandbox.stat("big").size).toBe(0n);
  });
});

describe("files of the caller's", () => {
  it("are never changed, and not copied unless written", () => {
    const bytes = bytesOf("original");
    const fs = writableFileSystem();
    fs.addFile("a", bytes, { readOnly: false });
    fs.addFile("b", bytes, { readOnly: false });
    const sandbox = new Sandbox({ fs });
    expect(fs.readFile("b")).toBe(bytes);
    const fd = sandbox.open("a");
    expect(sandbox.write(fd, "X")).toBe(1);
    expect(sandbox.call.fd_filestat_set_size(sandbox.open("b"), 3n)).toBe(0);
    expect(text(sandbox.pread(fd, 99, 0n))).toBe("Xriginal");
    expect(text(bytes)).toBe("original");
    expect(text(fs.readFile("b") ?? new Uint8Array())).toBe("ori");
  });

  it("that are read-only answer EPERM", () => {
    const fs = writableFileSystem();
    fs.addFile("in", bytesOf("x"));
    const sandbox = new Sandbox({ fs });
    expect(sandbox.tryOpen("in").errno).toBe(63);
    expect(sandbox.tryOpen("in", { flags: Trunc, rights: READ }).errno).toBe(63);
    const fd = sandbox.open("in", { rights: READ | (1n << 22n) | (1n << 23n) | (1n << 8n) });
    expect(sandbox.call.fd_filestat_set_size(fd, 0n)).toBe(63);
    expect(sandbox.call.fd_allocate(fd, 0n, 9n)).toBe(63);
    expect(sandbox.call.fd_filestat_set_times(fd, 0n, 0n, 5)).toBe(63);
    expect(sandbox.onPath("path_unlink_file", "in")).toBe(63);
    expect(sandbox.rename("in", "moved")).toBe(63);
    expect(sandbox.link("in", "alias")).toBe(63);
    sandbox.openFile("other");
    expect(sandbox.rename("other", "in")).toBe(63);
    expect(text(sandbox.read(fd, 9))).toBe("x");
  });
});

describe("the charge for host work", () => {
  function charged(act: (sandbox: Sandbox) => unknown, prepare: (sandbox: Sandbox) => unknown = () => undefined): number {
    let units = 0;
    const sandbox = new Sandbox({ stdin: new Uint8Array(1600), charge: (more) => void (units += more) });
    prepare(sandbox);
    units = 0;
    act(sandbox);
    return units;
  }

  it("is one unit for 16 bytes, and nothing for less", () => {
    expect(charged((sandbox) => sandbox.write(1, "x".repeat(15)))).toBe(0);
    expect(charged((sandbox) => sandbox.write(1, "x".repeat(1600)))).toBe(100);
    expect(charged((sandbox) => sandbox.read(0, 60_000))).toBe(100);
    expect(
      charged(
        (sandbox) => sandbox.write(4, new Uint8Array(3200)),
        (sandbox) => sandbox.openFile("f"),
      ),
      // As much again for the room that was made.
    ).toBe(400);
    expect(
      charged(
        (sandbox) => sandbox.pread(4, 60_000, 0n),
        (sandbox) => sandbox.write(sandbox.openFile("f"), new Uint8Array(3200)),
      ),
    ).toBe(200);
  });

  it("counts what is cut off, for it is cleared or copied (a loop of that is work for the host alone)", () => {
    const grown = (sandbox: Sandbox): number => sandbox.write(sandbox.openFile("f"), new Uint8Array(64_000));
    expect(charged((sandbox) => sandbox.call.fd_filestat_set_size(4, 62_400n), grown)).toBeGreaterThanOrEqual(100);
    expect(charged((sandbox) => sandbox.call.fd_filestat_set_size(4, 16_000n), grown)).toBe(1000);
    expect(charged((sandbox) => sandbox.call.fd_filestat_set_size(4, 1_000_000n), grown)).toBe(0);
  });

  it("is eight units for each random byte", () => {
    expect(charged((sandbox) => sandbox.call.random_get(4096, 70_000))).toBe(560_000);
  });

  it("counts the components that links add to a path", () => {
    const bomb = (sandbox: Sandbox): void => {
      for (let n = 1; n <= 30; n++) sandbox.symlink(`${"./".repeat(1000)}${n === 1 ? "." : `l${n - 1}`}`, `l${n}`);
    };
    expect(charged((sandbox) => sandbox.stat("l30", true), bomb)).toBeGreaterThan(30_000);
  });
});
