import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FileSystem } from "../../src/wasm/wasi/index.ts";
import { Creat, Sandbox } from "./sandbox.ts";

/**
 * The oracle: a tree of plain maps without links, where a path is a list of names. Symbolic and hard links
 * are left to the tests by example; here it is about what creating, moving and removing do to a tree.
 */
type Tree = Map<string, Tree | "file">;

const MAX_ENTRIES = 12;
const name = fc.constantFrom("a", "b", "c");
const path = fc.array(name, { minLength: 1, maxLength: 4 });
const step = fc.oneof(
  fc.record({ kind: fc.constantFrom("mkdir" as const, "create" as const, "unlink" as const, "rmdir" as const), path }),
  fc.record({ kind: fc.constant("rename" as const), path, to: path }),
);

function look(root: Tree, names: readonly string[]): Tree | "file" | undefined {
  let node: Tree | "file" | undefined = root;
  for (const part of names) {
    if (node === undefined || node === "file") return undefined;
    node = node.get(part);
  }
  return node;
}

/** The errno of walking to the folder of the last name, or that folder. */
function parent(root: Tree, names: readonly string[]): Tree | number {
  let node: Tree = root;
  for (const part of names.slice(0, -1)) {
    const next = node.get(part);
    if (next === undefined) return 44;
    if (next === "file") return 54;
    node = next;
  }
  return node;
}

function count(tree: Tree): number {
  let total = 0;
  for (const node of tree.values()) total += 1 + (node === "file" ? 0 : count(node));
  return total;
}

function expected(root: Tree, next: { kind: string; path: string[]; to?: string[] }): number {
  const folder = parent(root, next.path);
  if (typeof folder === "number") return folder;
  const last = next.path.at(-1) ?? "";
  const node = folder.get(last);
  switch (next.kind) {
    case "mkdir":
    case "create":
      if (node !== undefined) return next.kind === "mkdir" ? 20 : node === "file" ? 0 : 31;
      if (count(root) >= MAX_ENTRIES) return 51;
      folder.set(last, next.kind === "mkdir" ? new Map() : "file");
      return 0;
    case "unlink":
      if (node !== "file") return node === undefined ? 44 : 31;
      folder.delete(last);
      return 0;
    case "rmdir":
      if (node === undefined || node === "file") return node === undefined ? 44 : 54;
      if (node.size > 0) return 55;
      folder.delete(last);
      return 0;
    default:
      return rename(root, { folder, last, node }, next.to ?? []);
  }
}

function rename(root: Tree, from: { folder: Tree; last: string; node: Tree | "file" | undefined }, to: readonly string[]): number {
  if (from.node === undefined) return 44;
  const folder = parent(root, to);
  if (typeof folder === "number") return folder;
  const last = to.at(-1) ?? "";
  const replaced = folder.get(last);
  if (from.node === "file") {
    if (replaced !== undefined && replaced !== "file") return 31;
    if (folder === from.folder && last === from.last) return 0;
  } else {
    if (replaced === "file") return 54;
    if (replaced === from.node) return 0;
    if (replaced !== undefined && replaced.size > 0) return 55;
    if (contains(from.node, folder)) return 28;
  }
  from.folder.delete(from.last);
  folder.set(last, from.node);
  return 0;
}

function contains(tree: Tree, inner: Tree): boolean {
  return tree === inner || [...tree.values()].some((node) => node !== "file" && contains(node, inner));
}

function act(sandbox: Sandbox, next: { kind: string; path: string[]; to?: string[] }): number {
  const joined = next.path.join("/");
  switch (next.kind) {
    case "mkdir":
      return sandbox.mkdir(joined);
    case "create": {
      const { errno, fd } = sandbox.tryOpen(joined, { flags: Creat });
      if (errno === 0) sandbox.call.fd_close(fd);
      return errno;
    }
    case "unlink":
      return sandbox.onPath("path_unlink_file", joined);
    case "rmdir":
      return sandbox.onPath("path_remove_directory", joined);
    default:
      return sandbox.rename(joined, (next.to ?? []).join("/"));
  }
}

function filesOf(tree: Tree, prefix = ""): string[] {
  return [...tree].flatMap(([part, node]) => (node === "file" ? [prefix + part] : filesOf(node, `${prefix}${part}/`)));
}

describe("a tree behaves as nested maps", () => {
  it("for any sequence of creating, moving and removing", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const fs = new FileSystem({ readOnlyRoot: false, maxEntries: MAX_ENTRIES });
        fs.preopen("/");
        const sandbox = new Sandbox({ fs });
        const root: Tree = new Map();
        for (const next of steps) {
          const want = expected(root, next);
          expect([next, act(sandbox, next)]).toEqual([next, want]);
          expect(fs.quota.entriesLeft).toBe(MAX_ENTRIES - count(root));
          const there = look(root, next.path);
          const shown = sandbox.tryOpen(next.path.join("/"), { rights: 2n });
          expect(shown.errno === 0).toBe(there !== undefined);
          if (shown.errno === 0) sandbox.call.fd_close(shown.fd);
        }
        expect([...fs.files()].map(({ path }) => path).toSorted()).toEqual(filesOf(root).toSorted());
      }),
      { numRuns: 600 },
    );
  });
});
