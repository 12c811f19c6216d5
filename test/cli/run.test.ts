import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { makeTool, scratchFolder } from "../registry/support.ts";
import {
  cli,
  cliOnTerminal,
  dev,
  ended,
  guest,
  hasTerminal,
  makeScript,
  seen,
  start,
  startCli,
  startOnTerminal,
  unsafe,
} from "./support.ts";

const escape = "\u001b";

/** A killed process whose parent is gone stays as a zombie where the system's first process reaps nothing. */
async function isRunning(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  return status !== "" && !/^State:\s+[ZX]/m.test(status);
}
const echo = guest("echo");

describe("the input", () => {
  test("is JSON on the command line, and comes out as the exact bytes that the tool wrote", async () => {
    const { code, stdout } = await cli(["run", echo, "--input", '{"text":"é\\u001b"}', ...dev]);
    expect(stdout).toBe('{"text":"é\\u001b"}');
    expect(code).toBe(0);
  });

  test("is a file", async () => {
    await using scratch = await scratchFolder();
    await writeFile(join(scratch.path, "input.json"), '{ "a": [1, 2] }\n');
    expect(await cli(["run", echo, "--input", "@input.json", ...dev], { cwd: scratch.path })).toMatchObject({
      code: 0,
      stdout: '{"a":[1,2]}',
    });
  });

  test("is stdin", async () => {
    expect(await cli(["run", echo, "--input", "-", ...dev], { stdin: '"from a pipe"' })).toMatchObject({
      code: 0,
      stdout: '"from a pipe"',
    });
  });

  test("is an empty object where none is given, whatever stdin has", async () => {
    expect(await cli(["run", echo, ...dev], { stdin: '"x"' })).toMatchObject({ code: 0, stdout: "{}" });
  });

  test.each([
    ["{oops", "not JSON at position 1"],
    ["hello", "a text is written"],
    ['{"a":1,"a":2}', "twice"],
    ["@missing.json", '"missing.json": it does not exist'],
  ])("%s is wrong usage", async (input, says) => {
    const { code, stderr } = await cli(["run", echo, "--input", input, ...dev]);
    expect(stderr).toContain(says);
    expect(code).toBe(2);
  });

  test("that does not fit the tool's schema is refused with 125", async () => {
    await using scratch = await scratchFolder();
    await makeTool(scratch.path, "sample", { inputSchema: { type: "object", required: ["text"] } });
    const { code, stderr } = await cli(["run", "sample", "--tools", scratch.path, ...dev]);
    expect(stderr).toContain("ERR_INPUT_INVALID");
    expect(stderr).toContain("tools describe");
    expect(code).toBe(125);
  });
});

describe("the exit code", () => {
  test("is the tool's", async () => {
    expect(await cli(["run", guest("exit"), ...dev])).toMatchObject({ code: 7, stdout: "", stderr: "" });
  });

  test("is 134 after a trap, which is named", async () => {
    const { code, stderr } = await cli(["run", guest("trap"), ...dev]);
    expect(stderr).toContain("trapped");
    expect(code).toBe(134);
  });

  test("is 125 for a limit that nothing can enforce, and the next step is named", async () => {
    await using scratch = await scratchFolder();
    const path = await makeScript(scratch.path, "sample", "true");
    const { code, stdout, stderr } = await cli(["run", path, "--fuel", "1000", ...unsafe]);
    expect([code, stdout]).toEqual([125, ""]);
    expect(stderr).toMatch(/ERR_LIMIT_UNENFORCEABLE.*\n.*--best-effort fuel/);
  });

  test("is 125 for a limit of fuel that ended the run, in the default profile", async () => {
    const { code, stderr } = await cli(["run", echo, "--fuel", "10"]);
    expect(stderr).toContain("ERR_LIMIT_FUEL");
    expect(code).toBe(125);
  });

  test("is 125 for a limit that ended the run", async () => {
    await using scratch = await scratchFolder();
    const path = await makeScript(scratch.path, "slow", "sleep 20");
    const { code, stderr } = await cli(["run", path, "--timeout", "300ms", ...unsafe]);
    expect(stderr).toContain("ERR_LIMIT_TIMEOUT");
    expect(code).toBe(125);
  });

  test("is 125 for a tool that is not there, with the nearest name", async () => {
    await using scratch = await scratchFolder();
    await makeTool(scratch.path, "sample");
    const { code, stderr } = await cli(["run", "smple", "--tools", scratch.path, ...dev]);
    expect(stderr).toContain('did you mean "sample"?');
    expect(code).toBe(125);
  });
});

