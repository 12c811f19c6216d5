import { spawn } from "node:child_process";
import { once } from "node:events";
import { lstatSync, mkdirSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { InputFile } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";

/** The folders on disk of one run. */
export interface RunFolder {
  /** Everything of the run is below it. */
  readonly path: string;
  /** The tool's working folder. */
  readonly work: string;
  readonly out: string;
  readonly tmp: string;
  /** What the tool reads on stdin. */
  readonly stdin: string;
}

/**
 * Makes the folder that holds the folders of all runs. Threat: in a folder that everybody may write to, such as `/tmp`,
 * another user makes it first, or a link in its place, and reads or replaces the files of runs.
 *
 * @throws `ERR_CONFIG_INVALID`.
 */
export function openScratch(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const stat = lstatSync(path);
    if (stat.isDirectory() && stat.uid === process.getuid?.() && (stat.mode & 0o022) === 0) return;
  } catch (error) {
    throw new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot use the scratch folder "${path}": it cannot be made; name another one`, {
      cause: error,
    });
  }
  throw new ToolRuntimeError(
    "ERR_CONFIG_INVALID",
    `Cannot use the scratch folder "${path}": it must be a folder of this user that nobody else may write to; name another one`,
  );
}

/** Makes a run's folders, with the input files read-only in place. */
export async function createRunFolder(path: string, stdin: Uint8Array, files: readonly InputFile[]): Promise<RunFolder> {
  const work = join(path, "work");
  const folder: RunFolder = { path, work, out: join(work, "out"), tmp: join(work, "tmp"), stdin: join(path, "stdin") };
  await mkdir(path, { recursive: true, mode: 0o700 });
  await mkdir(work, { mode: 0o700 });
  await Promise.all([mkdir(folder.out), mkdir(folder.tmp), writeFile(folder.stdin, stdin, { mode: 0o400 })]);
  for (const file of files) {
    const target = join(work, file.path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, file.stream(), { mode: 0o444, flag: "wx" });
  }
  return folder;
}

/** Removes a folder with whatever a tool has made of it: paths longer than a call takes, folders without permissions. */
export async function removeFolder(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch {
    // The programs go down folder by folder, so that no path is too long for them.
    await runQuietly("chmod", ["-R", "u+rwx", "--", path]);
    await runQuietly("rm", ["-rf", "--", path]);
  }
}

async function runQuietly(program: string, args: readonly string[]): Promise<void> {
  const child = spawn(program, args, { stdio: "ignore", env: { PATH: "/usr/bin:/bin" } });
  await once(child, "close").catch(() => undefined);
}
