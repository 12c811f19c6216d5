import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cli, cliOnTerminal, hasTerminal, root } from "./support.ts";

const escape = "\u001b";

test("--version prints the package's version", async () => {
  const { version }: { version: string } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  expect(await cli(["--version"])).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: "" });
});

describe("--help", () => {
  test.each([
    "",
    "run",
    "serve",
    "tools",
    "tools list",
    "tools describe",
    "tools add",
    "build",
    "deploy",
    "deploy cloudflare",
    "doctor",
    "gc",
  ])("of toolruntime %s", async (command) => {
    const path = command.split(" ").filter((word) => word !== "");
    const { code, stdout, stderr } = await cli([...path, "--help"]);
    expect(code).toBe(0);
    expect(stderr).toBe("");
    expect(stdout).toContain(`USAGE ${["toolruntime", ...path].join(" ")}`);
    expect(stdout).toContain("Examples:");
  });

  test.skipIf(!hasTerminal)("has colours on a terminal only, and none there with NO_COLOR", async () => {
    const [piped, plain, coloured] = await Promise.all([
      cli(["run", "--help"]),
      cliOnTerminal(["run", "--help"], { env: { NO_COLOR: "1", TERM: "xterm" } }),
      cliOnTerminal(["run", "--help"], { env: { TERM: "xterm" } }),
    ]);
    expect(piped.stdout).not.toContain(escape);
    expect(plain.stdout).toContain("USAGE");
    expect(plain.stdout).not.toContain(escape);
    expect(coloured.stdout).toContain(`${escape}[`);
  });
});

test.each([
  [["rnu"], 'Unknown command "rnu"; did you mean "run"?'],
  [["bogus-command"], "toolruntime has run, serve, node, keys, batch, tools, build, deploy, doctor, gc"],
  [["tools", "lst"], 'did you mean "list"?'],
  [["--verison"], 'Unknown option "--verison"'],
  [["run", "x", "--securty", "dev"], 'did you mean "--security"?'],
  [["run", "x", "-q"], 'Unknown option "-q"'],
  [["run"], "TOOL"],
  [["run", "x", "y"], 'Unexpected argument "y"'],
  [["run", "x", "--security", "lax"], "dev"],
  [["run", "x", "--input"], "needs a value"],
  [["run", "x", "--input", "--json"], "needs a value"],
  [["run", "x", "--json=yes"], "takes no value"],
  [["run", "x", "--timeout", "soon"], '"soon"'],
  [["run", "x", "--memory", "-1"], "--memory=-1"],
  [["run", "x", "--backend", "docer"], '"docker"'],
  [["run", "x", "--backend", "zzz"], "wasm, unsafe, docker, containerd, gvisor"],
])("%j is wrong usage", async (args, says) => {
  const { code, stdout, stderr } = await cli(args);
  expect(stderr).toContain(says);
  expect(stderr).not.toContain("    at ");
  expect(stdout).toBe("");
  expect(code).toBe(2);
});

test("a command without its sub-command shows its help and fails", async () => {
  expect(await cli([])).toMatchObject({ code: 2, stdout: expect.stringContaining("USAGE toolruntime") });
});
