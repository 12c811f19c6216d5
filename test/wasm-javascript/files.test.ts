import { mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { folderRegistry } from "../../src/internal/node/folder-registry.ts";
import { loadTool } from "../../src/internal/node/tool-folder.ts";
import { cli, dev } from "../cli/support.ts";
import { failureOf, makeTool, scratchFolder } from "../registry/support.ts";
import { openRuntime } from "./support.ts";

const greet = "export default ({ name }) => { console.log('greeting', name); return { hello: name }; };\n";
const code = (more: object = {}) => ({ artifacts: { code: { language: "javascript", file: "greet.js", ...more } } });

describe("a tool's folder with a snippet", () => {
  it("is loaded, and its text is read when a run needs it", async () => {
    await using scratch = await scratchFolder();
    const path = await makeTool(scratch.path, "sample", code());
    await writeFile(join(path, "greet.js"), "later");
    const tool = await loadTool(path);
    await writeFile(join(path, "greet.js"), greet);
    await using runtime = openRuntime();
    expect((await runtime.execute({ tool, input: { name: "Ada" } })).stdout).toBe('{"hello":"Ada"}');
  });

  it("may have the text in its manifest", async () => {
    await using scratch = await scratchFolder();
    const path = await makeTool(scratch.path, "sample", { artifacts: { code: { language: "javascript", source: greet } } });
    await using runtime = openRuntime();
    expect((await runtime.execute({ tool: await loadTool(path), input: { name: "Ada" } })).stdout).toBe('{"hello":"Ada"}');
  });

  it.each(["../greet.js", "/etc/passwd", "link.js", "missing.js"])(
    "is refused where the text is outside or not there: %s",
    async (file) => {
      await using scratch = await scratchFolder();
      await writeFile(join(scratch.path, "greet.js"), greet);
      const path = await makeTool(scratch.path, "sample", code({ file }));
      await symlink("../greet.js", join(path, "link.js"));
      const error = await failureOf(loadTool(path));
      expect(error.code).toBe("ERR_MANIFEST_INVALID");
      expect(error.message).toContain("/artifacts/code/file");
    },
  );

  it("is loaded anew when its text changes", async () => {
    await using scratch = await scratchFolder();
    const path = await makeTool(scratch.path, "sample", code());
    await writeFile(join(path, "greet.js"), greet);
    await using registry = await folderRegistry({ folder: scratch.path });
    const before = registry.get({ name: "sample" });
    await registry.reload();
    expect(registry.get({ name: "sample" })).toBe(before);
    await writeFile(join(path, "greet.js"), `${greet}// more\n`);
    await registry.reload();
    expect(registry.get({ name: "sample" })).not.toBe(before);
  });
});

describe("the command line", () => {
  it.each(["greet.js", "greet.mjs"])("runs a bare %s", async (file) => {
    await using scratch = await scratchFolder();
    await writeFile(join(scratch.path, file), greet);
    for (const security of ["dev", "standard", "hardened"]) {
      const ended = await cli(["run", file, "--input", '{"name":"Ada"}', "--security", security], { cwd: scratch.path });
      expect(ended).toMatchObject({ code: 0, stdout: '{"hello":"Ada"}', stderr: "greeting Ada\n" });
    }
  });

  it("ends with the snippet's exit code, and shows where it is wrong", async () => {
    await using scratch = await scratchFolder();
    await writeFile(join(scratch.path, "bad.js"), "export default () => {\n  return 1 +;\n};\n");
    const { code: exitCode, stdout, stderr } = await cli(["run", "./bad.js", ...dev], { cwd: scratch.path });
    expect([exitCode, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^SyntaxError: .+\n {4}at bad\.js:2:\d+\n/);
  });

  it("adds a bare file as a tool, and a folder with what its manifest names", async () => {
    await using scratch = await scratchFolder();
    await writeFile(join(scratch.path, "greet.mjs"), greet);
    const added = await cli(["tools", "add", "greet.mjs", "--name", "hello"], { cwd: scratch.path });
    expect(added).toMatchObject({ code: 0, stdout: "added hello 0.1.0 to tools\n" });
    expect((await readdir(join(scratch.path, "tools/hello"))).toSorted()).toEqual(["hello.mjs", "tool.json"]);
    const manifest = JSON.parse(await readFile(join(scratch.path, "tools/hello/tool.json"), "utf8"));
    const digest = expect.stringMatching(/^sha256:[0-9a-f]{64}$/);
    expect(manifest.artifacts).toEqual({ code: { language: "javascript", file: "hello.mjs", digest } });
    const path = await makeTool(scratch.path, "sample", code());
    await mkdir(join(path, "notes"));
    await writeFile(join(path, "greet.js"), greet);
    expect((await cli(["tools", "add", "./sample"], { cwd: scratch.path })).code).toBe(0);
    expect((await readdir(join(scratch.path, "tools/sample"))).toSorted()).toEqual(["greet.js", "tool.json"]);
    const ran = await cli(["run", "hello", "--input", '{"name":"Ada"}', ...dev], { cwd: scratch.path });
    expect(ran).toMatchObject({ code: 0, stdout: '{"hello":"Ada"}' });
    expect((await cli(["tools", "describe", "hello"], { cwd: scratch.path })).stdout).toMatch(/code\s+hello\.mjs/);
  });
});
