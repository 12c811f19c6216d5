import { describe, expect, it } from "vitest";
import { FileSystem } from "../../src/wasm/wasi/index.ts";
import { bytesOf, Creat, Directory, Excl, READ, Sandbox, Trunc, writableFileSystem } from "./sandbox.ts";

const EXIST = 20;
const INVAL = 28;
const ISDIR = 31;
const LOOP = 32;
const NAMETOOLONG = 37;
const NOENT = 44;
const NOTDIR = 54;
const NOTEMPTY = 55;
const PERM = 63;

function tree(): Sandbox {
  const sandbox = new Sandbox();
  expect(sandbox.mkdir("dir")).toBe(0);
  expect(sandbox.mkdir("dir/sub")).toBe(0);
  sandbox.write(sandbox.openFile("dir/sub/file"), "content");
  expect(sandbox.symlink("sub/file", "dir/toFile")).toBe(0);
  expect(sandbox.symlink("sub", "dir/toSub")).toBe(0);
  return sandbox;
}

describe("nothing leads out of a preopened folder (B12)", () => {
  it.each(["/", "/etc/passwd", "..", "../x", "dir/../../x", "dir/../..", "/proc/self/environ", "dir/sub/../../../dir"])(
    "%s is refused",
    (path) => {
      const sandbox = tree();
      expect(sandbox.tryOpen(path).errno).toBe(PERM);
      expect(sandbox.tryOpen(path, { flags: Creat }).errno).toBe(PERM);
      expect(sandbox.mkdir(path)).toBe(PERM);
      expect(sandbox.onPath("path_unlink_file", path)).toBe(PERM);
      expect(sandbox.onPath("path_remove_directory", path)).toBe(PERM);
      expect(sandbox.rename("dir", path)).toBe(PERM);
      expect(sandbox.rename(path, "y")).toBe(PERM);
      expect(sandbox.link(path, "y")).toBe(PERM);
      expect(sandbox.link("dir/sub/file", path)).toBe(PERM);
      expect(sandbox.symlink("x", path)).toBe(PERM);
      expect(sandbox.readlink(path).errno).toBe(PERM);
      expect(() => sandbox.stat(path)).toThrow("errno 63");
    },
  );

  it("paths that only look as if they did are fine", () => {
    const sandbox = tree();
    for (const path of ["dir/sub/../sub/file", "./dir//sub/./file", "dir/../dir/sub/file", "dir/toSub/../sub/file"]) {
      expect(sandbox.stat(path).size).toBe(7n);
    }
    expect(sandbox.stat("dir/..").inode).toBe(sandbox.stat(".").inode);
    expect(sandbox.tryOpen("..dir").errno).toBe(NOENT);
    expect(sandbox.tryOpen("...").errno).toBe(NOENT);
  });

  it("a descriptor of a folder below is a root of its own", () => {
    const sandbox = tree();
    const sub = sandbox.openDirectory("dir/sub");
    expect(sandbox.tryOpen("file", { dir: sub }).errno).toBe(0);
    expect(sandbox.tryOpen("../sub/file", { dir: sub }).errno).toBe(PERM);
    expect(sandbox.symlink("../toFile", "up", sub)).toBe(0);
    expect(sandbox.tryOpen("up", { dir: sub }).errno).toBe(PERM);
    expect(sandbox.tryOpen("dir/sub/up").errno).toBe(0);
  });

  it("symbolic links that lead out can be made relative, and are not followed", () => {
    const sandbox = tree();
    expect(sandbox.symlink("/etc/passwd", "abs")).toBe(PERM);
    expect(sandbox.symlink("../../etc/passwd", "dir/out")).toBe(0);
    expect(sandbox.tryOpen("dir/out").errno).toBe(PERM);
    expect(sandbox.tryOpen("dir/out", { flags: Creat }).errno).toBe(PERM);
    expect(() => sandbox.stat("dir/out", true)).toThrow("errno 63");
    expect(sandbox.symlink("..", "dir/root")).toBe(0);
    expect(sandbox.tryOpen("dir/root/dir/sub/file").errno).toBe(0);
    expect(sandbox.tryOpen("dir/root/../x").errno).toBe(PERM);
  });

  it("folders that were not preopened do not exist for the guest", () => {
    const fs = new FileSystem();
    fs.addFile("secret/key", bytesOf("x"));
    fs.mkdir("work");
    fs.preopen("/work", "work");
    const sandbox = new Sandbox({ fs });
    expect(sandbox.tryOpen("../secret/key").errno).toBe(PERM);
    expect(sandbox.tryOpen("key").errno).toBe(NOENT);
    expect(sandbox.readdir(3).entries.map(({ name }) => name)).toEqual([".", ".."]);
    expect(sandbox.call.fd_prestat_get(4, 64)).toBe(8);
  });

  it("with no preopen there is no folder at all", () => {
    const sandbox = new Sandbox({ fs: new FileSystem() });
    expect(sandbox.tryOpen("x").errno).toBe(8);
    expect(sandbox.tryOpen("x", { dir: 0 }).errno).toBe(NOTDIR);
    expect(sandbox.tryOpen("x", { dir: -100 }).errno).toBe(8);
  });
});

