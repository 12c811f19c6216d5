import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { findInCgroup, namesIn, processStartedAt } from "../../internal/node/leftover-cgroup.ts";
import { folderMadeAt, type FoundLeftover } from "../../internal/node/leftover.ts";
import { goneOwner, type ProcessOwner } from "../../internal/node/process-owner.ts";
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

interface OwnedFolder {
  readonly folder: string;
  /** Names the backend of the owner's. */
  readonly name: string;
  readonly owner: ProcessOwner;
  readonly parents: readonly string[];
}

/** What a backend of a process that is gone had running. */
function findOwned({ folder, name, owner, parents }: OwnedFolder): FoundLeftover[] {
  const names = parents.flatMap(namesIn).filter((one) => one.startsWith(`${cgroupPrefix}${name}-`));
  const grouped = [...new Set(names)].flatMap((one) => findInCgroup({ parents, name: one, owner }));
  const end = (): Promise<boolean> => killAll(() => findMarked(folder), timeoutMs);
  const marked = findMarked(folder)
    .filter((pid) => !grouped.some((one) => one.kind === "process" && one.name === String(pid)))
    .map((pid): FoundLeftover => {
      const madeAtMs = processStartedAt({ pid, boot: owner.boot });
      return { kind: "process", name: String(pid), owner, madeAtMs, remove: end };
    });
  if (!existsSync(folder)) return [...grouped, ...marked];
  const remove = async (): Promise<boolean> => {
    await end();
    await removeFolder(folder);
    return true;
  };
  return [...grouped, ...marked, { kind: "folder", name: folder, owner, madeAtMs: folderMadeAt(folder), remove }];
}

/** The part of a cgroup's name that names the backend which made it: the owner and eight digits more. */
function ownerOfCgroup(name: string): string | undefined {
  return name.startsWith(cgroupPrefix) ? /^(?:[^-]+-){4}[0-9a-f]{8}/.exec(name.slice(cgroupPrefix.length))?.[0] : undefined;
}

/**
 * Looks for what killed processes left, in the scratch folder and among the cgroups below `parents`, which it adds to
 * those that each folder names: a service that is started again may stand in another cgroup. What belongs to a process
 * that still runs is not among it.
 */
export function findInScratch(scratch: string, parents: readonly string[]): FoundLeftover[] {
  const names = new Set([...namesIn(scratch), ...parents.flatMap(namesIn).flatMap((name) => ownerOfCgroup(name) ?? [])]);
  return [...names].flatMap((name) => {
    const owner = goneOwner(name);
    if (owner === undefined) return [];
    const folder = join(scratch, name);
    return findOwned({ folder, name, owner, parents: [...new Set([...parents, ...parentsOf(folder)])] });
  });
}
