import { existsSync } from "node:fs";
import { createServer } from "node:http";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { makeTool, manifestOf, scratchFolder, until } from "../registry/support.ts";
import { cli, ended, guest, makeScript, root, seen, start, startCli, unsafe, type Ended } from "./support.ts";

interface Served extends AsyncDisposable {
  readonly url: string;
  readonly end: Promise<Ended>;
  stop(signal: NodeJS.Signals): void;
}

/** Starts `toolruntime serve` on a free port and waits until it listens. */
async function served(args: readonly string[], cwd = root): Promise<Served> {
  const child = startCli(["serve", "--port", "0", ...args], { cwd });
  const end = ended(child);
  const line = await seen(child.stdout, "\n");
  const url = /http:\S+/.exec(line)?.[0] ?? "";
  return {
    url,
    end,
    stop: (signal) => child.kill(signal),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await end;
    },
  };
}

function call(url: string, body: object, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}/v1/executions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

async function toolsFolder(path: string): Promise<string> {
  const tools = join(path, "tools");
  await mkdir(tools);
  await copyFile(guest("echo"), join(await makeTool(tools, "echo"), "module.wasm"));
  return tools;
}

describe("serve", () => {
  test("runs tools of the folder over HTTP, says that anybody may call, and ends by SIGTERM with 0", async () => {
    await using scratch = await scratchFolder();
    await toolsFolder(scratch.path);
    await using service = await served(["--security", "dev"], scratch.path);
    const response = await call(service.url, { tool: "echo", input: { text: "hello" } });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ output: '{"text":"hello"}', exitCode: 0 });
    service.stop("SIGTERM");
    const { code, stderr } = await service.end;
    expect(stderr).toContain("No token");
    expect(stderr).not.toContain("does not enforce");
    expect(code).toBe(0);
  });

  test("takes an edited manifest while it runs, and keeps the good one when it breaks", async () => {
    await using scratch = await scratchFolder();
    const tools = await toolsFolder(scratch.path);
    await using service = await served(["--security", "dev", "--tools", tools]);
    const manifest = join(tools, "echo", "tool.json");
    await writeFile(manifest, JSON.stringify(manifestOf("echo", { version: "2.0.0" })));
    const version = async () => {
      const answer: { version: string } = JSON.parse(await (await fetch(`${service.url}/v1/tools/echo`)).text());
      return answer.version;
    };
    let latest = "";
    await until(() => {
      void version().then((found) => (latest = found));
      return latest === "2.0.0";
    });
    await writeFile(manifest, "{ broken");
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await version()).toBe("2.0.0");
    service.stop("SIGTERM");
    expect((await service.end).stderr).toContain("version 2.0.0 stays");
  });

  test("lets what runs end before it does", async () => {
    await using scratch = await scratchFolder();
    await makeScript(scratch.path, "slow", `touch '${scratch.path}/started'; sleep 1; echo done`);
    await using service = await served(["--tools", scratch.path, ...unsafe]);
    const answer = call(service.url, { tool: "slow" });
    await seenFile(join(scratch.path, "started"));
    service.stop("SIGINT");
    expect(await (await answer).json()).toMatchObject({ output: "done\n" });
    expect((await service.end).code).toBe(0);
  });

  test("ends at once on a second signal", async () => {
    await using scratch = await scratchFolder();
    await makeScript(scratch.path, "slow", `touch '${scratch.path}/started'; sleep 30`);
    await using service = await served(["--tools", scratch.path, ...unsafe]);
    const answer = call(service.url, { tool: "slow" }).catch(() => undefined);
    await seenFile(join(scratch.path, "started"));
    const startedAt = performance.now();
    service.stop("SIGINT");
    await new Promise((resolve) => setTimeout(resolve, 700));
    service.stop("SIGINT");
    expect((await service.end).code).toBe(130);
    expect(performance.now() - startedAt).toBeLessThan(5000);
    await answer;
  });

  test("takes one signal that comes twice at once, as from a wrapper, for one", async () => {
    await using scratch = await scratchFolder();
    await makeScript(scratch.path, "slow", `touch '${scratch.path}/started'; sleep 1; echo done`);
    await using service = await served(["--tools", scratch.path, ...unsafe]);
    const answer = call(service.url, { tool: "slow" });
    await seenFile(join(scratch.path, "started"));
    service.stop("SIGINT");
    await new Promise((resolve) => setTimeout(resolve, 50));
    service.stop("SIGINT");
    expect((await answer).status).toBe(200);
    expect((await service.end).code).toBe(0);
  });

  test("wants the token of the file", async () => {
    await using scratch = await scratchFolder();
    await toolsFolder(scratch.path);
    await writeFile(join(scratch.path, "token"), "0123456789abcdef0123456789abcdef\n");
    await using service = await served(["--security", "dev", "--token-file", "token"], scratch.path);
    const body = { tool: "echo" };
    expect((await call(service.url, body)).status).toBe(401);
    expect((await call(service.url, body, { authorization: "Bearer 0123456789abcdef0123456789abcdef" })).status).toBe(200);
    service.stop("SIGTERM");
    expect((await service.end).stderr).not.toContain("0123456789abcdef");
  });

  test("takes a configuration, and options win over it", async () => {
    await using scratch = await scratchFolder();
    await toolsFolder(scratch.path);
    await writeFile(join(scratch.path, "config.json"), JSON.stringify({ tools: "tools", security: "hardened", log: { level: "silent" } }));
    await using service = await served(["--config", join(scratch.path, "config.json"), "--security", "dev"]);
    expect((await call(service.url, { tool: "echo" })).status).toBe(200);
  });
});