describe("names", () => {
  it.each([
    ["a\0b", INVAL],
    ["dir/sub/file\0", INVAL],
    [Uint8Array.of(0x66, 0xff), 25],
    [Uint8Array.of(0xed, 0xa0, 0x80), 25],
    [Uint8Array.of(0xc0, 0xaf), 25],
    ["", NOENT],
    ["x".repeat(256), NAMETOOLONG],
    ["é".repeat(128), NAMETOOLONG],
    [`dir/${"x".repeat(256)}/y`, NAMETOOLONG],
    ["a/".repeat(2049), NAMETOOLONG],
  ])("%j is refused", (path, errno) => {
    const sandbox = tree();
    const { pointer, length } = sandbox.put(path);
    expect(sandbox.call.path_create_directory(3, pointer, length)).toBe(errno);
    expect(sandbox.call.path_unlink_file(3, pointer, length)).toBe(errno);
  });

  it("may be 255 bytes long and of any script", () => {
    const sandbox = new Sandbox();
    for (const name of ["x".repeat(255), "é".repeat(127), "日本語 🎈", "\u{feff}bom", "__proto__", "constructor"]) {
      sandbox.write(sandbox.openFile(name), name);
      expect(sandbox.stat(name).size).toBe(BigInt(bytesOf(name).length));
    }
    expect(sandbox.tryOpen("bom").errno).toBe(NOENT);
    expect(sandbox.tryOpen("toString").errno).toBe(NOENT);
    expect([...sandbox.fs.files()]).toHaveLength(6);
  });

  it("folders nest 64 deep and no deeper, also by renaming", () => {
    const sandbox = new Sandbox();
    const path = Array.from({ length: 64 }, () => "d").join("/");
    for (let depth = 1; depth <= 64; depth++) expect(sandbox.mkdir(path.slice(0, depth * 2 - 1))).toBe(0);
    expect(sandbox.mkdir(`${path}/d`)).toBe(NAMETOOLONG);
    expect(sandbox.mkdir("a")).toBe(0);
    expect(sandbox.mkdir("a/b")).toBe(0);
    expect(sandbox.rename("a", `${path.slice(2)}/a`)).toBe(NAMETOOLONG);
    expect(sandbox.rename("a/b", `${path.slice(2)}/b`)).toBe(0);
  });
});

