import { describe, expect, it } from "vitest";
import { FileSystem } from "../../src/wasm/wasi/index.ts";
import { bytesOf, Sandbox } from "./sandbox.ts";

function listing(fs: FileSystem, path?: string): [string, string][] {
  return [...fs.files(path)].map((file) => [file.path, new TextDecoder().decode(file.bytes)]);
}

describe("the host's side of the file system", () => {
  it("takes files with the folders above them and hands them back", () => {
    const fs = new FileSystem();
    fs.addFile("a/b/c.txt", bytesOf("c"));
    fs.addFile("/a/./b//d.txt", bytesOf("d"));
    fs.addFile("top", new Uint8Array());
    expect(listing(fs)).toEqual([
      ["a/b/c.txt", "c"],
      ["a/b/d.txt", "d"],
      ["top", ""],
    ]);
    expect(listing(fs, "a")).toEqual([
      ["b/c.txt", "c"],
      ["b/d.txt", "d"],
    ]);
    expect(listing(fs, "none")).toEqual([]);
    expect(listing(fs, "top")).toEqual([]);
    expect(fs.readFile("a/b/d.txt")).toEqual(bytesOf("d"));
    expect(fs.readFile("a")).toBeUndefined();
    expect(fs.readFile("a/none")).toBeUndefined();
    expect(fs.readFile("top/x")).toBeUndefined();
  });

  it.each(["..", "a/../b", "", "/", ".", "a\0b", "\ud800", "x".repeat(256), "é".repeat(128), "y/".repeat(70)])(
    "refuses %j as a file",
    (path) => {
      expect(() => new FileSystem().addFile(path, new Uint8Array())).toThrow(TypeError);
    },
  );

  it("refuses what exists or is in the way", () => {
    const fs = new FileSystem();
    fs.addFile("a", bytesOf("x"));
    expect(() => fs.addFile("a", bytesOf("y"))).toThrow("exists already");
    expect(() => fs.addFile("a/b", bytesOf("y"))).toThrow("not a folder");
    expect(() => fs.mkdir("a")).toThrow("not a folder");
    expect(() => fs.preopen("/", "a")).toThrow("not a folder");
    fs.mkdir("d");
    expect(() => fs.addFile("d", bytesOf("y"))).toThrow("exists already");
  });

  it("collects what the guest wrote, at any depth, without following links", () => {
    const fs = new FileSystem();
    fs.addFile("in/secret", bytesOf("s"));
    fs.mkdir("out");
    fs.preopen("/");
    const sandbox = new Sandbox({ fs });
    sandbox.mkdir("out/deep");
    sandbox.write(sandbox.openFile("out/deep/er"), "1");
    sandbox.write(sandbox.openFile("out/top"), "22");
    sandbox.symlink("../in/secret", "out/link");
    sandbox.symlink("..", "out/loop");
    sandbox.link("out/top", "out/twin");
    const sparse = sandbox.openFile("out/sparse");
    expect(sandbox.call.fd_filestat_set_size(sparse, 3n)).toBe(0);
    expect(listing(fs, "out")).toEqual([
      ["deep/er", "1"],
      ["top", "22"],
      ["twin", "22"],
      ["sparse", "\0\0\0"],
    ]);
  });

  it("is lazy, so that the caller can stop", () => {
    const fs = new FileSystem();
    for (let index = 0; index < 5; index++) fs.addFile(`f${index}`, new Uint8Array());
    const walk = fs.files();
    expect(walk.next().value?.path).toBe("f0");
    expect(walk.return().done).toBe(true);
  });

  it("stamps what it adds with the time given", () => {
    const fs = new FileSystem({ timeNs: 77n });
    fs.addFile("a", bytesOf("x"));
    fs.preopen("/");
    expect(new Sandbox({ fs }).stat("a")).toMatchObject({ accessNs: 77n, modifyNs: 77n, changeNs: 77n });
  });

  it("does not count the host's own files against the guest", () => {
    const fs = new FileSystem({ maxBytes: 10, maxEntries: 1 });
    for (let index = 0; index < 20; index++) fs.addFile(`in/${index}`, new Uint8Array(100));
    expect(fs.quota).toMatchObject({ bytesLeft: 10, entriesLeft: 1 });
  });

  it("keeps names apart from JavaScript's own (B7)", () => {
    const fs = new FileSystem();
    fs.addFile("__proto__/constructor", bytesOf("x"));
    expect(listing(fs)).toEqual([["__proto__/constructor", "x"]]);
    expect(fs.readFile("toString")).toBeUndefined();
  });
});
