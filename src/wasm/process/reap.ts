import { readdirSync, readFileSync } from "node:fs";
import type { ReapReport } from "../../backend.ts";
import { namesIn, openLeftover } from "../../internal/node/leftover-cgroup.ts";
import { isGone, parseOwner } from "../../internal/node/process-owner.ts";
import { killAll } from "../../internal/node/process-tree.ts";

/** Begins the names of the children: those of their cgroups, and the last word of their command lines. */
export const namePrefix = "toolruntime-wasm-";

const timeoutMs = 5000;

/** Whether a name is that of a child whose service is gone. */
function isLeftover(name: string): boolean {
  if (!name.startsWith(namePrefix)) return false;
  const owner = parseOwner(name.slice(namePrefix.length));
  return owner !== undefined && isGone(owner);
}

function lastArgument(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0").at(-2) ?? "";
  } catch {
    return "";
  }
}

function findLeftovers(): number[] {
  return readdirSync("/proc").flatMap((pid) => (/^\d+$/.test(pid) && isLeftover(lastArgument(pid)) ? Number(pid) : []));
}

/** Ends the children of services that are gone and removes their cgroups below `parents`. */
export async function reapChildren(parents: readonly string[]): Promise<ReapReport> {
  const removed = findLeftovers().map((pid) => `process ${pid}`);
  await killAll(findLeftovers, timeoutMs);
  for (const name of new Set(parents.flatMap(namesIn).filter(isLeftover))) {
    const cgroup = openLeftover(parents, name);
    await cgroup.kill(timeoutMs);
    if (await cgroup.remove(timeoutMs)) removed.push(`cgroup ${name}`);
  }
  return { removed };
}