describe("path_open", () => {
  it("creates, and with EXCL only what is not there", () => {
    const sandbox = tree();
    expect(sandbox.tryOpen("new").errno).toBe(NOENT);
    expect(sandbox.tryOpen("new", { flags: Creat | Excl }).errno).toBe(0);
    expect(sandbox.tryOpen("new", { flags: Creat | Excl }).errno).toBe(EXIST);
    expect(sandbox.tryOpen("new", { flags: Creat }).errno).toBe(0);
    expect(sandbox.tryOpen("no/such", { flags: Creat }).errno).toBe(NOENT);
    expect(sandbox.tryOpen("new/x", { flags: Creat }).errno).toBe(NOTDIR);
    expect(sandbox.tryOpen("slash/", { flags: Creat }).errno).toBe(ISDIR);
    expect(sandbox.tryOpen("dir/toFile", { flags: Creat | Excl }).errno).toBe(EXIST);
  });

  it("truncates", () => {
    const sandbox = tree();
    sandbox.open("dir/sub/file", { flags: Trunc });
    expect(sandbox.stat("dir/sub/file").size).toBe(0n);
  });

  it("tells folders from files", () => {
    const sandbox = tree();
    expect(sandbox.tryOpen("dir", { flags: Directory, rights: READ }).errno).toBe(0);
    expect(sandbox.tryOpen("dir", { rights: READ }).errno).toBe(0);
    expect(sandbox.tryOpen("dir", { rights: 1n << 6n }).errno).toBe(ISDIR);
    expect(sandbox.tryOpen("dir", { flags: Creat, rights: READ }).errno).toBe(ISDIR);
    expect(sandbox.tryOpen("dir", { flags: Trunc, rights: READ }).errno).toBe(ISDIR);
    expect(sandbox.tryOpen("dir/sub/file", { flags: Directory }).errno).toBe(NOTDIR);
    expect(sandbox.tryOpen("dir/sub/file/").errno).toBe(NOTDIR);
    expect(sandbox.tryOpen("dir/sub///", { rights: READ }).errno).toBe(0);
    expect(sandbox.tryOpen("x", { flags: Creat | Directory }).errno).toBe(INVAL);
    expect(sandbox.tryOpen("x", { flags: 16 }).errno).toBe(INVAL);
    expect(sandbox.tryOpen("dir/sub/file", { fdFlags: 32 }).errno).toBe(INVAL);
  });

  it("follows a symbolic link at the end only when asked, or before a slash", () => {
    const sandbox = tree();
    expect(sandbox.tryOpen("dir/toFile", { follow: false }).errno).toBe(LOOP);
    expect(new TextDecoder().decode(sandbox.read(sandbox.open("dir/toFile"), 9))).toBe("content");
    expect(sandbox.tryOpen("dir/toSub", { follow: false, rights: READ }).errno).toBe(LOOP);
    expect(sandbox.tryOpen("dir/toSub/", { follow: false, rights: READ }).errno).toBe(0);
    expect(sandbox.tryOpen("dir/toSub/file", { follow: false }).errno).toBe(0);
  });

  it("takes a slash at the end of a link's target for one at the end of the path", () => {
    const sandbox = tree();
    sandbox.symlink("dir/", "folder");
    sandbox.symlink("dir/sub/file/", "file");
    expect(sandbox.tryOpen("folder", { rights: READ }).errno).toBe(0);
    expect(sandbox.tryOpen("file").errno).toBe(NOTDIR);
    expect(sandbox.tryOpen("dir/../file").errno).toBe(NOTDIR);
  });

  it("does not follow an absolute link, wherever it came from", () => {
    const sandbox = tree();
    expect(sandbox.fs.createSymlink(sandbox.fs.root, "abs", { target: "/dir", targetBytes: 4, timeNs: 0n })).toBe(0);
    expect(sandbox.tryOpen("abs", { rights: READ }).errno).toBe(PERM);
    expect(sandbox.tryOpen("abs/sub/file").errno).toBe(PERM);
  });

  it("creates through a dangling link where it may follow", () => {
    const sandbox = new Sandbox();
    sandbox.symlink("target", "dangling");
    expect(sandbox.tryOpen("dangling", { follow: false, flags: Creat }).errno).toBe(LOOP);
    expect(sandbox.tryOpen("dangling").errno).toBe(NOENT);
    expect(sandbox.tryOpen("dangling", { flags: Creat | Excl }).errno).toBe(EXIST);
    expect(() => sandbox.stat("target")).toThrow("errno 44");
    expect(sandbox.tryOpen("dangling", { flags: Creat }).errno).toBe(0);
    expect(sandbox.stat("target").type).toBe(4);
  });

  it("ends loops of links", () => {
    const sandbox = new Sandbox();
    sandbox.symlink("b", "a");
    sandbox.symlink("a", "b");
    sandbox.symlink("self/x", "self");
    for (const path of ["a", "b", "a/x", "self", "self/y"]) expect(sandbox.tryOpen(path).errno).toBe(LOOP);
    for (let n = 1; n <= 41; n++) sandbox.symlink(n === 1 ? "." : `l${n - 1}`, `l${n}`);
    expect(sandbox.tryOpen("l40", { rights: READ }).errno).toBe(0);
    expect(sandbox.tryOpen("l41", { rights: READ }).errno).toBe(LOOP);
  });

  it("works on what was unlinked, and not in a folder that was removed", () => {
    const sandbox = tree();
    const fd = sandbox.open("dir/sub/file");
    expect(sandbox.onPath("path_unlink_file", "dir/sub/file")).toBe(0);
    expect(sandbox.read(fd, 9)).toHaveLength(7);
    expect(sandbox.fstat(fd).links).toBe(0n);
    const sub = sandbox.openDirectory("dir/sub");
    expect(sandbox.onPath("path_remove_directory", "dir/sub")).toBe(0);
    expect(sandbox.tryOpen("x", { dir: sub, flags: Creat }).errno).toBe(NOENT);
    expect(sandbox.onPath("path_create_directory", "x", sub)).toBe(NOENT);
    expect(sandbox.rename("dir/toFile", "x", { toDir: sub })).toBe(NOENT);
    expect(sandbox.readdir(sub).entries).toHaveLength(2);
  });
});

