import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { folderRegistry, type ToolProblem } from "../../src/internal/node/folder-registry.ts";
import { emptyModule, failureOf, makeTool, manifestOf, scratchFolder, until } from "./support.ts";

function versionOf(registry: Awaited<ReturnType<typeof folderRegistry>>, name: string): string | undefined {
  return registry.get({ name })?.manifest.version;
}

test("takes every folder with a manifest, and reports a broken one", async () => {
  await using scratch = await scratchFolder();
  await makeTool(scratch.path, "one");
  await makeTool(scratch.path, "two");
  await makeTool(scratch.path, ".hidden");
  await mkdir(join(scratch.path, "no-tool"));
  await writeFile(join(scratch.path, "readme.txt"), "x");
  const broken = await makeTool(scratch.path, "broken");
  await writeFile(join(broken, "tool.json"), "{");
  const told: ToolProblem[] = [];
  await using registry = await folderRegistry({ folder: scratch.path, onProblem: (problem) => told.push(problem) });
  expect(registry.list().map(({ manifest }) => manifest.name)).toEqual(["one", "two"]);
  expect(told.map(({ folder, error, keeps }) => [folder, error.code, keeps])).toEqual([[broken, "ERR_MANIFEST_INVALID", undefined]]);
  expect(registry.problems()).toEqual(told);
  expect(registry.missing({ name: "onee" }).message).toContain('"one"');
});

test("reports the second of two tools with one name and version", async () => {
  await using scratch = await scratchFolder();
  await makeTool(scratch.path, "a-first", { name: "same" });
  const second = await makeTool(scratch.path, "b-second", { name: "same", description: "Another one" });
  await using registry = await folderRegistry({ folder: scratch.path });
  expect(registry.list()).toHaveLength(1);
  expect(registry.get({ name: "same" })?.manifest.description).toBe("A tool of a test");
  expect(registry.problems().map(({ folder }) => folder)).toEqual([second]);
});

test("refuses a folder that is not there", async () => {
  await using scratch = await scratchFolder();
  const error = await failureOf(folderRegistry({ folder: join(scratch.path, "missing"), watch: true }));
  expect(error.code).toBe("ERR_CONFIG_INVALID");
  expect(error.message).toContain("does not exist");
});

test("keeps the object of a tool that did not change", async () => {
  await using scratch = await scratchFolder();
  await makeTool(scratch.path, "same");
  const changing = await makeTool(scratch.path, "changing");
  await using registry = await folderRegistry({ folder: scratch.path });
  const [before, same] = [registry.get({ name: "changing" }), registry.get({ name: "same" })];
  await writeFile(join(changing, "module.wasm"), Uint8Array.of(...emptyModule, 0, 1, 0));
  await registry.reload();
  expect(registry.get({ name: "same" })).toBe(same);
  expect(registry.get({ name: "changing" })).not.toBe(before);
});

test("without watching, nothing changes by itself", async () => {
  await using scratch = await scratchFolder();
  const path = await makeTool(scratch.path, "one");
  await using registry = await folderRegistry({ folder: scratch.path });
  await writeFile(join(path, "tool.json"), JSON.stringify(manifestOf("one", { version: "2.0.0" })));
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(versionOf(registry, "one")).toBe("1.0.0");
  await registry.reload();
  expect(versionOf(registry, "one")).toBe("2.0.0");
});

test("follows an edit, a new tool, a removed one and a folder that is replaced", async () => {
  await using scratch = await scratchFolder();
  const path = await makeTool(scratch.path, "one");
  await using registry = await folderRegistry({ folder: scratch.path, watch: true });
  await writeFile(join(path, "tool.json"), JSON.stringify(manifestOf("one", { version: "2.0.0" })));
  await until(() => versionOf(registry, "one") === "2.0.0");
  await makeTool(scratch.path, "two");
  await until(() => versionOf(registry, "two") === "1.0.0");
  await rm(join(scratch.path, "two"), { recursive: true });
  await until(() => versionOf(registry, "two") === undefined);

  await using other = await scratchFolder();
  const next = await makeTool(other.path, "one", { version: "3.0.0" });
  await rm(path, { recursive: true });
  await rename(next, path);
  await until(() => versionOf(registry, "one") === "3.0.0");
  await writeFile(join(path, "tool.json"), JSON.stringify(manifestOf("one", { version: "4.0.0" })));
  await until(() => versionOf(registry, "one") === "4.0.0");
  expect(registry.problems()).toEqual([]);
});

test("sees a new module in a folder below", async () => {
  await using scratch = await scratchFolder();
  const path = join(scratch.path, "deep");
  await mkdir(join(path, "build"), { recursive: true });
  await writeFile(join(path, "build", "m.wasm"), emptyModule);
  await writeFile(join(path, "tool.json"), JSON.stringify(manifestOf("deep", { artifacts: { wasm: { file: "build/m.wasm" } } })));
  await using registry = await folderRegistry({ folder: scratch.path, watch: true });
  const before = registry.get({ name: "deep" });
  await writeFile(join(path, "build", "m.wasm"), Uint8Array.of(...emptyModule, 0, 1, 0));
  await until(() => registry.get({ name: "deep" }) !== before);
  expect(registry.get({ name: "deep" })).toBeDefined();
});

test("keeps the last good version of a tool whose manifest breaks, says so once, and takes the mended one", async () => {
  await using scratch = await scratchFolder();
  const path = await makeTool(scratch.path, "one");
  const told: ToolProblem[] = [];
  await using registry = await folderRegistry({ folder: scratch.path, watch: true, onProblem: (problem) => told.push(problem) });
  const good = registry.get({ name: "one" });
  await writeFile(join(path, "tool.json"), "{ broken");
  await until(() => told.length > 0);
  expect(told[0]).toMatchObject({ folder: path, keeps: "1.0.0", error: { code: "ERR_MANIFEST_INVALID" } });
  expect(registry.get({ name: "one" })).toBe(good);
  await registry.reload();
  expect(told).toHaveLength(1);
  await writeFile(join(path, "tool.json"), JSON.stringify(manifestOf("one", { version: "1.1.0" })));
  await until(() => versionOf(registry, "one") === "1.1.0");
  expect(registry.problems()).toEqual([]);
});

test("tells of changes only where there are some", async () => {
  await using scratch = await scratchFolder();
  await makeTool(scratch.path, "one");
  let changes = 0;
  await using registry = await folderRegistry({ folder: scratch.path, onChange: () => changes++ });
  expect(changes).toBe(1);
  await registry.reload();
  expect(changes).toBe(1);
});

test("a closed registry keeps its tools and watches no more", async () => {
  await using scratch = await scratchFolder();
  const path = await makeTool(scratch.path, "one");
  const registry = await folderRegistry({ folder: scratch.path, watch: true });
  await registry.close();
  await writeFile(join(path, "tool.json"), JSON.stringify(manifestOf("one", { version: "2.0.0" })));
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(versionOf(registry, "one")).toBe("1.0.0");
});
