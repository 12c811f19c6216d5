import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { ok, problem, type Finding } from "./finding.ts";

const name = ".dev.vars";

/** The file that holds secrets for this machine must not get into a repository. */
export function checkLocalSecrets(configFile: string): Finding[] {
  const folder = dirname(configFile);
  if (!existsSync(join(folder, name))) return [];
  // 0: ignored, 1: not, anything else: no repository, or no git.
  const { status } = spawnSync("git", ["check-ignore", "--quiet", name], { cwd: folder });
  if (status === 0) return [ok(name, "git ignores it")];
  if (status !== 1) return [];
  return [problem({ check: name, says: "git does not ignore it: its secrets would be committed", next: `echo ${name} >> .gitignore` })];
}