describe("making and removing", () => {
  it("folders", () => {
    const sandbox = tree();
    expect(sandbox.mkdir("dir")).toBe(EXIST);
    expect(sandbox.mkdir("dir/toSub")).toBe(EXIST);
    expect(sandbox.mkdir("no/such")).toBe(NOENT);
    expect(sandbox.mkdir("made/")).toBe(0);
    expect(sandbox.mkdir(".")).toBe(EXIST);
    expect(sandbox.onPath("path_remove_directory", "made/")).toBe(0);
    expect(sandbox.onPath("path_remove_directory", "made")).toBe(NOENT);
    expect(sandbox.onPath("path_remove_directory", "dir")).toBe(NOTEMPTY);
    expect(sandbox.onPath("path_remove_directory", "dir/sub/file")).toBe(NOTDIR);
    expect(sandbox.onPath("path_remove_directory", "dir/toSub")).toBe(NOTDIR);
    expect(sandbox.onPath("path_remove_directory", ".")).toBe(INVAL);
  });

  it("files", () => {
    const sandbox = tree();
    expect(sandbox.onPath("path_unlink_file", "dir")).toBe(ISDIR);
    expect(sandbox.onPath("path_unlink_file", "dir/")).toBe(ISDIR);
    expect(sandbox.onPath("path_unlink_file", "dir/sub/file/")).toBe(NOTDIR);
    expect(sandbox.onPath("path_unlink_file", "dir/toFile")).toBe(0);
    expect(sandbox.stat("dir/sub/file").size).toBe(7n);
    expect(sandbox.onPath("path_unlink_file", "dir/toFile")).toBe(NOENT);
  });

  it("symbolic links", () => {
    const sandbox = tree();
    expect(sandbox.readlink("dir/toFile")).toEqual({ errno: 0, target: "sub/file" });
    expect(sandbox.readlink("dir/toFile", 3)).toEqual({ errno: 0, target: "sub" });
    expect(sandbox.readlink("dir/sub/file").errno).toBe(INVAL);
    expect(sandbox.readlink("dir").errno).toBe(INVAL);
    expect(sandbox.readlink("none").errno).toBe(NOENT);
    expect(sandbox.symlink("x", "dir/toFile")).toBe(EXIST);
    expect(sandbox.symlink("x", "dir/")).toBe(EXIST);
    expect(sandbox.symlink("x", "dir/sub/file/")).toBe(NOTDIR);
    expect(sandbox.symlink("x", "none/")).toBe(NOENT);
    expect(sandbox.symlink("", "empty")).toBe(NOENT);
    expect(sandbox.stat("dir/toFile").type).toBe(7);
    expect(sandbox.stat("dir/toFile").size).toBe(8n);
    expect(sandbox.stat("dir/toFile", true).type).toBe(4);
  });

  it("hard links", () => {
    const sandbox = tree();
    expect(sandbox.link("dir/sub/file", "second")).toBe(0);
    expect(sandbox.stat("second")).toEqual(sandbox.stat("dir/sub/file"));
    expect(sandbox.stat("second").links).toBe(2n);
    sandbox.write(sandbox.open("second"), "CON");
    expect(new TextDecoder().decode(sandbox.fs.readFile("dir/sub/file"))).toBe("CONtent");
    expect(sandbox.onPath("path_unlink_file", "dir/sub/file")).toBe(0);
    expect(sandbox.stat("second")).toMatchObject({ links: 1n, size: 7n });
    expect(sandbox.link("second", "dir")).toBe(EXIST);
    expect(sandbox.link("second", "second")).toBe(EXIST);
    expect(sandbox.link("second", "third/")).toBe(NOENT);
    expect(sandbox.link("dir", "again")).toBe(PERM);
    expect(sandbox.link("none", "again")).toBe(NOENT);
    expect(sandbox.link("dir/toFile", "again", { flags: 1 })).toBe(INVAL);
    expect(sandbox.link("dir/toFile", "again")).toBe(0);
    expect(sandbox.readlink("again").target).toBe("sub/file");
  });
});

