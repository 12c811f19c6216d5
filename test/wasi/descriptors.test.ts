import { describe, expect, it } from "vitest";
import { FileSystem, Right } from "../../src/wasm/wasi/index.ts";
import { ALL_RIGHTS, bytesOf, Creat, Directory, READ, Sandbox, Trunc, writableFileSystem } from "./sandbox.ts";

const BADF = 8;
const INVAL = 28;
const NOTCAPABLE = 76;

function rights(...names: readonly (keyof typeof Right)[]): bigint {
  return BigInt(names.reduce((sum, name) => sum | Right[name], 0));
}

describe("fd_close and fd_renumber", () => {
  it("free the lowest number for the next descriptor", () => {
    const sandbox = new Sandbox();
    const a = sandbox.openFile("a");
    const b = sandbox.openFile("b");
    expect([a, b]).toEqual([4, 5]);
    expect(sandbox.call.fd_close(a)).toBe(0);
    expect(sandbox.call.fd_close(a)).toBe(BADF);
    expect(sandbox.openFile("c")).toBe(4);
    expect(sandbox.call.fd_close(0)).toBe(0);
    expect(sandbox.openFile("d")).toBe(0);
    for (const fd of [-1, 6, 1 << 30]) expect(sandbox.call.fd_close(fd)).toBe(BADF);
  });

  it("moves a descriptor onto another open one and closes that", () => {
    const sandbox = new Sandbox();
    const a = sandbox.openFile("a");
    const b = sandbox.openFile("b");
    sandbox.write(a, "abc");
    expect(sandbox.call.fd_renumber(a, b)).toBe(0);
    expect(sandbox.call.fd_close(a)).toBe(BADF);
    sandbox.write(b, "d");
    expect(new TextDecoder().decode(sandbox.fs.readFile("a"))).toBe("abcd");
    expect(sandbox.call.fd_renumber(b, a)).toBe(BADF);
    expect(sandbox.call.fd_renumber(9, b)).toBe(BADF);
    expect(sandbox.call.fd_renumber(b, -1)).toBe(BADF);
    expect(sandbox.call.fd_renumber(b, b)).toBe(0);
    expect(sandbox.fstat(b).size).toBe(4n);
  });

  it("works on the streams: a file takes the place of stdout", () => {
    const sandbox = new Sandbox();
    const log = sandbox.openFile("log");
    expect(sandbox.call.fd_renumber(log, 1)).toBe(0);
    sandbox.write(1, "to the file");
    expect(sandbox.output()).toBe("");
    expect(sandbox.fs.readFile("log")).toHaveLength(11);
    expect(sandbox.call.fd_renumber(2, 1)).toBe(0);
    sandbox.write(1, "to stderr");
    expect(sandbox.stderr).toHaveLength(1);
  });

  it("carries a preopen's name along", () => {
    const sandbox = new Sandbox();
    const fd = sandbox.openFile("x");
    expect(sandbox.call.fd_renumber(3, fd)).toBe(0);
    expect(sandbox.call.fd_prestat_get(3, 64)).toBe(BADF);
    expect(sandbox.call.fd_prestat_get(fd, 64)).toBe(0);
  });

  it("there are at most 1024 descriptors", () => {
    const sandbox = new Sandbox();
    for (let fd = 4; fd < 1024; fd++) expect(sandbox.openFile("x")).toBe(fd);
    sandbox.write(4, "1");
    expect(sandbox.tryOpen("x", { flags: Trunc }).errno).toBe(33);
    expect(sandbox.tryOpen("new", { flags: Creat }).errno).toBe(33);
    expect(sandbox.stat("x").size).toBe(1n);
    expect(() => sandbox.stat("new")).toThrow("errno 44");
    expect(sandbox.call.fd_close(500)).toBe(0);
    expect(sandbox.openFile("x")).toBe(500);
  });
});

