import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { makeTool, scratchFolder } from "../registry/support.ts";
import { cli, dev, guest, makeScript, unsafe } from "./support.ts";

test("list shows the tools, and names the broken ones on stderr", async () => {
  await using scratch = await scratchFolder();
  await makeTool(scratch.path, "sample", { title: "A sample" });
  const broken = await makeTool(scratch.path, "broken", { naem: "x" });
  const { code, stdout, stderr } = await cli(["tools", "list", "--tools", scratch.path]);
  expect(stdout).toMatch(/^sample +1\.0\.0 +wasm +A sample\n$/);
  expect(stderr).toContain(join(broken, "tool.json"));
  expect(stderr).toContain('did you mean "name"?');
  expect(code).toBe(0);
});

test("list gives JSON on demand", async () => {
  await using scratch = await scratchFolder();
  await makeTool(scratch.path, "sample");
  const { stdout } = await cli(["tools", "list", "--tools", scratch.path, "--json"]);
  expect(JSON.parse(stdout)).toMatchObject([{ digest: expect.stringMatching(/^sha256:/), manifest: { name: "sample" } }]);
});

test("without a folder of tools the samples are taken, which is said", async () => {
  await using scratch = await scratchFolder();
  const [samples, own] = await Promise.all([
    cli(["tools", "list"], { cwd: scratch.path }),
    cli(["tools", "list", "--tools", "examples/tools"]),
  ]);
  expect(samples.stderr).toContain("these are the sample tools");
  expect(samples.stdout).toContain("csv-aggregate");
  expect(samples.stdout).toBe(own.stdout);
  await mkdir(join(scratch.path, "tools"));
  const empty = await cli(["tools", "list"], { cwd: scratch.path });
  expect(empty).toMatchObject({ code: 0, stdout: "", stderr: expect.stringContaining("no tool in the folder") });
});

test("a folder that is not there fails in one line", async () => {
  const { code, stdout, stderr } = await cli(["tools", "list", "--tools", "no/such/folder"]);
  expect(stderr).toBe('toolruntime: ERR_CONFIG_INVALID: Cannot read the tools folder "no/such/folder": it does not exist\n');
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
});

test("describe shows the schemas and an example that can be pasted", async () => {
  await using scratch = await scratchFolder();
  const examples = [{ input: { text: "it's" } }];
  await makeTool(scratch.path, "sample", { examples, resources: { memory: "64Mi" } });
  const { code, stdout } = await cli(["tools", "describe", "sample", "--tools", scratch.path]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/memory +64 MiB/);
  expect(stdout).toContain('"type": "object"');
  expect(stdout).toContain(`--input '{"text":"it'\\''s"}'`);
});

test("describe of a broken tool says what is broken", async () => {
  await using scratch = await scratchFolder();
  await makeTool(scratch.path, "broken", { version: "one" });
  const { code, stderr } = await cli(["tools", "describe", "broken", "--tools", scratch.path]);
  expect(stderr).toContain("/version");
  expect(code).toBe(1);
});

test("add wires a module, which then runs", async () => {
  await using scratch = await scratchFolder();
  const added = await cli(["tools", "add", guest("echo"), "--name", "parrot"], { cwd: scratch.path });
  expect(added).toMatchObject({ code: 0, stdout: "added parrot 0.1.0 to tools\n" });
  expect((await readdir(join(scratch.path, "tools"))).toSorted()).toEqual(["parrot"]);
  const manifest = JSON.parse(await readFile(join(scratch.path, "tools/parrot/tool.json"), "utf8"));
  expect(manifest.artifacts.wasm).toEqual({ file: "parrot.wasm", digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) });
  expect(await cli(["run", "parrot", "--input", '"hi"', ...dev], { cwd: scratch.path })).toMatchObject({ code: 0, stdout: '"hi"' });
});

test("add copies a folder: of a command all but hidden files", async () => {
  await using scratch = await scratchFolder();
  const path = await makeScript(scratch.path, "sample", "echo ran");
  await mkdir(join(path, ".git"));
  await writeFile(join(path, ".git", "config"), "x");
  await writeFile(join(path, "data.txt"), "x");
  expect((await cli(["tools", "add", "./sample"], { cwd: scratch.path })).code).toBe(0);
  expect((await readdir(join(scratch.path, "tools/sample"))).toSorted()).toEqual(["data.txt", "run.sh", "tool.json"]);
  expect(await cli(["run", "sample", ...unsafe], { cwd: scratch.path })).toMatchObject({ code: 0, stdout: "ran\n" });
});

test("add copies of a module's folder what the manifest names, and describe shows how to try it", async () => {
  await using scratch = await scratchFolder();
  const examples = [{ input: {}, files: { "in.txt": "samples/in.txt", "gone.txt": "samples/gone.txt" } }];
  const path = await makeTool(scratch.path, "sample", { examples });
  await copyFile(guest("echo"), join(path, "module.wasm"));
  await mkdir(join(path, "samples"));
  await writeFile(join(path, "samples", "in.txt"), "x");
  await writeFile(join(path, "source.c"), "x");
  expect((await cli(["tools", "add", "./sample"], { cwd: scratch.path })).code).toBe(0);
  const added = join(scratch.path, "tools/sample");
  expect((await readdir(added, { recursive: true })).toSorted()).toEqual(["module.wasm", "samples", "samples/in.txt", "tool.json"]);
  const { stdout } = await cli(["tools", "describe", "sample"], { cwd: scratch.path });
  expect(stdout).toContain(`--file in.txt=${added}/samples/in.txt`);
});

test("add replaces a tool only with --force", async () => {
  await using scratch = await scratchFolder();
  const source = join(scratch.path, "source");
  const path = await makeTool(source, "sample");
  await copyFile(guest("echo"), join(path, "module.wasm"));
  const add = ["tools", "add", "source/sample"];
  expect((await cli(add, { cwd: scratch.path })).code).toBe(0);
  const manifest = JSON.parse(await readFile(join(path, "tool.json"), "utf8"));
  await writeFile(join(path, "tool.json"), JSON.stringify({ ...manifest, version: "2.0.0" }));
  const refused = await cli(add, { cwd: scratch.path });
  expect(refused.stderr).toContain("--force");
  expect(refused.code).toBe(1);
  expect((await cli([...add, "--force"], { cwd: scratch.path })).code).toBe(0);
  expect(JSON.parse(await readFile(join(scratch.path, "tools/sample/tool.json"), "utf8")).version).toBe("2.0.0");
  expect(await readdir(join(scratch.path, "tools"))).toEqual(["sample"]);
});

test("add refuses what would not run, and leaves nothing behind", async () => {
  await using scratch = await scratchFolder();
  await writeFile(join(scratch.path, "bad.wasm"), "no module at all");
  const wrong = await makeTool(scratch.path, "wrong", {
    artifacts: { wasm: { file: "module.wasm", digest: `sha256:${"0".repeat(64)}` } },
  });
  const [bad, mismatch, missing] = await Promise.all([
    cli(["tools", "add", "./bad.wasm"], { cwd: scratch.path }),
    cli(["tools", "add", wrong], { cwd: scratch.path }),
    cli(["tools", "add", "./missing"], { cwd: scratch.path }),
  ]);
  expect(bad).toMatchObject({ code: 1, stderr: expect.stringContaining("ERR_ARTIFACT_INVALID") });
  expect(mismatch).toMatchObject({ code: 1, stderr: expect.stringContaining("ERR_DIGEST_MISMATCH") });
  expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining("ERR_TOOL_NOT_FOUND") });
  await expect(readdir(join(scratch.path, "tools"))).rejects.toThrow("ENOENT");
});