describe("path_rename", () => {
  it("moves files and folders, over empty ones too", () => {
    const sandbox = tree();
    const inode = sandbox.stat("dir/sub").inode;
    expect(sandbox.rename("dir/sub/", "moved/")).toBe(0);
    expect(sandbox.stat("moved").inode).toBe(inode);
    expect(sandbox.readdir(sandbox.openDirectory("moved")).entries[1]?.inode).toBe(sandbox.stat(".").inode);
    sandbox.mkdir("empty");
    expect(sandbox.rename("moved", "empty")).toBe(0);
    sandbox.openFile("other");
    expect(sandbox.rename("empty/file", "other")).toBe(0);
    expect(sandbox.stat("other").size).toBe(7n);
    expect(sandbox.rename("other", "other")).toBe(0);
    expect(sandbox.rename("dir", "dir")).toBe(0);
  });

  it("refuses what does not fit", () => {
    const sandbox = tree();
    sandbox.mkdir("empty");
    expect(sandbox.rename("none", "x")).toBe(NOENT);
    expect(sandbox.rename("empty", "dir")).toBe(NOTEMPTY);
    expect(sandbox.rename("empty", "dir/sub/file")).toBe(NOTDIR);
    expect(sandbox.rename("dir/sub/file", "empty")).toBe(ISDIR);
    expect(sandbox.rename("dir/sub/file", "new/")).toBe(NOTDIR);
    expect(sandbox.rename("dir/sub/file/", "new")).toBe(NOTDIR);
    expect(sandbox.rename("dir", "dir/sub/dir")).toBe(INVAL);
    expect(sandbox.rename("dir", "dir/toSub/dir")).toBe(INVAL);
    expect(sandbox.rename(".", "x")).toBe(INVAL);
    expect(sandbox.rename("empty", "dir/..")).toBe(INVAL);
  });

  it("moves a link, not what it leads to; hard links of one file stay two", () => {
    const sandbox = tree();
    expect(sandbox.rename("dir/toFile", "dir/sub/link")).toBe(0);
    expect(sandbox.readlink("dir/sub/link").target).toBe("sub/file");
    sandbox.link("dir/sub/file", "twin");
    expect(sandbox.rename("dir/sub/file", "twin")).toBe(0);
    expect(sandbox.stat("twin").links).toBe(2n);
    expect(sandbox.stat("dir/sub/file").links).toBe(2n);
  });

  it("works between descriptors", () => {
    const sandbox = tree();
    const sub = sandbox.openDirectory("dir/sub");
    expect(sandbox.rename("file", "out", { fromDir: sub })).toBe(0);
    expect(sandbox.rename("out", "back", { toDir: sub })).toBe(0);
    expect(sandbox.stat("dir/sub/back").size).toBe(7n);
  });
});

