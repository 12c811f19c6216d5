import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { ReapReport } from "../../backend.ts";
import type { CgroupLayout } from "../../internal/node/cgroup-layout.ts";
import { Cgroup } from "../../internal/node/cgroup.ts";
import { isGone, parseOwner } from "../../internal/node/process-owner.ts";
import { removeScratch } from "../oci/scratch.ts";
import { engineError, type Docker } from "./client.ts";
import { removeContainer } from "./run.ts";

export const ownerLabel = "toolruntime.owner";
export const namePrefix = "toolruntime-docker-";
const removeTimeoutMs = 5000;

function isLeftover(owner: string): boolean {
  const parsed = parseOwner(owner);
  return parsed !== undefined && isGone(parsed);
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

export interface Leftovers {
  readonly docker: Docker;
  readonly scratch: string;
  readonly layout: CgroupLayout | undefined;
}

/** Removes the containers, scratch folders and cgroups of services that are gone. What belongs to one that runs is not touched. */
export async function reapLeftovers({ docker, scratch, layout = [] }: Leftovers): Promise<ReapReport> {
  const removed: string[] = [];
  const peer = await docker.peer();
  const listed = await peer.listContainers({ all: true, filters: { label: [ownerLabel] } }).catch((error: unknown) => {
    throw engineError("list containers", error);
  });
  for (const { Id, Names, Labels } of listed) {
    if (!isLeftover(Labels[ownerLabel] ?? "")) continue;
    await removeContainer(peer.getContainer(Id));
    removed.push(`container ${Names[0]?.replace(/^\//, "") ?? Id}`);
  }
  for (const owner of namesIn(scratch).filter(isLeftover)) {
    for (const run of namesIn(join(scratch, owner))) await removeScratch(join(scratch, owner, run));
    await removeScratch(join(scratch, owner));
    removed.push(`folder ${join(scratch, owner)}`);
  }
  const names = new Set(layout.flatMap(({ parent }) => namesIn(parent)).filter((name) => name.startsWith(namePrefix)));
  for (const name of names) {
    if (!isLeftover(name.slice(namePrefix.length))) continue;
    const cgroup = Cgroup.open(layout, name);
    await cgroup.kill(removeTimeoutMs);
    if (await cgroup.remove(removeTimeoutMs)) removed.push(`cgroup ${name}`);
  }
  return { removed };
}