describe("best effort", () => {
  test("goes without a limit, and the receipt says so", async () => {
    await using scratch = await scratchFolder();
    const path = await makeScript(scratch.path, "sample", "true");
    const { code, stdout } = await cli(["run", path, "--fuel", "1000", "--best-effort", "fuel", "--json", ...unsafe]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout).limits).toContainEqual({ limit: "fuel", requested: 1000, unit: "units", enforcedBy: "none", hit: "no" });
  });

  test("of an unknown limit is wrong usage", async () => {
    const { code, stderr } = await cli(["run", echo, "--best-effort", "tiemout", ...dev]);
    expect(stderr).toContain('did you mean "timeout"?');
    expect(code).toBe(2);
  });
});

describe("--json", () => {
  test("prints the whole result, and nothing else, on stdout", async () => {
    const { code, stdout } = await cli(["run", echo, "--input", "[1]", "--memory", "1Mi", "--json", ...dev]);
    expect(code).toBe(0);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({
      output: "[1]",
      exitCode: 0,
      stdout: "[1]",
      stderr: `log ${escape}[31mred\n`,
      backend: { name: "wasm" },
    });
    expect(result.limits).toContainEqual(
      expect.objectContaining({ limit: "memory", requested: 2 ** 20, applied: 2 ** 20, enforcedBy: "module" }),
    );
    expect(stdout).not.toContain(escape);
  });

  test("prints the error, with the same exit code as without", async () => {
    const { code, stdout, stderr } = await cli(["run", echo, "--json", "--memory", "1"]);
    expect(JSON.parse(stdout).error).toMatchObject({ code: "ERR_LIMIT_UNENFORCEABLE", actor: "caller", started: false });
    expect(stderr).toBe("");
    expect(code).toBe(125);
  });

  test("keeps the exit code of the tool", async () => {
    const { code, stdout } = await cli(["run", guest("exit"), "--json", ...dev]);
    expect(JSON.parse(stdout)).toMatchObject({ exitCode: 7, output: null });
    expect(code).toBe(7);
  });
});

describe("a seed", () => {
  test("makes two runs the same, to the unit of fuel", async () => {
    const args = ["run", echo, "--input", "[1]", "--seed", "a", "--now", "2020-01-01T00:00:00Z", "--json"];
    const fuel = async (): Promise<unknown> =>
      JSON.parse((await cli(args)).stdout).limits.find((one: { limit: string }) => one.limit === "fuel");
    const [first, second] = await Promise.all([fuel(), fuel()]);
    expect(first).toMatchObject({ unit: "units", peak: expect.any(Number) });
    expect(second).toEqual(first);
  });

  test("is what --now needs", async () => {
    const { code, stderr } = await cli(["run", echo, "--now", "2020-01-01T00:00:00Z"]);
    expect([code, stderr]).toEqual([2, expect.stringContaining("--seed")]);
  });
});

describe("--explain", () => {
  test("says what would enforce each limit, and runs nothing", async () => {
    await using scratch = await scratchFolder();
    const path = await makeScript(scratch.path, "sample", `touch '${scratch.path}/ran'`);
    const { code, stdout } = await cli(["run", path, "--memory", "32Mi", "--explain", ...unsafe]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/unsafe: chosen in profile dev/);
    expect(stdout).toMatch(/memory +32 MiB +task +\w+/);
    expect(stdout).toMatch(/wasm: refused/);
    await expect(readFile(join(scratch.path, "ran"))).rejects.toThrow("ENOENT");
  });

  test("ends with 125 where no backend would take it", async () => {
    const { code, stdout } = await cli(["run", echo, "--explain", "--memory", "1"]);
    expect(stdout).toMatch(/refused in profile standard\n.*ERR_LIMIT_UNENFORCEABLE/);
    expect(code).toBe(125);
  });

  test("is JSON on demand", async () => {
    const { stdout } = await cli(["run", echo, "--explain", "--json", ...dev]);
    expect(JSON.parse(stdout)).toMatchObject([{ backend: "wasm", verdict: "chosen", artifact: "wasm" }]);
  });
});