describe("read-only folders", () => {
  it("keep their names; what is below may be writable", () => {
    const fs = new FileSystem();
    fs.addFile("in/data", bytesOf("x"));
    fs.addFile("in/open", bytesOf("y"), { readOnly: false });
    fs.mkdir("out");
    fs.preopen("/");
    const sandbox = new Sandbox({ fs });
    for (const path of ["x", "in/x"]) {
      expect(sandbox.tryOpen(path, { flags: Creat }).errno).toBe(PERM);
      expect(sandbox.mkdir(path)).toBe(PERM);
      expect(sandbox.symlink("a", path)).toBe(PERM);
      expect(sandbox.link("in/open", path)).toBe(PERM);
      expect(sandbox.rename("in/open", path)).toBe(PERM);
    }
    expect(sandbox.onPath("path_remove_directory", "out")).toBe(PERM);
    expect(sandbox.rename("out", "tuo")).toBe(PERM);
    expect(sandbox.onPath("path_unlink_file", "in/open")).toBe(PERM);
    expect(sandbox.rename("in/open", "out/open")).toBe(PERM);
    expect(sandbox.write(sandbox.open("in/open"), "z")).toBe(1);
    sandbox.write(sandbox.openFile("out/result"), "done");
    expect(sandbox.rename("out/result", "in/result")).toBe(PERM);
    expect([...fs.files("out")].map(({ path, bytes }) => [path, new TextDecoder().decode(bytes)])).toEqual([["result", "done"]]);
  });
});

describe("times", () => {
  const clock = { now: 1_000n, realtimeNs: () => clock.now, monotonicNs: () => 0n, resolutionNs: 1n };

  it("are set by path and by descriptor, and follow links only when asked", () => {
    const fs = writableFileSystem();
    const sandbox = new Sandbox({ fs, clock });
    const fd = sandbox.openFile("file");
    sandbox.symlink("file", "link");
    const set = (path: string, lookup: number, flags: number): number => {
      const { pointer, length } = sandbox.put(path);
      return sandbox.call.path_filestat_set_times(3, lookup, pointer, length, 11n, 22n, flags);
    };
    clock.now = 5_000n;
    expect(set("link", 0, 1 | 4)).toBe(0);
    expect(sandbox.stat("link")).toMatchObject({ accessNs: 11n, modifyNs: 22n, changeNs: 5_000n });
    expect(sandbox.stat("file").modifyNs).toBe(1_000n);
    expect(set("link", 1, 4)).toBe(0);
    expect(sandbox.stat("file")).toMatchObject({ accessNs: 1_000n, modifyNs: 22n });
    clock.now = 9_000n;
    expect(set("file", 0, 2 | 8)).toBe(0);
    expect(sandbox.stat("file")).toMatchObject({ accessNs: 9_000n, modifyNs: 9_000n });
    expect(sandbox.call.fd_filestat_set_times(fd, 1n, -1n, 1 | 4)).toBe(0);
    expect(sandbox.fstat(fd)).toMatchObject({ accessNs: 1n, modifyNs: 2n ** 64n - 1n });
    for (const flags of [3, 12, 16]) {
      expect(set("file", 0, flags)).toBe(INVAL);
      expect(sandbox.call.fd_filestat_set_times(fd, 0n, 0n, flags)).toBe(INVAL);
    }
    expect(set("none", 0, 1)).toBe(NOENT);
  });

  it("of files and their folder move on with changes", () => {
    clock.now = 1_000n;
    const sandbox = new Sandbox({ clock });
    const fd = sandbox.openFile("file");
    clock.now = 2_000n;
    sandbox.write(fd, "x");
    expect(sandbox.fstat(fd)).toMatchObject({ accessNs: 1_000n, modifyNs: 2_000n, changeNs: 2_000n });
    expect(sandbox.stat(".").modifyNs).toBe(1_000n);
    clock.now = 3_000n;
    sandbox.link("file", "second");
    expect(sandbox.stat(".").modifyNs).toBe(3_000n);
    expect(sandbox.fstat(fd)).toMatchObject({ modifyNs: 2_000n, changeNs: 3_000n });
  });
});
