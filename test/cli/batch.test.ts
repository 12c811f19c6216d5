import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, afterAll, describe, expect, test } from "vitest";
import { openService, until } from "../edge/support.ts";
import { cli, dev, ended, guest, hasTerminal, makeScript, start, startCli, unsafe, root } from "./support.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "toolruntime-batch-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Line {
  readonly index: number;
  readonly status: string;
  readonly kept?: boolean;
  readonly result?: { readonly output: unknown; readonly exitCode: number };
  readonly error?: { readonly code: string };
}

const linesOf = (stdout: string): Line[] =>
  stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Line);
const upTo = (count: number): number[] => [...Array(count).keys()];
const indexesOf = (lines: readonly Line[]): number[] => lines.map(({ index }) => index).toSorted((a, b) => a - b);

async function inputFile(name: string, count: number): Promise<string> {
  const file = join(folder, name);
  await writeFile(
    file,
    upTo(count)
      .map((n) => `{"n":${n}}\n`)
      .join(""),
  );
  return file;
}

/** A script that writes down each of its runs. */
async function countingTool(name: string, rest: string): Promise<{ readonly tool: string; readonly runs: () => Promise<string[]> }> {
  const log = join(folder, `${name}.log`);
  await appendFile(log, "");
  const tool = await makeScript(folder, name, `input=$(cat); echo "$input" >> ${log}; ${rest}`);
  return { tool, runs: async () => (await readFile(log, "utf8")).split("\n").filter((line) => line !== "") };
}

describe("here", () => {
  test("each line of the file has one line of answer, and a pipe gets no bar", async () => {
    const { code, stdout, stderr } = await cli(["batch", guest("echo"), ...dev, "--inputs", await inputFile("plain", 20)]);
    const lines = linesOf(stdout);
    expect(indexesOf(lines)).toEqual(upTo(20));
    for (const { index, result } of lines) expect(result?.output).toBe(`{"n":${index}}`);
    expect(stderr).toMatch(/^toolruntime: 20 inputs answered, 0 failed, in \d+\.\d s\n$/);
    expect(code).toBe(0);
  });

  test("inputs come from stdin as they are written", async () => {
    const child = startCli(["batch", guest("echo"), ...dev, "--inputs", "-", "--ordered"], { stdin: "open" });
    const done = ended(child);
    child.stdin.write('{"n":0}\n{"n"');
    const first = await new Promise<string>((resolve) => child.stdout.once("data", (chunk: Buffer) => resolve(chunk.toString())));
    expect(linesOf(first)).toMatchObject([{ index: 0, status: "result" }]);
    child.stdin.end(":1}");
    const { code, stdout } = await done;
    expect([code, linesOf(stdout).length]).toEqual([0, 2]);
  });

  test("failures are counted by kind, and so many of them end it", async () => {
    const tool = await makeScript(folder, "fails", "exit 3");
    const inputs = await inputFile("failing", 10);
    const all = await cli(["batch", tool, ...unsafe, "--inputs", inputs]);
    expect(all.stderr).toContain("10 inputs answered, 10 failed (10 × exit code 3)");
    const some = await cli(["batch", tool, ...unsafe, "--inputs", inputs, "--failures", "2", "--concurrency", "1"]);
    expect(some.stderr).toContain("(2 × exit code 3, 8 × ERR_BUDGET_EXHAUSTED)");
    expect(some.stderr).toContain("next: toolruntime batch");
    expect([all.code, some.code, linesOf(some.stdout).length]).toEqual([1, 1, 10]);
  });

  test("a broken line ends it after the answers of those before", async () => {
    const file = join(folder, "broken");
    await writeFile(file, '{"n":0}\n\n{"n":1}\nnot JSON\n{"n":2}\n');
    const { code, stdout, stderr } = await cli(["batch", guest("echo"), ...dev, "--inputs", file]);
    expect(indexesOf(linesOf(stdout))).toEqual([0, 1]);
    expect(stderr).toContain("ERR_INPUT_INVALID: Cannot read line 3 of");
    expect(code).toBe(125);
  });

  test("Ctrl-C lets end what runs, keeps what there is, and the rest is run later", async () => {
    const { tool, runs } = await countingTool("slow", "sleep 0.5");
    const args = ["batch", tool, ...unsafe, "--inputs", await inputFile("slow.ndjson", 9), "--concurrency", "3"];
    const child = startCli(args);
    const done = ended(child);
    await until(async () => (await runs()).length >= 3, 10_000, "three inputs run");
    child.kill("SIGINT");
    const first = await done;
    const answered = linesOf(first.stdout);
    expect([first.code, answered.every(({ status }) => status === "result")]).toEqual([130, true]);
    expect(answered.length).toBe((await runs()).length);
    expect(answered.length).toBeLessThan(9);
    expect(first.stderr).toContain("--resume <the file that stdout went to>");
    const answers = join(folder, "answers.ndjson");
    await writeFile(answers, `${first.stdout}{"index":8,"sta`);
    const second = await cli([...args, "--resume", answers]);
    expect([second.code, second.signal]).toEqual([0, null]);
    expect(indexesOf([...answered, ...linesOf(second.stdout)])).toEqual(upTo(9));
    expect((await runs()).toSorted()).toEqual(upTo(9).map((n) => `{"n":${n}}`));
  });

  test("what cannot be used is said before anything runs", async () => {
    const inputs = await inputFile("usage", 1);
    const wrong = [
      ["batch", guest("echo")],
      ["batch", guest("echo"), "--inputs", join(folder, "none")],
      ["batch", guest("echo"), "--inputs", inputs, "--concurrency", "0"],
      ["batch", guest("echo"), "--inputs", inputs, "--timeout", "soon"],
      ["batch", guest("echo"), "--inputs", inputs, "--token-file", "x"],
      ["batch", "echo", "--inputs", inputs, "--url", "http://127.0.0.1:1", "--backend", "wasm"],
      ["batch", guest("echo"), "--inputs", inputs, "--resume", join(root, "package.json")],
    ];
    for (const args of wrong) expect([args, (await cli(args)).code]).toEqual([args, 2]);
  }, 30_000);

  test.skipIf(!hasTerminal)("a terminal has a bar on stderr, and a file none of it", async () => {
    const tool = await makeScript(folder, "nap", "sleep 0.3");
    const out = join(folder, "bar.ndjson");
    const words = [
      process.execPath,
      join(root, "src/cli/main.ts"),
      "batch",
      tool,
      ...unsafe,
      "--inputs",
      await inputFile("bar", 6),
      "--concurrency",
      "2",
    ];
    const command = `${words.map((word) => `'${word}'`).join(" ")} > '${out}'`;
    const { code, stdout } = await ended(start(["/usr/bin/script", "-qec", command, "/dev/null"]));
    expect(stdout).toMatch(/[█░]{30} [2-5]\/6 \(\d+ %\)/);
    expect(stdout).toContain("6 inputs answered");
    expect(indexesOf(linesOf(await readFile(out, "utf8")))).toEqual(upTo(6));
    expect(code).toBe(0);
  });
});

