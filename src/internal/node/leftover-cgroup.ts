import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Hierarchy } from "./cgroup-layout.ts";
import { Cgroup } from "./cgroup.ts";

/** The names in a folder; none where it cannot be read. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
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
