import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineTool, type Tool } from "../../../tool.ts";
import type { AbuseOptions, Attacker } from "../bench.ts";

const about = { name: "attack", version: "1.0.0", description: "Attacks its sandbox", inputSchema: true };
const folder = fileURLToPath(new URL("./attacks/", import.meta.url));

/** Stands in the command line of every process that an attack starts. */
export const attackMark = `toolruntime-abuse-${process.pid}`;

/** The attack programs as scripts of this Node and of `/bin/sh`, for backends that take commands. */
export const commandAttacker: Attacker = (program, args, manifest) => {
  const interpreter = program.endsWith(".sh") ? "/bin/sh" : process.execPath;
  return define([interpreter, `./${program}`, attackMark, ...args], manifest);
};

export interface AttackImage {
  readonly reference: string;
  /** Where these are in the image. */
  readonly node: string;
  readonly shell: string;
}

/** The attack programs as text in the command line, for backends that take images: one image does for all. */
export function imageAttacker({ reference, node, shell }: AttackImage): Attacker {
  return async (program, args, manifest) => {
    const text = await inline(program);
    const isShell = program.endsWith(".sh");
    // Where a script would stand, so that the arguments are where they are otherwise.
    const interpreter = isShell ? [shell, "-c", text, program] : [node, "--input-type=module", "--eval", text, "--", program];
    const argv = [...interpreter, attackMark, ...args];
    return defineTool({ ...about, ...manifest, artifacts: { image: { reference, argv } } }, {});
  };
}

/** A program with those that it imports in it: there is no folder that they could be found in. */
async function inline(program: string): Promise<string> {
  let text = await readFile(join(folder, program), "utf8");
  for (const [statement, imported] of text.matchAll(/import "\.\/([\w-]+\.mjs)"/g)) {
    const url = `data:text/javascript,${encodeURIComponent(await inline(imported ?? ""))}`;
    text = text.replace(statement, `import ${JSON.stringify(url)}`);
  }
  return text;
}

export function commandVictim(): Promise<Tool> {
  return define(["/bin/cat"], {});
}

function define(argv: string[], manifest: Parameters<Attacker>[2]): Promise<Tool> {
  return defineTool({ ...about, ...manifest, artifacts: { command: { argv } } }, { folder });
}

export interface SnapshotParts {
  /** Where the backend keeps the folders of its runs. Only what comes up in it counts. */
  readonly scratch: string;
}

/**
 * Names what runs on this machine leave: processes with the mark in their command line, cgroups that bear this process's
 * id, files below the scratch folder, and this process's own sockets and pipes.
 */
export function linuxSnapshot({ scratch }: SnapshotParts): AbuseOptions["snapshot"] {
  return async () => {
    const found = await Promise.all([markedProcesses(), cgroups("/sys/fs/cgroup"), files(scratch), descriptors()]);
    return found.flat();
  };
}

async function list(path: string): Promise<string[]> {
  return readdir(path).catch(() => []);
}

async function markedProcesses(): Promise<string[]> {
  const pids = (await list("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "")));
  return lines.flatMap((line, at) => (line.includes(attackMark) ? [`process ${pids[at]}`] : []));
}

async function cgroups(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  const found: string[] = [];
  for (const entry of entries) {
    if (!entry.isDirectory()) continue;
    const below = join(path, entry.name);
    if (entry.name.startsWith(`toolruntime-${process.pid}-`)) found.push(`cgroup ${below}`);
    found.push(...(await cgroups(below)));
  }
  return found;
}

/** The names of pipes that lie ready for later runs are not of any run. */
async function files(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true, recursive: true }).catch(() => []);
  return entries.flatMap((entry) => (entry.isFIFO() ? [] : [`file ${join(entry.parentPath, entry.name)}`]));
}

async function descriptors(): Promise<string[]> {
  const fds = await list("/proc/self/fd");
  const targets = await Promise.all(fds.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")));
  return targets
    .filter((target) => /^(socket|pipe):/.test(target) || target.includes("(deleted)"))
    .map((target) => `descriptor of ${target}`);
}