describe("preopens", () => {
  it("are found by number and name", () => {
    const fs = new FileSystem();
    fs.preopen("/");
    fs.preopen("/wörk", "work");
    const sandbox = new Sandbox({ fs });
    const at = sandbox.alloc(8);
    expect(sandbox.call.fd_prestat_get(4, at)).toBe(0);
    expect(sandbox.view.getUint8(at)).toBe(0);
    expect(sandbox.view.getUint32(at + 4, true)).toBe(6);
    const name = sandbox.alloc(8);
    expect(sandbox.call.fd_prestat_dir_name(4, name, 6)).toBe(0);
    expect(sandbox.text(name, 6)).toBe("/wörk");
    expect(sandbox.bytes[name + 6]).toBe(0xaa);
    expect(sandbox.call.fd_prestat_dir_name(4, name, 8)).toBe(0);
    expect(sandbox.call.fd_prestat_dir_name(4, name, 5)).toBe(37);
    for (const fd of [0, 1, 2, 5, -1]) {
      expect(sandbox.call.fd_prestat_get(fd, at)).toBe(BADF);
      expect(sandbox.call.fd_prestat_dir_name(fd, name, 8)).toBe(BADF);
    }
  });

  it("may share a folder", () => {
    const fs = writableFileSystem();
    fs.preopen("/again");
    const sandbox = new Sandbox({ fs });
    sandbox.write(sandbox.openFile("x", { dir: 4 }), "hi");
    expect(sandbox.stat("x").size).toBe(2n);
    expect(sandbox.rename("x", "y", { fromDir: 3, toDir: 4 })).toBe(0);
  });
});

describe("what a descriptor says of itself", () => {
  it("streams have no type, no size and no times", () => {
    const sandbox = new Sandbox({ stdin: bytesOf("xyz") });
    for (const fd of [0, 1, 2]) {
      expect(sandbox.fdstat(fd)).toMatchObject({ type: 0, flags: 0, inheriting: 0n });
      expect(sandbox.fstat(fd)).toEqual({ inode: 0n, type: 0, links: 0n, size: 0n, accessNs: 0n, modifyNs: 0n, changeNs: 0n });
    }
    expect(sandbox.fdstat(0).base & rights("fdRead", "fdWrite", "fdSeek", "fdTell")).toBe(rights("fdRead"));
    expect(sandbox.fdstat(1).base & rights("fdRead", "fdWrite", "fdSeek", "fdTell")).toBe(rights("fdWrite"));
  });

  it("files and folders say what they are", () => {
    const sandbox = new Sandbox();
    expect(sandbox.fdstat(3).type).toBe(3);
    expect(sandbox.fdstat(sandbox.openFile("x", { fdFlags: 1 | 4 | 16 }))).toMatchObject({ type: 4, flags: 21 });
    expect(sandbox.call.fd_fdstat_get(9, 64)).toBe(BADF);
    expect(sandbox.call.fd_filestat_get(9, 64)).toBe(BADF);
  });

  it("inode numbers tell nodes apart", () => {
    const sandbox = new Sandbox();
    const inodes = ["a", "b", "c"].map((name) => sandbox.fstat(sandbox.openFile(name)).inode);
    expect(new Set([...inodes, sandbox.stat(".").inode]).size).toBe(4);
  });
});

describe("flags", () => {
  it("are set on files and streams, not on folders", () => {
    const sandbox = new Sandbox();
    const fd = sandbox.openFile("x");
    expect(sandbox.call.fd_fdstat_set_flags(fd, 31)).toBe(0);
    expect(sandbox.fdstat(fd).flags).toBe(31);
    expect(sandbox.call.fd_fdstat_set_flags(fd, 32)).toBe(INVAL);
    expect(sandbox.call.fd_fdstat_set_flags(1, 4)).toBe(0);
    expect(sandbox.call.fd_fdstat_set_flags(3, 0)).toBe(BADF);
    expect(sandbox.call.fd_fdstat_set_flags(9, 0)).toBe(BADF);
  });
});

