import { execFileSync } from "node:child_process";
import { appendFile, mkdir, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { ToolRuntimeError } from "../../src/errors.ts";
import { loadTool, nameOfFile } from "../../src/internal/node/tool-folder.ts";
import { emptyModule, failureOf, makeTool, manifestOf, readModule, scratchFolder } from "./support.ts";

test("loads a folder, and reads the module when it is asked for", async () => {
  await using scratch = await scratchFolder();
  const path = await makeTool(scratch.path, "sample");
  const tool = await loadTool(path);
  expect(tool.manifest.name).toBe("sample");
  expect(tool.sources.folder).toBe(path);
  await appendFile(join(path, "module.wasm"), "later");
  expect(Buffer.from(await readModule(tool)).toString("latin1")).toMatch(/later$/);
});

test("takes the path of the manifest for its folder", async () => {
  await using scratch = await scratchFolder();
  const path = await makeTool(scratch.path, "sample");
  expect((await loadTool(join(path, "tool.json"))).manifest.name).toBe("sample");
});

test.each([
  ["nothing", "missing", "does not exist"],
  ["a folder without a manifest", ".", "tool.json"],
  ["a file that is no module", "notes.txt", ".wasm"],
])("refuses %s", async (_what, path, says) => {
  await using scratch = await scratchFolder();
  await writeFile(join(scratch.path, "notes.txt"), "x");
  const error = await failureOf(loadTool(join(scratch.path, path)));
  expect(["ERR_TOOL_NOT_FOUND", "ERR_MANIFEST_INVALID"]).toContain(error.code);
  expect(error.message).toContain(says);
});

test("says in which file and under which key a manifest is wrong", async () => {
  await using scratch = await scratchFolder();
  const path = await makeTool(scratch.path, "sample", { resources: { memroy: "1Mi" } });
  const error = await failureOf(loadTool(path));
  expect(error.code).toBe("ERR_MANIFEST_INVALID");
  expect(error.message).toContain("/resources");
  expect(error.message).toContain('"memory"');
  expect(error.message).toContain(join(path, "tool.json"));
  expect(error.details["file"]).toBe(join(path, "tool.json"));
});

test.each([
  ["broken JSON", '{\n  "name": "a",\n  oops\n}', /line 3, column 3/],
  ["JSON that ends early", '{\n  "name": "a"', /line 2/],
  ["a key that stands twice", '{"name":"a","name":"b"}', /twice/],
  ["JSON that is no object", "[]", /object/],
  ["bytes that are no text", Uint8Array.of(0xff, 0xfe, 0x7b), /UTF-8/],
  ["more than a megabyte", `${" ".repeat(2 ** 20)}{}`, /1048578 bytes/],
])("refuses a manifest of %s", async (_what, content, says) => {
  await using scratch = await scratchFolder();
  const path = await makeTool(scratch.path, "sample");
  await writeFile(join(path, "tool.json"), content);
  const error = await failureOf(loadTool(path));
  expect(error.code).toBe("ERR_MANIFEST_INVALID");
  expect(error.message).toMatch(says);
  expect(error.message).toContain("tool.json");
});

test("does not wait for a manifest that is a pipe", async () => {
  await using scratch = await scratchFolder();
  execFileSync("mkfifo", [join(scratch.path, "tool.json")]);
  const error = await failureOf(loadTool(scratch.path));
  expect(error.code).toBe("ERR_MANIFEST_INVALID");
  expect(error.message).toContain("no regular file");
});

test.each(["../outside.wasm", "/etc/passwd", "a/../../outside.wasm", "link.wasm", "folder/outside.wasm", "..\\outside.wasm"])(
  "keeps the module in the folder: %s",
  async (file) => {
    await using scratch = await scratchFolder();
    await writeFile(join(scratch.path, "outside.wasm"), emptyModule);
    const path = await makeTool(scratch.path, "sample", { artifacts: { wasm: { file } } });
    await symlink("../outside.wasm", join(path, "link.wasm"));
    await symlink("..", join(path, "folder"));
    const error = await failureOf(loadTool(path));
    expect(error.code).toBe("ERR_MANIFEST_INVALID");
    expect(error.message).toContain("/artifacts/wasm/file");
    expect(error.message).toContain("folder");
  },
);

test.each(["../secret.txt", "/etc/passwd", "link.txt"])("keeps the files of examples in the folder: %s", async (file) => {
  await using scratch = await scratchFolder();
  await writeFile(join(scratch.path, "secret.txt"), "x");
  const path = await makeTool(scratch.path, "sample", { examples: [{ input: {}, files: { "a.txt": file } }] });
  await symlink("../secret.txt", join(path, "link.txt"));
  const error = await failureOf(loadTool(path));
  expect(error.code).toBe("ERR_MANIFEST_INVALID");
  expect(error.message).toContain("/examples/0/files/a.txt");
});

test("a file of an example may be missing", async () => {
  await using scratch = await scratchFolder();
  const path = await makeTool(scratch.path, "sample", { examples: [{ input: {}, files: { "a.txt": "missing.txt" } }] });
  expect((await loadTool(path)).manifest.name).toBe("sample");
});

test("looks again when the bytes are read: a module that became a link out of the folder is refused", async () => {
  await using scratch = await scratchFolder();
  await writeFile(join(scratch.path, "outside.wasm"), emptyModule);
  const path = await makeTool(scratch.path, "sample");
  const tool = await loadTool(path);
  execFileSync("ln", ["-sf", "../outside.wasm", join(path, "module.wasm")]);
  expect((await failureOf(readModule(tool))).code).toBe("ERR_MANIFEST_INVALID");
});

test("a link inside of the folder is allowed", async () => {
  await using scratch = await scratchFolder();
  const path = await makeTool(scratch.path, "sample", { artifacts: { wasm: { file: "link.wasm" } } });
  await symlink("module.wasm", join(path, "link.wasm"));
  expect((await loadTool(path)).manifest.name).toBe("sample");
});

test.each([
  ["./run.sh", "loaded"],
  ["python3", "loaded"],
  ["/usr/bin/env", "loaded"],
  ["../run.sh", "ERR_MANIFEST_INVALID"],
  ["bin/../../run.sh", "ERR_MANIFEST_INVALID"],
  ["./link.sh", "ERR_MANIFEST_INVALID"],
  ["./missing.sh", "ERR_MANIFEST_INVALID"],
])("the program %s of a command", async (program, code) => {
  await using scratch = await scratchFolder();
  const path = await makeTool(scratch.path, "sample", { artifacts: { command: { argv: [program] } } });
  await writeFile(join(path, "run.sh"), "#!/bin/sh\n");
  await writeFile(join(scratch.path, "run.sh"), "#!/bin/sh\n");
  await symlink("../run.sh", join(path, "link.sh"));
  const outcome = loadTool(path).then(
    () => "loaded",
    (error: ToolRuntimeError) => error.code,
  );
  expect(await outcome).toBe(code);
});

test("refuses a module that is too large by its size, without reading it", async () => {
  await using scratch = await scratchFolder();
  const path = await makeTool(scratch.path, "sample");
  // Sparse: it takes no room on the disk, and reading it would take 200 MB of memory.
  await truncate(join(path, "module.wasm"), 200_000_000);
  const before = process.memoryUsage().rss;
  const error = await failureOf(loadTool(path));
  expect(error.code).toBe("ERR_ARTIFACT_TOO_LARGE");
  expect(error.details).toMatchObject({ size: 200_000_000, maxBytes: 64 * 2 ** 20 });
  expect(process.memoryUsage().rss - before).toBeLessThan(50_000_000);
});

test("refuses a module that became too large since", async () => {
  await using scratch = await scratchFolder();
  const path = await makeTool(scratch.path, "sample");
  const tool = await loadTool(path, { maxArtifactBytes: 100 });
  await writeFile(join(path, "module.wasm"), new Uint8Array(101));
  expect((await failureOf(readModule(tool))).code).toBe("ERR_ARTIFACT_TOO_LARGE");
});

test("makes a tool of a bare module", async () => {
  await using scratch = await scratchFolder();
  const file = join(scratch.path, "My_Tool 2.wasm");
  await writeFile(file, emptyModule);
  const tool = await loadTool(file);
  expect(tool.manifest).toMatchObject({ name: "my-tool-2", version: "0.0.0", artifacts: { wasm: { file: "My_Tool 2.wasm" } } });
  expect(tool.checkOutput).toBeUndefined();
  expect(await readModule(tool)).toEqual(emptyModule);
});

test("follows a link that the user himself names", async () => {
  await using scratch = await scratchFolder();
  await mkdir(join(scratch.path, "real"));
  await writeFile(join(scratch.path, "real", "x.wasm"), emptyModule);
  await symlink("real/x.wasm", join(scratch.path, "named.wasm"));
  expect((await loadTool(join(scratch.path, "named.wasm"))).manifest.name).toBe("named");
});

test.each([
  ["hash.wasm", "hash"],
  ["Ünïcode.wasm", "u-ni-code"],
  ["7zip.wasm", "tool-7zip"],
  ["___.wasm", "tool"],
  [`${"a".repeat(100)}.wasm`, "a".repeat(63)],
  ["\u001b[31mred.wasm", "tool-31mred"],
])("the name for the file %j", (file, name) => {
  expect(nameOfFile(file)).toBe(name);
});

test("a manifest that is good is not changed by being loaded", async () => {
  await using scratch = await scratchFolder();
  const path = await makeTool(scratch.path, "sample");
  expect((await loadTool(path)).manifest).toEqual(manifestOf("sample"));
});