describe("unsafe tools", () => {
  test("need the operator's word, and dev", async () => {
    await using scratch = await scratchFolder();
    const path = await makeScript(scratch.path, "sample", "echo ran");
    const [without, named, standard, allowed] = await Promise.all([
      cli(["run", path, ...dev]),
      cli(["run", path, "--backend", "unsafe", ...dev]),
      cli(["run", path, "--allow-unsafe"]),
      cli(["run", path, ...unsafe]),
    ]);
    expect(without).toMatchObject({ code: 125, stdout: "" });
    expect(without.stderr).toContain("--allow-unsafe");
    expect(named).toMatchObject({ code: 125, stdout: "", stderr: expect.stringContaining("ERR_POLICY_DENIED") });
    expect(standard).toMatchObject({ code: 125, stdout: "", stderr: expect.stringContaining("ERR_PROFILE_UNSUPPORTED") });
    expect(allowed).toMatchObject({ code: 0, stdout: "ran\n", stderr: expect.stringContaining("without a sandbox") });
  });

  test("get files and variables, and their output files are saved", async () => {
    await using scratch = await scratchFolder();
    const path = await makeScript(
      scratch.path,
      "sample",
      'cat notes/a.txt b.txt; echo "$ONE $TWO"; mkdir -p out/deep; echo made >out/deep/file.txt',
    );
    await writeFile(join(scratch.path, "a"), "first ");
    await writeFile(join(scratch.path, "b"), "second ");
    const files = ["--file", "notes/a.txt=a", "--file", "b.txt=b", "--env", "ONE=1=1", "--env", "TWO=2", "--out", "made/here"];
    const { code, stdout } = await cli(["run", path, ...files, ...unsafe], { cwd: scratch.path });
    expect({ code, stdout }).toEqual({ code: 0, stdout: "first second 1=1 2\n" });
    expect(await readFile(join(scratch.path, "made/here/deep/file.txt"), "utf8")).toBe("made\n");
  });

  test("whose output files nobody wants are named", async () => {
    await using scratch = await scratchFolder();
    const path = await makeScript(scratch.path, "sample", "echo made >out/file.txt");
    expect((await cli(["run", path, ...unsafe])).stderr).toContain("--out");
  });

  test("cannot write through a link that is in the output folder", async () => {
    await using scratch = await scratchFolder();
    const path = await makeScript(scratch.path, "sample", "mkdir out/link; echo evil >out/link/file.txt");
    await mkdir(join(scratch.path, "made"));
    await mkdir(join(scratch.path, "elsewhere"));
    await ended(start(["ln", "-s", "../elsewhere", join(scratch.path, "made", "link")]));
    const { code, stderr } = await cli(["run", path, "--out", "made", ...unsafe], { cwd: scratch.path });
    expect(stderr).toContain("ERR_OUTPUT_INVALID");
    expect(code).toBe(125);
    await expect(readFile(join(scratch.path, "elsewhere/file.txt"))).rejects.toThrow("ENOENT");
  });

  test("show their stderr while they run", async () => {
    await using scratch = await scratchFolder();
    const path = await makeScript(scratch.path, "sample", "echo working >&2; sleep 20");
    const child = startCli(["run", path, ...unsafe]);
    const end = ended(child);
    await seen(child.stderr, "working\n");
    expect(child.exitCode).toBeNull();
    child.kill("SIGTERM");
    expect((await end).code).toBe(143);
  });
});

