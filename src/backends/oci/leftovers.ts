import { existsSync } from "node:fs";
import { join } from "node:path";
import { findInCgroup, namesIn } from "../../internal/node/leftover-cgroup.ts";
import { folderMadeAt, type FoundLeftover } from "../../internal/node/leftover.ts";
import { goneOwner } from "../../internal/node/process-owner.ts";
import { hierarchyTops } from "./run-cgroup.ts";
import { removeScratch } from "./scratch.ts";

/** On everything that an engine keeps: whose it is. */
export const ownerLabel = "toolruntime.owner";

/** Whether the service that a name starts with is gone. */
export function isLeftover(owner: string): boolean {
  return goneOwner(owner) !== undefined;
}

/** The scratch folders of services that are gone. */
export function findLeftFolders(scratch: string): FoundLeftover[] {
  return namesIn(scratch).flatMap((name): FoundLeftover[] => {
    const owner = goneOwner(name);
    const folder = join(scratch, name);
    return owner === undefined
      ? []
      : [{ kind: "folder", name: folder, owner, madeAtMs: folderMadeAt(folder), remove: () => removeAll(folder) }];
  });
}

async function removeAll(folder: string): Promise<boolean> {
  for (const run of namesIn(folder)) await unlessGone(join(folder, run));
  await unlessGone(folder);
  return true;
}

/** Another process that cleans up may have been faster. */
async function unlessGone(path: string): Promise<void> {
  try {
    await removeScratch(path);
  } catch (error) {
    if (existsSync(path)) throw error;
  }
}

/** The cgroups of services that are gone, with the processes in them. */
export function findLeftCgroups(prefix: string): FoundLeftover[] {
  const parents = hierarchyTops();
  return [...new Set(parents.flatMap(namesIn))].flatMap((name) => {
    const owner = name.startsWith(prefix) ? goneOwner(name.slice(prefix.length)) : undefined;
    return owner === undefined ? [] : findInCgroup({ parents, name, owner });
  });
}
