import { execFile } from "node:child_process";
import { access, mkdir } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** A program or file that Debian 12 ships, and the package that brings it. */
export interface Requirement {
  readonly path: string;
  readonly package: string;
}

export class MissingToolchain extends Error {
  readonly packages: readonly string[];

  constructor(packages: readonly string[]) {
    super(`the Debian packages ${packages.join(", ")} are missing: apt-get install ${packages.join(" ")}`);
    this.packages = packages;
  }
}

/** @throws MissingToolchain that names every package at once. */
export async function require(requirements: readonly Requirement[]): Promise<void> {
  const missing = new Set<string>();
  for (const requirement of requirements) {
    await access(requirement.path).catch(() => missing.add(requirement.package));
  }
  if (missing.size > 0) throw new MissingToolchain([...missing]);
}

export async function debianVersions(packages: readonly string[]): Promise<Record<string, string>> {
  const { stdout } = await execute("dpkg-query", ["--show", "--showformat=${Package} ${Version}\n", ...packages]);
  const versions = stdout
    .trim()
    .split("\n")
    .map((line) => line.split(" "));
  return Object.fromEntries(versions.map(([name = "", version = ""]) => [name, version]));
}

export interface RunOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a program; its complaint becomes the error. */
export async function run(program: string, args: readonly string[], options: RunOptions): Promise<string> {
  try {
    const env = { ...process.env, ...options.env };
    const { stdout } = await execute(program, [...args], { cwd: options.cwd, env, maxBuffer: 64 * 2 ** 20 });
    return stdout;
  } catch (error) {
    const complaint = error instanceof Error && "stderr" in error ? String(error.stderr).trim() : String(error);
    throw new Error(`Cannot run "${program} ${args.slice(0, 2).join(" ")}":\n${complaint}`, { cause: error });
  }
}

/** Environment in which the repository's own programs (esbuild, asc) are found. */
export function withBin(folder: string): Record<string, string> {
  return { PATH: [join(folder, "node_modules", ".bin"), process.env["PATH"] ?? ""].join(delimiter) };
}

/** A folder for what a build leaves behind, outside the repository. */
export async function scratch(...names: readonly string[]): Promise<string> {
  const folder = join(tmpdir(), `toolruntime-tools-${userInfo().uid}`, ...names);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return folder;
}
