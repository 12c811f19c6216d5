import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ReapReport } from "../../backend.ts";
import { namesIn, openLeftover } from "../../internal/node/leftover-cgroup.ts";
import { isGone, parseOwner } from "../../internal/node/process-owner.ts";
import { findMarked, killAll } from "../../internal/node/process-tree.ts";
import { removeFolder } from "../../internal/node/run-folder.ts";

export const cgroupPrefix = "toolruntime-";
/** In the folder of a backend: the cgroup folders under which it makes those of its runs, one a line. */
export const parentsFile = "cgroups";

const timeoutMs = 5000;

function parentsOf(folder: string): string[] {
  try {
    return readFileSync(join(folder, parentsFile), "utf8").split("\n");
  } catch {
    return [];
  }
}

/** Ends and removes what a backend of a process that is gone had running. */
async function reapOwner(folder: string, owner: string, parents: readonly string[]): Promise<string[]> {
  const removed: string[] = [];
  const names = parents.flatMap(namesIn).filter((name) => name.startsWith(`${cgroupPrefix}${owner}-`));
  for (const name of new Set(names)) {
    const cgroup = openLeftover(parents, name);
    removed.push(...cgroup.pids().map((pid) => `process ${pid}`));
    await cgroup.kill(timeoutMs);
    if (await cgroup.remove(timeoutMs)) removed.push(`cgroup ${name}`);
  }
  removed.push(...findMarked(folder).map((pid) => `process ${pid}`));
  await killAll(() => findMarked(folder), timeoutMs);
  if (!existsSync(folder)) return removed;
  await removeFolder(folder);
  return [...removed, `folder ${folder}`];
}

/** The part of a cgroup's name that names the backend which made it: the owner and eight digits more. */
function ownerOfCgroup(name: string): string | undefined {
  return name.startsWith(cgroupPrefix) ? /^(?:[^-]+-){4}[0-9a-f]{8}/.exec(name.slice(cgroupPrefix.length))?.[0] : undefined;
}

/**
 * Looks for what killed processes left, in the scratch folder and among the cgroups below `parents`, which it adds to
 * those that each folder names: a service that is started again may stand in another cgroup. What belongs to a process
 * that still runs is not touched.
 */
export async function reapScratch(scratch: string, parents: readonly string[]): Promise<ReapReport> {
  const owners = new Set([...namesIn(scratch), ...parents.flatMap(namesIn).flatMap((name) => ownerOfCgroup(name) ?? [])]);
  const removed: string[] = [];
  for (const name of owners) {
    const owner = parseOwner(name);
    if (owner === undefined || !isGone(owner)) continue;
    const folder = join(scratch, name);
    removed.push(...(await reapOwner(folder, name, [...new Set([...parents, ...parentsOf(folder)])])));
  }
  return { removed };
}
