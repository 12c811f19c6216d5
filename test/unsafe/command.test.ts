import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { codeOf, commandTool, errorOf, openBench, searchPath, shell } from "./support.ts";

const folder = mkdtempSync(join(tmpdir(), "toolruntime-tool-"));
writeFileSync(join(folder, "hello.sh"), '#!/bin/sh\necho "hello $1"\ncat "$2"\n', { mode: 0o755 });
writeFileSync(join(folder, "data.txt"), "data\n");
writeFileSync(join(folder, "plain.sh"), "echo no\n");
chmodSync(join(folder, "plain.sh"), 0o644);
afterAll(() => rmSync(folder, { recursive: true }));

const { runtime } = openBench();

describe("the command of a tool", () => {
  it("finds what it names in the tool's folder, and nothing outside it", async () => {
    const { stdout } = await runtime.execute({ tool: await commandTool(["./hello.sh", "you", "data.txt"], folder) });
    expect(stdout).toBe("hello you\ndata\n");
    const { stdout: echoed } = await runtime.execute({ tool: await commandTool(["echo", "../etc/passwd", "no-such", "out/x"], folder) });
    expect(echoed).toBe("../etc/passwd no-such out/x\n");
  });

  it("is given no shell: arguments arrive as they are", async () => {
    const odd = ["$HOME", "`id`", "$(id)", "a b", "", "*", "--", "'\"\\", "a\nb"];
    const { stdout } = await runtime.execute({ tool: await commandTool(["printf", "%s|", ...odd]) });
    expect(stdout).toBe(`${odd.join("|")}|`);
  });

  it.each([
    ["a program that is not there", ["no-such-program"], undefined],
    ["a file that is not there", ["./no-such"], folder],
    ["a way out of the folder", ["./../../../bin/echo"], folder],
    ["a file that is not executable", ["./plain.sh"], folder],
    ["a relative file of a tool without a folder", ["./hello.sh"], undefined],
    ["a folder that is gone", ["./hello.sh"], join(folder, "gone")],
    ["a folder as program", ["/tmp"], undefined],
    ["nothing", [""], undefined],
  ])("is ERR_ARTIFACT_INVALID for %s", async (_, argv, from) => {
    const error = await errorOf(runtime.execute({ tool: await commandTool(argv, from) }));
    expect(error).toMatchObject({ code: "ERR_ARTIFACT_INVALID", started: false });
  });

  it("runs under a program whose interpreter is missing as that program's own failure", async () => {
    writeFileSync(join(folder, "odd"), "#!/no/such/interpreter\n", { mode: 0o755 });
    const { exitCode } = await runtime.execute({ tool: await commandTool(["./odd"], folder) });
    expect(exitCode).toBe(127);
  });
});

describe("the environment of a tool", () => {
  it("is what the task gives and four variables", async () => {
    process.env["TOOLRUNTIME_TEST_CANARY"] = "canary-of-the-service";
    const env = { GIVEN: "a b\n'c\"$d`", LD_LIBRARY_PATH: "/nowhere", IFS: "x", EMPTY: "" };
    const { stdout } = await runtime.execute({ tool: await commandTool(["env", "-0"]), env });
    delete process.env["TOOLRUNTIME_TEST_CANARY"];
    const seen = Object.fromEntries(
      stdout.split("\0").flatMap((line) => (line === "" ? [] : [[line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]])),
    );
    expect(seen).toMatchObject(env);
    expect(Object.keys(seen).sort()).toEqual(["EMPTY", "GIVEN", "HOME", "IFS", "LD_LIBRARY_PATH", "PATH", "PWD", "TMPDIR"]);
    expect(seen["PATH"]).toBe(searchPath);
  });

  it("reaches the tool's program and nothing that runs before it", async () => {
    // A loader that is told to preload a missing file says so on stderr; once for each program that is started.
    const { stderr } = await runtime.execute({ tool: await commandTool(["/usr/bin/true"]), env: { LD_PRELOAD: "/no/such.so" } });
    expect(stderr.match(/no\/such\.so/g)).toHaveLength(1);
  });

  it("has the task's own PATH win", async () => {
    const { stdout } = await runtime.execute({ tool: await shell('echo "$PATH"'), env: { PATH: "/mine" } });
    expect(stdout).toBe("/mine\n");
  });
});

describe("the working folder", () => {
  it("has the files of the task, read-only, and what is in out comes back", async () => {
    const script =
      'cat in/a.txt; stat -c %a in/a.txt; test -w out && test -w tmp && echo "$TMPDIR" | grep -q /tmp$ && mkdir out/deep && printf xyz >out/deep/z && ln -s /etc/passwd out/link && mkfifo out/fifo && : >out/empty';
    const result = await runtime.execute({ tool: await shell(script), files: { "in/a.txt": "text\n" } });
    expect(result.stdout).toBe("text\n444\n");
    expect(result.exitCode).toBe(0);
    expect(result.files.map(({ path, size }) => [path, size])).toEqual([
      ["deep/z", 3],
      ["empty", 0],
    ]);
  });

  it("is a fresh one for each run, and gone after it", async () => {
    const tool = await shell("pwd; ls; : >left");
    const [a, b] = [await runtime.execute({ tool }), await runtime.execute({ tool })];
    const [pathA, pathB] = [a.stdout.split("\n")[0], b.stdout.split("\n")[0]];
    expect(pathA).not.toBe(pathB);
    expect(b.stdout).toBe(`${pathB}\nout\ntmp\n`);
    expect(existsSync(String(pathA))).toBe(false);
  });

  it("is removed whatever the tool has made of it", async () => {
    const deep = "for i in $(seq 40); do d=$(printf %0200d $i); mkdir $d; cd $d; done; : >x; cd ..; chmod 0 .";
    const { scratch, runtime: own } = openBench();
    await own.execute({ tool: await shell(deep) });
    expect(readdirSync(join(scratch, String(readdirSync(scratch)[0]))).filter((name) => /^\d+$/.test(name))).toEqual([]);
  });
});

describe("what a run may hand back", () => {
  it("is capped in files", async () => {
    const { runtime: own } = openBench({}, { maxOutputFiles: 3 });
    expect(await codeOf(own.execute({ tool: await shell("touch out/1 out/2 out/3 out/4") }))).toBe("ERR_LIMIT_DISK");
    expect((await own.execute({ tool: await shell("touch out/1 out/2 out/3") })).files).toHaveLength(3);
  });

  it("is capped in bytes, and a sparse terabyte is not read", async () => {
    const { runtime: own } = openBench({ maxOutputBytes: 10 });
    expect((await own.execute({ tool: await shell("printf 12345 >out/a; printf 12345 >out/b") })).files).toHaveLength(2);
    expect(await codeOf(own.execute({ tool: await shell("printf 12345 >out/a; printf 123456 >out/b") }))).toBe("ERR_LIMIT_DISK");
    const before = performance.now();
    expect(await codeOf(own.execute({ tool: await shell("truncate -s 1T out/big") }))).toBe("ERR_LIMIT_DISK");
    expect(performance.now() - before).toBeLessThan(5000);
  });
});
