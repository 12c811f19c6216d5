import { existsSync, readFileSync } from "node:fs";
import { chmod, cp, mkdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { loadTool } from "../../src/internal/node/tool-folder.ts";
import { readProcessStat } from "../../src/internal/node/process-owner.ts";
import type { Tool } from "../../src/index.ts";
import { fromRoot } from "./node-process.ts";

/** One time that a tool has done what it does. */
export interface Effect {
  readonly n: number;
  /** Of the tool's process. */
  readonly pid: number;
  /** Its working folder, which is in the folder of the node that started it. */
  readonly folder: string;
}

/** The file that every tool of a fleet writes to when it has its effect: what really happened, whatever anybody answered. */
export class Effects {
  readonly file: string;

  constructor(file: string) {
    this.file = file;
  }

  all(): Effect[] {
    if (!existsSync(this.file)) return [];
    // A line that is being written has no end yet.
    const lines = readFileSync(this.file, "utf8").split("\n").slice(0, -1);
    return lines.map((line) => {
      const [n, pid, folder = ""] = line.split(" ");
      return { n: Number(n), pid: Number(pid), folder };
    });
  }

  of(n: number): Effect[] {
    return this.all().filter((effect) => effect.n === n);
  }

  /** How often each number was written. */
  counts(): Map<number, number> {
    const counts = new Map<number, number>();
    for (const { n } of this.all()) counts.set(n, (counts.get(n) ?? 0) + 1);
    return counts;
  }
}

/** One that has ended and that nobody has asked about is not running. */
export function isRunning(pid: number): boolean {
  const state = readProcessStat(pid)?.state;
  return state !== undefined && state !== "Z" && state !== "X";
}

/**
 * Takes `{"n":7,"ms":200}`: writes the number into the file that is its argument, by one write(2) with O_APPEND, waits for so
 * long, and answers `{"n":7}`.
 */
const append = `#!/bin/sh
read -r input
n=\${input#*'"n":'}; n=\${n%%[!0-9]*}
ms=\${input#*'"ms":'}; ms=\${ms%%[!0-9]*}
echo "$n $$ $PWD" >>"$1"
if [ "\${ms:-0}" -gt 0 ]; then sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"; fi
printf '{"n":%s}\\n' "$n"
`;

/** The same effect, then a line, then nothing for a minute. */
const slow = `#!/bin/sh
read -r input
n=\${input#*'"n":'}; n=\${n%%[!0-9]*}
echo "$n $$ $PWD" >>"$1"
echo begun
exec sleep 60
`;

/** The same effect; waits for a minute where it is the first one of its number, and answers at once where it is not. */
const stuck = `#!/bin/sh
read -r input
n=\${input#*'"n":'}; n=\${n%%[!0-9]*}
grep -q "^$n " "$1" 2>/dev/null && isAgain=1
echo "$n $$ $PWD" >>"$1"
[ -n "$isAgain" ] || sleep 60
printf '{"n":%s}\\n' "$n"
`;

/** The same with two processes more, of which one has left its session and its parent. */
const daemon = `#!/bin/sh
read -r input
n=\${input#*'"n":'}; n=\${n%%[!0-9]*}
(setsid sh -c 'echo "$1 $$ $2" >>"$3"; exec sleep 61' sh "$n" "$PWD" "$1" &)
sh -c 'echo "$1 $$ $2" >>"$3"; exec sleep 62' sh "$n" "$PWD" "$1" &
echo "$n $$ $PWD" >>"$1"
exec sleep 60
`;

const numbered = {
  type: "object",
  properties: { n: { type: "integer", minimum: 0 }, ms: { type: "integer", minimum: 0 } },
  required: ["n"],
};

interface Script {
  readonly name: string;
  readonly text: string;
  readonly isIdempotent?: boolean;
  readonly hasAnswer?: boolean;
}

const scripts: readonly Script[] = [
  { name: "append", text: append, hasAnswer: true },
  { name: "append-again", text: append, hasAnswer: true, isIdempotent: true },
  { name: "slow", text: slow },
  { name: "stuck-once", text: stuck, hasAnswer: true, isIdempotent: true },
  { name: "daemon", text: daemon },
];

/** Light tools that are in every tools folder of a fleet. */
const samples = ["hash", "text-stats"];

async function writeScript(
  folder: string,
  effects: string,
  { name, text, isIdempotent = false, hasAnswer = false }: Script,
): Promise<void> {
  const path = join(folder, name);
  await mkdir(path, { recursive: true });
  await writeFile(join(path, "run.sh"), text);
  await chmod(join(path, "run.sh"), 0o755);
  const manifest = {
    name,
    version: "1.0.0",
    description: "Writes a number into a file",
    inputSchema: numbered,
    ...(hasAnswer ? { outputSchema: numbered } : {}),
    annotations: { idempotentHint: isIdempotent },
    artifacts: { command: { argv: ["./run.sh", effects] } },
    resources: { timeout: "120s" },
  };
  await writeFile(join(path, "tool.json"), JSON.stringify(manifest));
}

export interface ToolsFolder {
  readonly folder: string;
  readonly effects: Effects;
  /** By name. */
  readonly tools: ReadonlyMap<string, Tool>;
}

/** Makes the folder of tools that all nodes of a fleet have. */
export async function writeTools(folder: string): Promise<ToolsFolder> {
  const effects = new Effects(join(folder, "..", `${basename(folder)}-effects`));
  for (const script of scripts) await writeScript(folder, effects.file, script);
  for (const name of samples) await cp(fromRoot(`examples/tools/${name}`), join(folder, name), { recursive: true });
  const names = [...scripts.map(({ name }) => name), ...samples];
  const tools = await Promise.all(names.map((name) => loadTool(join(folder, name))));
  return { folder, effects, tools: new Map(tools.map((tool) => [tool.manifest.name, tool])) };
}
