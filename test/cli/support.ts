import { spawn, type ChildProcessByStdio } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

export const root = fileURLToPath(new URL("../../", import.meta.url));
const entry = join(root, "src", "cli", "main.ts");

export function guest(name: string): string {
  return join(root, "test", "cli", "guests", `${name}.wasm`);
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stdoutBytes: Buffer;
  readonly stderr: string;
}

export interface StartOptions {
  readonly cwd?: string;
  /** All of stdin; `"open"` where the test writes to it. Default: nothing. */
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export type Child = ChildProcessByStdio<Writable, Readable, Readable>;

export function start(command: readonly string[], options: StartOptions = {}): Child {
  const [program = "", ...args] = command;
  const child = spawn(program, args, {
    cwd: options.cwd ?? root,
    env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "", ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  // A module that loops would outlive a test that failed.
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  // A program that ends without reading its stdin is no failure of the test.
  child.stdin.on("error", () => undefined);
  if (options.stdin !== "open") child.stdin.end(options.stdin ?? "");
  return child;
}

/** Collects what a process writes until it has ended. */
export function ended(child: Child): Promise<Ended> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      const stdoutBytes = Buffer.concat(stdout);
      resolve({ code, signal, stdout: stdoutBytes.toString(), stdoutBytes, stderr: Buffer.concat(stderr).toString() });
    });
  });
}

export function startCli(args: readonly string[], options?: StartOptions): Child {
  return start([process.execPath, entry, ...args], options);
}

/** Runs the command line as a user does, in a process of its own. */
export function cli(args: readonly string[], options?: StartOptions): Promise<Ended> {
  return ended(startCli(args, options));
}

/** Whether util-linux's `script` is here, which runs a program on a terminal. */
export const hasTerminal = process.platform === "linux" && existsSync("/usr/bin/script");
if (!hasTerminal) console.log("The command line is not tried on a terminal: there is no /usr/bin/script (util-linux)");

/** The same on a terminal. Both streams come together, lines end in CR LF; keys are written to stdin. */
export function startOnTerminal(args: readonly string[], options?: StartOptions): Child {
  const quoted = [process.execPath, entry, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
  return start(["/usr/bin/script", "-qec", quoted, "/dev/null"], options);
}

export function cliOnTerminal(args: readonly string[], options?: StartOptions): Promise<Ended> {
  return ended(startOnTerminal(args, options));
}

/** Waits until what a stream wrote has a text in it, and gives all of it. */
export function seen(stream: Readable, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let all = "";
    stream.on("data", (chunk: Buffer) => {
      all += chunk.toString();
      if (all.includes(text)) resolve(all);
    });
    stream.on("close", () => reject(new Error(`It ended before it wrote ${JSON.stringify(text)}: ${all}`)));
  });
}

/** Makes a tool that is a shell script, in `folder/name`. */
export async function makeScript(folder: string, name: string, script: string, manifest: object = {}): Promise<string> {
  const path = join(folder, name);
  await mkdir(path, { recursive: true });
  await writeFile(join(path, "run.sh"), `#!/bin/sh\n${script}\n`);
  await chmod(join(path, "run.sh"), 0o755);
  const base = { name, version: "1.0.0", description: "A script of a test", inputSchema: { type: "object" } };
  await writeFile(join(path, "tool.json"), JSON.stringify({ ...base, artifacts: { command: { argv: ["./run.sh"] } }, ...manifest }));
  return path;
}

export const dev = ["--security", "dev"];
export const unsafe = ["--allow-unsafe", ...dev];
