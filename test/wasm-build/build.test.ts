import { execFile } from "node:child_process";
import { chmod, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { cli, guest, makeScript, root } from "../cli/support.ts";
import { makeTool, scratchFolder } from "../registry/support.ts";
import { buildSamples, filesUnder, samplesFolder } from "./support.ts";

const recordName = ".toolruntime-build.json";
const build = (args: readonly string[], cwd = root) => cli(["build", ...args], { cwd });

describe("toolruntime build", () => {
  test("writes the same bytes for the same tools, of every ABI", async () => {
    await using scratch = await scratchFolder();
    const [one, other] = [join(scratch.path, "one"), join(scratch.path, "deep", "other")];
    const names = ["text-stats", "html-to-text", "hash"];
    await buildSamples(names, one);
    await buildSamples(names.toReversed(), other);
    const [first, second] = [await filesUnder(one), await filesUnder(other)];
    expect([...first.keys()].toSorted()).toEqual([...second.keys()].toSorted());
    for (const [path, bytes] of first) expect([path, second.get(path)?.equals(bytes)]).toEqual([path, true]);
    const wasm = [...first].filter(([path]) => path.endsWith(".wasm"));
    expect(wasm.length).toBeGreaterThan(6);
    for (const [path, bytes] of wasm) expect([path, WebAssembly.validate(Uint8Array.from(bytes))]).toEqual([path, true]);
  });

  test("touches nothing that is as it should be, and removes what an earlier build made and this one does not", async () => {
    await using scratch = await scratchFolder();
    const kept = join(scratch.path, "hash-1.0.0", "main.wasm");
    await buildSamples(["hash", "text-stats"], scratch.path);
    const before = await stat(kept);
    await writeFile(join(scratch.path, "notes.txt"), "mine");
    await writeFile(join(scratch.path, "text-stats-1.0.0", "notes.txt"), "mine too");
    await buildSamples(["hash"], scratch.path);
    expect((await stat(kept)).mtimeMs).toBe(before.mtimeMs);
    const wasm = ["main.deterministic.wasm", "main.wasm"].map((name) => `hash-1.0.0/${name}`);
    const own = [recordName, ...wasm, "engine.d.ts", "engine.js", "index.d.ts", "index.js"];
    expect([...(await filesUnder(scratch.path)).keys()].toSorted()).toEqual([...own, "notes.txt", "text-stats-1.0.0/notes.txt"].toSorted());
    expect((await readFile(join(scratch.path, "index.js"))).includes("text-stats")).toBe(false);
  });

  test("gives on demand what it wrote as JSON, and else a line for people", async () => {
    await using scratch = await scratchFolder();
    const { code, stdout } = await build(["hash@1.0.0", "--tools", samplesFolder, "--out", scratch.path, "--json"]);
    const report = JSON.parse(stdout);
    expect([code, report.out, report.removed]).toEqual([0, scratch.path, []]);
    expect(report.tools).toMatchObject([{ name: "hash", version: "1.0.0", abi: "wasi-p1" }]);
    expect(report.tools[0].files.map(({ path }: { path: string }) => path)).toEqual([
      "hash-1.0.0/main.wasm",
      "hash-1.0.0/main.deterministic.wasm",
    ]);
    const again = await build(["hash", "--tools", samplesFolder, "--out", "out"], scratch.path);
    expect(again.stdout).toMatch(/^hash 1\.0\.0 +wasi-p1 +2 files +\d+ KiB\nbuilt 1 tool; import \{ tools \} from "\.\/out\/index\.js"\n$/);
    const help = await build(["--help"]);
    expect([help.code, help.stdout]).toEqual([0, expect.stringContaining("--out")]);
  });

  test("builds all tools of a folder that have WebAssembly, and names the others", async () => {
    await using scratch = await scratchFolder();
    const tools = join(scratch.path, "tools");
    await mkdir(tools);
    await makeScript(tools, "script", "true");
    const added = await cli(["tools", "add", guest("echo"), "--tools", tools, "--name", "parrot"]);
    expect(added.code).toBe(0);
    const { code, stderr } = await build(["--out", "out"], scratch.path);
    expect([code, stderr]).toEqual([0, expect.stringContaining("not built: script")]);
    const own = [recordName, "engine.d.ts", "engine.js", "index.d.ts", "index.js", "parrot-0.1.0"];
    expect((await readdir(join(scratch.path, "out"))).toSorted()).toEqual(own);
  });

  test("writes an engine with the ABIs of the tools and no other", async () => {
    await using scratch = await scratchFolder();
    const engine = () => readFile(join(scratch.path, "engine.js"), "utf8");
    await buildSamples(["hash", "text-stats"], scratch.path);
    expect(await engine()).toContain('import { builtEngine, extism, wasiP1 } from "toolruntime/wasm/abi";');
    await buildSamples(["hash"], scratch.path);
    expect(await engine()).toContain("builtEngine([wasiP1()], options)");
  });

  test("leaves a variant out on demand", async () => {
    await using scratch = await scratchFolder();
    const only = (variant: string) => build(["hash", "--tools", samplesFolder, "--out", scratch.path, "--variant", variant]);
    for (const [variant, file] of [
      ["plain", "main.wasm"],
      ["deterministic", "main.deterministic.wasm"],
    ] as const) {
      expect((await only(variant)).code).toBe(0);
      expect(await readdir(join(scratch.path, "hash-1.0.0"))).toEqual([file]);
      expect(await readFile(join(scratch.path, "index.js"), "utf8")).toContain(`deterministic: ${variant === "deterministic"},`);
    }
    expect(await only("both")).toMatchObject({ code: 2, stderr: expect.stringContaining("plain, deterministic") });
  });

  test("types what it wrote", async () => {
    await using scratch = await scratchFolder();
    const out = join(scratch.path, "out");
    await buildSamples(["hash", "text-stats"], out);
    await writeFile(
      join(scratch.path, "use.ts"),
      `import { defineTool, type BuiltTool, type Tool } from "toolruntime";
       import { digests, tools } from "./out/index.js";
       export const all: Promise<Tool[]> = Promise.all(tools.map(({ manifest, compiled }: BuiltTool) => defineTool(manifest, { compiled })));
       export const digest: \`sha256:\${string}\` = digests["hash@1.0.0"].wasm;
       // @ts-expect-error there is no such tool
       export const none = digests["hush@1.0.0"];
       export const wrong: number = digests["hash@1.0.0"].wasm;`,
    );
    const config = {
      extends: join(root, "tsconfig.json"),
      compilerOptions: {
        noEmit: true,
        paths: { toolruntime: [join(root, "src/index.ts")] },
        typeRoots: [join(root, "node_modules/@types")],
      },
      include: ["use.ts"],
    };
    await writeFile(join(scratch.path, "tsconfig.json"), JSON.stringify(config));
    await writeFile(join(scratch.path, "package.json"), '{"type":"module"}');
    const tsc = join(root, "node_modules/.bin/tsc");
    const { stdout } = await promisify(execFile)(tsc, ["-p", scratch.path, "--pretty", "false"]).catch(
      (error: { stdout: string }) => error,
    );
    const problems = stdout.split("\n").filter((line) => line.includes("use.ts") || line.includes("out/"));
    // The last line of the file, to see that anything was checked.
    expect(problems).toEqual([expect.stringMatching(/use\.ts\(7,.*is not assignable to type 'number'/)]);
  }, 60_000);
});

describe("toolruntime build says what is wrong", () => {
  test("a tool that is not there, with the nearest name", async () => {
    await using scratch = await scratchFolder();
    const { code, stderr } = await build(["hush", "--tools", samplesFolder, "--out", scratch.path]);
    expect(stderr).toMatch(/^toolruntime: ERR_TOOL_NOT_FOUND: .*did you mean "hash"\?\n/);
    expect([code, await readdir(scratch.path)]).toEqual([1, []]);
  });

  test("a tool without WebAssembly, and a folder with none", async () => {
    await using scratch = await scratchFolder();
    await makeScript(scratch.path, "script", "true");
    const named = await build(["disk-usage", "--tools", samplesFolder, "--out", join(scratch.path, "out")]);
    expect(named).toMatchObject({ code: 1, stderr: expect.stringMatching(/ERR_ARTIFACT_UNSUPPORTED.*"disk-usage".*only command/) });
    const none = await build(["--tools", scratch.path, "--out", join(scratch.path, "out")]);
    expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining("ERR_TOOL_NOT_FOUND") });
  });

  test("a broken tool of the folder: a build is whole or not there", async () => {
    await using scratch = await scratchFolder();
    await makeTool(scratch.path, "broken", { version: "one" });
    const { code, stderr } = await build(["--tools", scratch.path, "--out", join(scratch.path, "out")]);
    expect([code, stderr]).toEqual([1, expect.stringContaining("/version")]);
    expect(await readdir(scratch.path)).toEqual(["broken"]);
  });

  test("bytes that are not those of the manifest", async () => {
    await using scratch = await scratchFolder();
    await makeTool(scratch.path, "other", { artifacts: { wasm: { file: "module.wasm", digest: `sha256:${"0".repeat(64)}` } } });
    const { code, stderr } = await build(["other", "--tools", scratch.path, "--out", join(scratch.path, "out")]);
    expect([code, stderr]).toEqual([1, expect.stringContaining("ERR_DIGEST_MISMATCH")]);
  });

  test.each(["index.js", "hash-1.0.0/main.wasm"])("a file %s that no build wrote, which stays as it is", async (path) => {
    await using scratch = await scratchFolder();
    await mkdir(join(scratch.path, "hash-1.0.0"));
    await writeFile(join(scratch.path, path), "mine");
    const { code, stderr } = await build(["hash", "--tools", samplesFolder, "--out", scratch.path]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/ERR_CONFIG_INVALID.*no build wrote/)]);
    expect([...(await filesUnder(scratch.path))].map(([name, bytes]) => [name, bytes.toString()])).toEqual([[path, "mine"]]);
  });

  test.each(["../outside.txt", "/etc/hosts", "hash-1.0.0/../../outside.txt", ".hidden"])(
    "a record that names %j, which is not removed",
    async (path) => {
      await using scratch = await scratchFolder();
      const out = join(scratch.path, "out");
      await mkdir(out);
      await writeFile(join(scratch.path, "outside.txt"), "mine");
      await writeFile(join(out, recordName), JSON.stringify({ files: [path] }));
      const { code, stderr } = await build(["hash", "--tools", samplesFolder, "--out", out]);
      expect([code, stderr]).toEqual([1, expect.stringContaining(recordName)]);
      expect(await readFile(join(scratch.path, "outside.txt"), "utf8")).toBe("mine");
    },
  );

  test("a folder that cannot be written", async () => {
    await using scratch = await scratchFolder();
    await writeFile(join(scratch.path, "file"), "");
    const inFile = await build(["hash", "--tools", samplesFolder, "--out", join(scratch.path, "file", "out")]);
    expect(inFile).toMatchObject({ code: 1, stderr: expect.stringMatching(/^toolruntime: ERR_CONFIG_INVALID: Cannot write the build to/) });
    if (process.getuid?.() === 0) return;
    await mkdir(join(scratch.path, "closed"));
    await chmod(join(scratch.path, "closed"), 0o555);
    const closed = await build(["hash", "--tools", samplesFolder, "--out", join(scratch.path, "closed", "out")]);
    expect(closed).toMatchObject({ code: 1, stderr: expect.stringContaining("ERR_CONFIG_INVALID") });
  });
});