describe("Ctrl-C", () => {
  test("ends the tool and all that it started, with 130", async () => {
    await using scratch = await scratchFolder();
    const path = await makeScript(scratch.path, "sample", `sleep 20 & echo $! >'${scratch.path}/pid'; echo ready >&2; wait`);
    const child = startCli(["run", path, ...unsafe]);
    const end = ended(child);
    await seen(child.stderr, "ready\n");
    child.kill("SIGINT");
    const { code, stderr } = await end;
    expect(stderr).toContain("ERR_ABORTED");
    expect(code).toBe(130);
    const pid = Number(await readFile(join(scratch.path, "pid"), "utf8"));
    expect(await isRunning(pid)).toBe(false);
  });

  test("ends a module that loops in this process", async () => {
    const child = startCli(["run", guest("spin"), ...dev]);
    const end = ended(child);
    await seen(child.stderr, "spinning\n");
    child.kill("SIGINT");
    // Killed by the signal itself, which a shell shows as 130.
    expect(await end).toMatchObject({ code: null, signal: "SIGINT" });
  });
});

describe.skipIf(!hasTerminal)("on a terminal", () => {
  test("Ctrl-C ends a module that loops in this process, with 130", async () => {
    const child = startOnTerminal(["run", guest("spin"), ...dev], { stdin: "open" });
    const end = ended(child);
    await seen(child.stdout, "spinning");
    child.stdin.write("\u0003");
    expect((await end).code).toBe(130);
  });

  test("what takes over a second says so, and takes the line away again", async () => {
    await using scratch = await scratchFolder();
    const path = await makeScript(scratch.path, "sample", "sleep 1.5; echo done");
    const { stdout } = await cliOnTerminal(["run", path, ...unsafe]);
    expect(stdout).toContain(`\r${escape}[K`);
    expect(stdout).toMatch(/Running the tool \(1 s\).*done/s);
  });

  test("what takes less says nothing", async () => {
    const { stdout } = await cliOnTerminal(["run", echo, ...dev]);
    expect(stdout).not.toContain("Running");
    expect(stdout).toMatch(/\{\}\r\n$/);
  });
});

test("a reader that has enough ends the tool", async () => {
  await using scratch = await scratchFolder();
  const path = await makeScript(scratch.path, "sample", "while :; do echo line; done");
  const child = startCli(["run", path, ...unsafe]);
  const end = ended(child);
  await seen(child.stdout, "line\n");
  child.stdout.destroy();
  const { code, stderr } = await end;
  expect(code).toBe(141);
  expect(stderr).not.toContain("    at ");
});

describe("what strangers wrote", () => {
  test.skipIf(!hasTerminal)("is escaped on a terminal", async () => {
    const hostile = `${escape}]0;title\u0007\u009b31m\u202e`;
    await using scratch = await scratchFolder();
    const path = await makeScript(scratch.path, "sample", `cat; printf '%s\\r\\n' '${hostile}'`);
    const { stdout } = await cliOnTerminal(["run", path, ...unsafe]);
    expect(stdout).toContain("\\x1b]0;title\\x07\\x9b31m\\u202e\\x0d");
    for (const character of hostile.replaceAll(/[\w;[\]]/g, "")) expect(stdout).not.toContain(character);
  });

  test("is escaped on stderr even on a pipe", async () => {
    const { stderr } = await cli(["run", echo, ...dev]);
    expect(stderr).toBe("log \\x1b[31mred\n");
  });

  test("comes through a pipe of stdout as it is", async () => {
    await using scratch = await scratchFolder();
    const path = await makeScript(scratch.path, "sample", "printf '\\033[31m\\377\\000\\r\\n'");
    const { stdoutBytes } = await cli(["run", path, ...unsafe]);
    expect([...stdoutBytes]).toEqual([0x1b, 0x5b, 0x33, 0x31, 0x6d, 0xff, 0, 0x0d, 0x0a]);
  });

  test("is escaped in errors and manifests", async () => {
    await using scratch = await scratchFolder();
    await makeTool(scratch.path, "sample", { description: `Red ${escape}[31m\nsecond line`, title: `T ${escape}[2J` });
    const [list, description, missing] = await Promise.all([
      cli(["tools", "list", "--tools", scratch.path]),
      cli(["tools", "describe", "sample", "--tools", scratch.path]),
      cli(["run", `${escape}[31mx`, "--tools", scratch.path]),
    ]);
    for (const { stdout, stderr } of [list, description, missing]) expect(stdout + stderr).not.toContain(escape);
    expect(description.stdout).toContain("Red \\x1b[31m");
  });
});