describe("on a service", () => {
  test("Ctrl-C keeps what there is; the key goes on with the rest, and nothing runs twice", async () => {
    const { runs } = await countingTool("remote", "");
    const token = join(folder, "token");
    await writeFile(token, "batch-0123456789abcdef\n");
    const script = `input=$(cat); echo "$input" >> ${join(folder, "remote.log")}; sleep 0.4; echo "$input"`;
    const { url } = await openService({ tokens: [{ token: "batch-0123456789abcdef", principal: "cli", tenant: "red" }] }, { slow: script });
    const args = [
      "batch",
      "slow",
      "--url",
      url,
      "--token-file",
      token,
      "--inputs",
      await inputFile("remote.ndjson", 10),
      "--concurrency",
      "2",
    ];
    const child = startCli(args);
    const done = ended(child);
    await until(async () => (await runs()).length >= 4, 10_000, "four inputs run");
    child.kill("SIGINT");
    const first = await done;
    expect(first.code).toBe(130);
    const key = /--resume ([0-9a-f-]{36})/.exec(first.stderr)?.[1] ?? "";
    expect(linesOf(first.stdout).length).toBeLessThan(10);
    const second = await cli([...args, "--resume", key]);
    const lines = linesOf(second.stdout);
    expect([second.code, indexesOf(lines)]).toEqual([0, upTo(10)]);
    expect(lines.filter(({ kept }) => kept === true).length).toBeGreaterThanOrEqual(linesOf(first.stdout).length);
    expect((await runs()).toSorted()).toEqual(upTo(10).map((n) => `{"n":${n}}`));
  }, 30_000);

  test("a service that is not there is said with its code", async () => {
    const { code, stderr } = await cli([
      "batch",
      "echo",
      "--url",
      "http://127.0.0.1:9",
      "--inputs",
      await inputFile("nobody", 1),
      "--failures",
      "1",
    ]);
    expect(stderr).toContain("ERR_CONNECTION_FAILED");
    expect(code).toBe(125);
  }, 60_000);
});
