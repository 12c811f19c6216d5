import { describe, expect, it } from "vitest";
import { Sandbox } from "./sandbox.ts";

const NAMES = ["a", "long-name-of-a-file", "日本", "z"];

function filled(): Sandbox {
  const sandbox = new Sandbox();
  for (const name of NAMES) sandbox.openFile(name);
  return sandbox;
}

/** Reads as libc does: a fixed buffer, on from the cookie of the last whole entry. */
function readAll(sandbox: Sandbox, length: number): string[] {
  const names: string[] = [];
  for (let cookie = 0n; ;) {
    const { entries, used } = sandbox.readdir(3, cookie, length);
    names.push(...entries.map(({ name }) => name));
    if (used < length) return names;
    cookie = entries.at(-1)?.next ?? cookie;
  }
}

describe("fd_readdir", () => {
  it("lists . and .. and then the names in order of creation", () => {
    const sandbox = filled();
    sandbox.mkdir("dir");
    sandbox.symlink("a", "link");
    const { entries } = sandbox.readdir(3);
    expect(entries.map(({ name, type }) => [name, type])).toEqual([
      [".", 3],
      ["..", 3],
      ...NAMES.map((name) => [name, 4]),
      ["dir", 3],
      ["link", 7],
    ]);
    for (const { name, inode } of entries.slice(2)) expect(sandbox.stat(name).inode).toBe(inode);
  });

  it.each([44, 64, 100, 4096])("reads all of them through a buffer of %i bytes", (length) => {
    expect(readAll(filled(), length)).toEqual([".", "..", ...NAMES]);
  });

  it("fills a buffer that is too small to the last byte and not beyond", () => {
    const sandbox = filled();
    for (const length of [0, 1, 24, 25, 30, 49, 50, 51]) {
      const buffer = sandbox.alloc(length + 8);
      const result = sandbox.alloc(4);
      expect(sandbox.call.fd_readdir(3, buffer, length, 0n, result)).toBe(0);
      expect(sandbox.view.getUint32(result, true)).toBe(length);
      expect(sandbox.bytes[buffer + length]).toBe(0xaa);
    }
  });

  it("goes on after each cookie, also past the end and after nonsense", () => {
    const sandbox = filled();
    const { entries } = sandbox.readdir(3);
    for (const [index, { next }] of entries.entries()) {
      expect(sandbox.readdir(3, next).entries).toEqual(entries.slice(index + 1));
    }
    for (const cookie of [1000n, 2n ** 53n + 1n, 2n ** 63n, -1n]) expect(sandbox.readdir(3, cookie).used).toBe(0);
  });

  it("shows each name once while names come and go", () => {
    const sandbox = filled();
    const first = sandbox.readdir(3, 0n, 128);
    const cookie = first.entries.at(-1)?.next ?? 0n;
    expect(first.entries.map(({ name }) => name)).toEqual([".", "..", "a", "long-name-of-a-file"].slice(0, first.entries.length));
    sandbox.onPath("path_unlink_file", "a");
    sandbox.openFile("new");
    sandbox.rename("z", "renamed");
    const rest = sandbox.readdir(3, cookie).entries.map(({ name }) => name);
    const seen = [...first.entries.map(({ name }) => name), ...rest];
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toEqual(expect.arrayContaining(["long-name-of-a-file", "日本", "new", "renamed"]));
  });

  it("works on folders only", () => {
    const sandbox = filled();
    expect(sandbox.call.fd_readdir(sandbox.openFile("a"), 64, 64, 0n, 32)).toBe(54);
    expect(sandbox.call.fd_readdir(0, 64, 64, 0n, 32)).toBe(54);
    expect(sandbox.call.fd_readdir(99, 64, 64, 0n, 32)).toBe(8);
  });

  it("charges for what it looks at", () => {
    let charged = 0;
    const sandbox = new Sandbox({ charge: (units) => void (charged += units) });
    for (let index = 0; index < 50; index++) sandbox.openFile(`f${index}`);
    charged = 0;
    sandbox.readdir(3);
    expect(charged).toBe(50);
    charged = 0;
    sandbox.readdir(3, 0n, 80);
    expect(charged).toBeLessThan(5);
  });
});