async function seenFile(path: string): Promise<void> {
  for (let left = 500; left > 0; left--) {
    const isThere = await readFile(path).then(
      () => true,
      () => false,
    );
    if (isThere) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`${path} did not appear`);
}

/** A port that somebody else has. */
async function takenPort(): Promise<{ readonly port: number } & AsyncDisposable> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The lines for people; those of the log are JSON. */
function plainLines(stderr: string): string[] {
  return stderr.split("\n").filter((line) => line !== "" && !line.startsWith("{"));
}

describe("a start that fails", () => {
  test("for a taken port", async () => {
    await using scratch = await scratchFolder();
    await toolsFolder(scratch.path);
    await using taken = await takenPort();
    const { code, stderr, stdout } = await cli(["serve", "--port", String(taken.port), "--security", "dev"], { cwd: scratch.path });
    expect(plainLines(stderr)).toEqual([expect.stringMatching(new RegExp(`ERR_CONFIG_INVALID.*${taken.port} is taken.*--port`))]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  });

  test.each([
    ["a missing folder", ["--tools", "nowhere", "--security", "dev"], undefined, "does not exist"],
    ["a configuration that is not there", ["--config", "nowhere.json"], undefined, "nowhere.json"],
    ["a configuration that is no JSON", ["--config", "config.json"], "{", "not JSON"],
    ["an unknown key", ["--config", "config.json"], '{"prot":1}', 'did you mean "port"?'],
    ["no token in standard", ["--tools", "tools"], undefined, "token"],
    ["a token that is too short", ["--tools", "tools", "--token", "short"], undefined, "16 characters"],
    ["an open address without a token", ["--tools", "tools", "--security", "dev", "--host", "0.0.0.0"], undefined, "0.0.0.0"],
    ["unsafe outside of dev", ["--tools", "tools", "--token", "0123456789abcdef", "--allow-unsafe"], undefined, "unsafe"],
  ])("for %s", async (_what, args, config, says) => {
    await using scratch = await scratchFolder();
    await toolsFolder(scratch.path);
    if (config !== undefined) await writeFile(join(scratch.path, "config.json"), config);
    const { code, stderr, stdout } = await cli(["serve", "--port", "0", ...args], { cwd: scratch.path });
    expect(plainLines(stderr)).toEqual([expect.stringContaining(says)]);
    expect(stderr).toContain("ERR_CONFIG_INVALID");
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  });
});

describe("npm start", () => {
  const bootstrap = [process.execPath, join(root, "scripts", "bootstrap.mjs"), "start"];

  test("serves, shows a real call with its receipt, and ends by Ctrl-C", async () => {
    await using scratch = await scratchFolder();
    const tools = await toolsFolder(scratch.path);
    await writeFile(join(tools, "echo", "tool.json"), JSON.stringify(manifestOf("echo", { examples: [{ input: { text: "it's" } }] })));
    const child = start([...bootstrap, "--port", "0", "--tools", tools]);
    const end = ended(child);
    const shown = await seen(child.stdout, "Stop it with Ctrl-C");
    expect(shown).not.toContain("does not enforce");
    expect(shown).toMatch(/Answer +200/);
    expect(shown).toMatch(/memory +512 MiB +512 MiB +module/);
    child.kill("SIGINT");
    expect((await end).code).toBe(0);
  });

  test.skipIf(!existsSync("/usr/bin/curl"))("shows a line that calls it when it is pasted into a shell", async () => {
    await using scratch = await scratchFolder();
    const tools = await toolsFolder(scratch.path);
    await writeFile(join(tools, "echo", "tool.json"), JSON.stringify(manifestOf("echo", { examples: [{ input: { text: "it's" } }] })));
    const child = start([...bootstrap, "--port", "0", "--tools", tools]);
    const end = ended(child);
    const curl = /^ {2}(curl .*)$/m.exec(await seen(child.stdout, "Stop it with Ctrl-C"))?.[1] ?? "";
    const answer = await ended(start(["sh", "-c", `${curl} -sS`]));
    expect(JSON.parse(answer.stdout)).toMatchObject({ output: '{"text":"it\'s"}' });
    child.kill("SIGTERM");
    expect((await end).code).toBe(0);
  });

  test("fails in one line for a taken port and for a missing folder", async () => {
    await using taken = await takenPort();
    await using scratch = await scratchFolder();
    const tools = await toolsFolder(scratch.path);
    const [port, folder] = await Promise.all([
      ended(start([...bootstrap, "--port", String(taken.port), "--tools", tools])),
      ended(start([...bootstrap, "--port", "0", "--tools", join(scratch.path, "nowhere")])),
    ]);
    expect(port).toMatchObject({ code: 1, stdout: "", stderr: expect.stringMatching(/^toolruntime: .*is taken.*\n$/) });
    expect(folder).toMatchObject({ code: 1, stdout: "", stderr: expect.stringMatching(/^toolruntime: .*does not exist\n$/) });
  });

  test("has help", async () => {
    const { code, stdout } = await ended(start([...bootstrap, "--help"]));
    expect(stdout).toContain("npm start -- --port 9000");
    expect(code).toBe(0);
  });
});