describe("advice, allocation, size and sync", () => {
  it("work on files", () => {
    const sandbox = new Sandbox();
    const fd = sandbox.openFile("x");
    sandbox.write(fd, "abc");
    expect(sandbox.call.fd_advise(fd, 0n, 10n, 5)).toBe(0);
    expect(sandbox.call.fd_advise(fd, 0n, 10n, 6)).toBe(INVAL);
    expect(sandbox.call.fd_advise(fd, -1n, 10n, 0)).toBe(INVAL);
    expect(sandbox.call.fd_allocate(fd, 0n, 2n)).toBe(0);
    expect(sandbox.fstat(fd).size).toBe(3n);
    expect(sandbox.call.fd_allocate(fd, 2n, 4n)).toBe(0);
    expect(sandbox.fstat(fd).size).toBe(6n);
    expect(sandbox.call.fd_allocate(fd, 0n, 0n)).toBe(INVAL);
    expect(sandbox.call.fd_allocate(fd, -1n, 1n)).toBe(INVAL);
    expect(sandbox.call.fd_filestat_set_size(fd, 2n)).toBe(0);
    expect(sandbox.call.fd_filestat_set_size(fd, 4n)).toBe(0);
    expect([...sandbox.pread(fd, 9, 0n)]).toEqual([97, 98, 0, 0]);
    expect(sandbox.call.fd_sync(fd)).toBe(0);
    expect(sandbox.call.fd_datasync(fd)).toBe(0);
    expect(sandbox.call.fd_sync(1)).toBe(0);
  });

  it("not on folders, streams and nothing", () => {
    const { call } = new Sandbox();
    for (const [fd, errno] of [
      [3, BADF],
      [9, BADF],
      [1, 70],
    ] as const) {
      expect(call.fd_advise(fd, 0n, 1n, 0)).toBe(errno);
      expect(call.fd_allocate(fd, 0n, 1n)).toBe(errno);
      expect(call.fd_tell(fd, 64)).toBe(errno);
    }
    expect(call.fd_filestat_set_size(3, 0n)).toBe(BADF);
    expect(call.fd_filestat_set_size(1, 0n)).toBe(INVAL);
    expect(call.fd_filestat_set_times(1, 0n, 0n, 1)).toBe(NOTCAPABLE);
    for (const fd of [3, 9]) {
      expect(call.fd_sync(fd)).toBe(BADF);
      expect(call.fd_datasync(fd)).toBe(BADF);
      expect(call.fd_read(fd, 0, 0, 64)).toBe(BADF);
      expect(call.fd_write(fd, 0, 0, 64)).toBe(BADF);
      expect(call.fd_pread(fd, 0, 0, 0n, 64)).toBe(BADF);
      expect(call.fd_pwrite(fd, 0, 0, 0n, 64)).toBe(BADF);
      expect(call.fd_seek(fd, 0n, 0, 64)).toBe(BADF);
    }
  });
});

