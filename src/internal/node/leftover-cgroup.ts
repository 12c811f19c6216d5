import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Hierarchy } from "./cgroup-layout.ts";
import { Cgroup } from "./cgroup.ts";
import type { FoundLeftover } from "./leftover.ts";
import { readProcessStat, startedAtOf, type ProcessOwner } from "./process-owner.ts";

/** The names in a folder; none where it cannot be read. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** How long what is killed may take to end, and an empty cgroup to go. */
const timeoutMs = 5000;

/** When a process was started, in ms since 1970. */
export function processStartedAt({ pid, boot }: { readonly pid: number; readonly boot: string }): number | undefined {
  const startTicks = readProcessStat(pid)?.startTicks;
  return startTicks === undefined ? undefined : startedAtOf({ boot, startTicks });
}

export interface LeftCgroup {
  readonly parents: readonly string[];
  readonly name: string;
  readonly owner: ProcessOwner;
}

/** A cgroup of an owner that is gone, and the processes in it. When it was made, the kernel does not keep. */
export function findInCgroup({ parents, name, owner }: LeftCgroup): FoundLeftover[] {
  const cgroup = openLeftover(parents, name);
  const end = (): Promise<boolean> => cgroup.kill(timeoutMs);
  const processes = cgroup.pids().map((pid): FoundLeftover => {
    const madeAtMs = processStartedAt({ pid, boot: owner.boot });
    return { kind: "process", name: String(pid), owner, madeAtMs, remove: end };
  });
  return [...processes, { kind: "cgroup", name, owner, remove: async () => (await end()) && cgroup.remove(timeoutMs) }];
}

/** A cgroup of an owner that is gone, in every hierarchy where it still is. */
export function openLeftover(parents: readonly string[], name: string): Cgroup {
  const layout = parents
    .filter((parent) => existsSync(join(parent, name)))
    .map((parent): Hierarchy => {
      const has = (file: string): boolean => existsSync(join(parent, name, file));
      return { version: 1, parent, controllers: has("pids.max") ? ["pids"] : [], hasKill: has("cgroup.kill"), hasCpuTime: false };
    });
  return Cgroup.open(layout, name);
}