describe("rights", () => {
  it("of what is opened are those asked for, as far as they are passed on and mean something", () => {
    const sandbox = new Sandbox();
    const asked = rights("fdRead", "fdSeek", "pathOpen");
    const fd = sandbox.open("x", { flags: Creat, rights: asked, inheriting: 0n });
    expect(sandbox.fdstat(fd)).toMatchObject({ base: rights("fdRead", "fdSeek"), inheriting: 0n });
    sandbox.mkdir("d");
    const dir = sandbox.open("d", { flags: Directory, rights: asked, inheriting: asked });
    expect(sandbox.fdstat(dir)).toMatchObject({ base: rights("pathOpen"), inheriting: asked });
  });

  it("bound everything below: a folder opened with less passes on less", () => {
    const sandbox = new Sandbox();
    sandbox.mkdir("d");
    const inheriting = rights("fdRead", "pathOpen");
    const dir = sandbox.openDirectory("d", { inheriting });
    sandbox.openFile("d/x");
    const again = sandbox.openDirectory(".", { dir, inheriting: ALL_RIGHTS });
    expect(sandbox.fdstat(again)).toMatchObject({ base: rights("pathOpen"), inheriting });
    expect(sandbox.tryOpen("x", { dir, rights: rights("fdRead", "fdWrite") }).errno).toBe(NOTCAPABLE);
    expect(sandbox.tryOpen("new", { dir, flags: Creat, rights: rights("fdWrite") }).errno).toBe(NOTCAPABLE);
    expect(sandbox.tryOpen("new", { dir }).errno).toBe(44);
    const fd = sandbox.open("x", { dir, rights: rights("fdRead", "fdSeek") });
    expect(sandbox.fdstat(fd).base).toBe(rights("fdRead"));
    expect(sandbox.seek(fd, 0n, 0).errno).toBe(NOTCAPABLE);
    expect(sandbox.call.fd_pread(fd, 0, 0, 0n, 64)).toBe(NOTCAPABLE);
  });

  it("can be given up and not taken back", () => {
    const sandbox = new Sandbox();
    const fd = sandbox.openFile("x");
    const { base, inheriting } = sandbox.fdstat(fd);
    const less = base & ~rights("fdSync");
    expect(sandbox.call.fd_fdstat_set_rights(fd, less, 0n)).toBe(0);
    expect(sandbox.fdstat(fd)).toMatchObject({ base: less, inheriting: 0n });
    expect(sandbox.call.fd_sync(fd)).toBe(NOTCAPABLE);
    expect(sandbox.call.fd_fdstat_set_rights(fd, base, 0n)).toBe(NOTCAPABLE);
    expect(sandbox.call.fd_fdstat_set_rights(fd, less, inheriting)).toBe(NOTCAPABLE);
    expect(sandbox.call.fd_fdstat_set_rights(fd, less | (1n << 40n), 0n)).toBe(NOTCAPABLE);
    expect(sandbox.call.fd_fdstat_set_rights(fd, -1n, 0n)).toBe(NOTCAPABLE);
    expect(sandbox.call.fd_fdstat_set_rights(9, 0n, 0n)).toBe(BADF);
  });

  // Each call on a descriptor that has all rights but the one that the call needs.
  const perFile: readonly [keyof typeof Right, (sandbox: Sandbox, fd: number) => number, number][] = [
    ["fdDatasync", ({ call }, fd) => call.fd_datasync(fd), NOTCAPABLE],
    ["fdRead", ({ call }, fd) => call.fd_read(fd, 0, 0, 64), BADF],
    ["fdRead", ({ call }, fd) => call.fd_pread(fd, 0, 0, 0n, 64), BADF],
    ["fdSeek", (sandbox, fd) => sandbox.seek(fd, 1n, 0).errno, NOTCAPABLE],
    ["fdSeek", (sandbox, fd) => sandbox.tryPwrite(fd, "x", 0n).errno, NOTCAPABLE],
    ["fdFdstatSetFlags", ({ call }, fd) => call.fd_fdstat_set_flags(fd, 0), NOTCAPABLE],
    ["fdSync", ({ call }, fd) => call.fd_sync(fd), NOTCAPABLE],
    ["fdWrite", (sandbox, fd) => sandbox.tryWrite(fd, "x").errno, BADF],
    ["fdWrite", (sandbox, fd) => sandbox.tryPwrite(fd, "x", 0n).errno, BADF],
    ["fdAdvise", ({ call }, fd) => call.fd_advise(fd, 0n, 0n, 0), NOTCAPABLE],
    ["fdAllocate", ({ call }, fd) => call.fd_allocate(fd, 0n, 1n), NOTCAPABLE],
    ["fdFilestatGet", ({ call }, fd) => call.fd_filestat_get(fd, 64), NOTCAPABLE],
    ["fdFilestatSetSize", ({ call }, fd) => call.fd_filestat_set_size(fd, 0n), NOTCAPABLE],
    ["fdFilestatSetTimes", ({ call }, fd) => call.fd_filestat_set_times(fd, 0n, 0n, 2), NOTCAPABLE],
  ];

  it.each(perFile)("%s is needed on a file", (right, act, errno) => {
    const sandbox = new Sandbox();
    const whole = sandbox.openFile("whole");
    expect(act(sandbox, whole)).toBe(0);
    const fd = sandbox.openFile("x");
    expect(sandbox.call.fd_fdstat_set_rights(fd, sandbox.fdstat(fd).base & ~rights(right), 0n)).toBe(0);
    expect(act(sandbox, fd)).toBe(errno);
  });

  it("telling needs one of fdTell and fdSeek", () => {
    const sandbox = new Sandbox();
    for (const [kept, tell, move] of [
      [rights("fdTell"), 0, NOTCAPABLE],
      [rights("fdSeek"), 0, 0],
      [0n, NOTCAPABLE, NOTCAPABLE],
    ] as const) {
      const fd = sandbox.openFile("x", { rights: kept });
      expect(sandbox.call.fd_tell(fd, 64)).toBe(tell);
      expect(sandbox.seek(fd, 0n, 1).errno).toBe(tell);
      expect(sandbox.seek(fd, 0n, 0).errno).toBe(move);
    }
  });

  const perFolder: readonly [keyof typeof Right, (sandbox: Sandbox) => number][] = [
    ["fdReaddir", ({ call }) => call.fd_readdir(3, 1024, 512, 0n, 64)],
    ["fdFilestatGet", ({ call }) => call.fd_filestat_get(3, 64)],
    ["fdFilestatSetTimes", ({ call }) => call.fd_filestat_set_times(3, 0n, 0n, 2)],
    ["pathCreateDirectory", (sandbox) => sandbox.mkdir("new")],
    ["pathCreateFile", (sandbox) => sandbox.tryOpen("new", { flags: Creat }).errno],
    ["pathOpen", (sandbox) => sandbox.tryOpen("file").errno],
    ["pathLinkSource", (sandbox) => sandbox.link("file", "new")],
    ["pathLinkTarget", (sandbox) => sandbox.link("file", "new")],
    ["pathReadlink", (sandbox) => sandbox.readlink("link").errno],
    ["pathRenameSource", (sandbox) => sandbox.rename("file", "new")],
    ["pathRenameTarget", (sandbox) => sandbox.rename("file", "new")],
    ["pathFilestatGet", ({ call }) => call.path_filestat_get(3, 0, 8, 4, 64)],
    ["pathSymlink", (sandbox) => sandbox.symlink("file", "new")],
    ["pathRemoveDirectory", (sandbox) => sandbox.onPath("path_remove_directory", "folder")],
    ["pathUnlinkFile", (sandbox) => sandbox.onPath("path_unlink_file", "file")],
  ];

  it.each(perFolder)("%s is needed on a folder", (right, act) => {
    for (const [drop, errno] of [
      [0n, 0],
      [rights(right), NOTCAPABLE],
    ] as const) {
      const sandbox = new Sandbox();
      sandbox.bytes.set(bytesOf("file"), 8);
      sandbox.write(sandbox.openFile("file"), "x");
      sandbox.symlink("file", "link");
      sandbox.mkdir("folder");
      expect(sandbox.call.fd_fdstat_set_rights(3, sandbox.fdstat(3).base & ~drop, sandbox.fdstat(3).inheriting)).toBe(0);
      expect(act(sandbox)).toBe(errno);
    }
  });

  it("to truncate on opening and to set times by path are needed too", () => {
    const sandbox = new Sandbox();
    sandbox.write(sandbox.openFile("file"), "x");
    const drop = rights("pathFilestatSetSize", "pathFilestatSetTimes");
    expect(sandbox.call.fd_fdstat_set_rights(3, sandbox.fdstat(3).base & ~drop, sandbox.fdstat(3).inheriting)).toBe(0);
    expect(sandbox.tryOpen("file", { flags: 8 }).errno).toBe(63);
    const { pointer, length } = sandbox.put("file");
    expect(sandbox.call.path_filestat_set_times(3, 0, pointer, length, 0n, 0n, 2)).toBe(NOTCAPABLE);
    expect(sandbox.stat("file").size).toBe(1n);
  });

  it("of a preopen are the host's to choose", () => {
    const fs = new FileSystem({ readOnlyRoot: false });
    fs.addFile("in", bytesOf("x"), { readOnly: false });
    fs.preopen("/", "", { rights: Right.pathOpen | Right.fdReaddir, inheriting: Right.fdRead });
    const sandbox = new Sandbox({ fs });
    expect(sandbox.fdstat(3)).toMatchObject({ base: rights("pathOpen", "fdReaddir"), inheriting: rights("fdRead") });
    expect(sandbox.tryOpen("in").errno).toBe(NOTCAPABLE);
    expect(sandbox.tryOpen("new", { flags: Creat }).errno).toBe(NOTCAPABLE);
    expect(sandbox.tryOpen("in", { rights: READ }).errno).toBe(0);
  });

  it("may be ignored but for reading and writing, never beyond the preopen's", () => {
    const fs = new FileSystem({ readOnlyRoot: false });
    fs.preopen("/");
    fs.preopen("/ro", "", { inheriting: Right.fdRead | Right.pathOpen });
    const sandbox = new Sandbox({ fs, rights: "ignored" });
    const dir = sandbox.open(".", { rights: 0n, inheriting: 0n });
    const fd = sandbox.open("x", { dir, flags: Creat, rights: rights("fdWrite"), inheriting: 0n });
    expect(sandbox.write(fd, "abc")).toBe(3);
    expect(sandbox.seek(fd, 0n, 0).errno).toBe(0);
    expect(sandbox.call.fd_read(fd, 0, 0, 64)).toBe(BADF);
    const reader = sandbox.open("x", { dir, rights: 0n, inheriting: 0n });
    expect(sandbox.read(reader, 9)).toHaveLength(3);
    expect(sandbox.tryWrite(reader, "x").errno).toBe(BADF);
    expect(sandbox.call.fd_filestat_set_size(reader, 0n)).toBe(INVAL);
    expect(sandbox.call.fd_allocate(reader, 0n, 99n)).toBe(NOTCAPABLE);
    expect(sandbox.call.fd_fdstat_set_rights(reader, 0n, 0n)).toBe(58);
    expect(sandbox.tryOpen("x", { dir: 4, rights: rights("fdWrite") }).errno).toBe(NOTCAPABLE);
    expect(sandbox.tryOpen("x", { dir: 4, rights: rights("fdRead") }).errno).toBe(0);
  });
});
