import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { CgroupLayout, Controller, Hierarchy } from "./cgroup-layout.ts";
import { signalProcess } from "./signal-process.ts";

/** The cgroup of one run: a folder of one name in each hierarchy of the layout. */
export class Cgroup {
  readonly #layout: CgroupLayout;
  readonly #name: string;

  private constructor(layout: CgroupLayout, name: string) {
    this.#layout = layout;
    this.#name = name;
  }

  static create(layout: CgroupLayout, name: string): Cgroup {
    const cgroup = new Cgroup(layout, name);
    try {
      for (const folder of cgroup.folders) mkdirSync(folder);
    } catch (error) {
      for (const folder of cgroup.folders) removeTree(folder);
      throw error;
    }
    return cgroup;
  }

  /** One that an earlier process made. */
  static open(layout: CgroupLayout, name: string): Cgroup {
    return new Cgroup(layout, name);
  }

  get folders(): string[] {
    return this.#layout.map(({ parent }) => join(parent, this.#name));
  }

  /** A process that writes `0` to each of them is in the cgroup from then on, with all that it starts. */
  get membershipFiles(): string[] {
    return this.folders.map((folder) => join(folder, "cgroup.procs"));
  }

  /** Where a controller's files are. */
  find(controller: Controller | "cpuTime"): { readonly folder: string; readonly version: 1 | 2 } | undefined {
    const has = (one: Hierarchy): boolean => (controller === "cpuTime" ? one.hasCpuTime : one.controllers.includes(controller));
    const hierarchy = this.#layout.find(has);
    return hierarchy && { folder: join(hierarchy.parent, this.#name), version: hierarchy.version };
  }

  /** Every process in it and in the cgroups below it; one that left a hierarchy is still in the others. */
  pids(): number[] {
    const pids = new Set<number>();
    for (const folder of this.folders) collectPids(folder, pids);
    return [...pids];
  }

  /**
   * Ends every process and waits until none is left. Threat: a process that starts others faster than they can be killed;
   * `cgroup.kill` takes all at once, and a process limit of zero lets none be started meanwhile.
   *
   * @returns whether the cgroup is empty; a process that the kernel cannot end in time keeps it from being so.
   */
  async kill(timeoutMs: number): Promise<boolean> {
    const until = performance.now() + timeoutMs;
    for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, 50)) {
      const pids = this.pids();
      if (pids.length === 0) return true;
      this.#killOnce(pids);
      if (performance.now() > until) return false;
      await sleep(waitMs);
    }
  }

  #killOnce(pids: readonly number[]): void {
    const killable = this.#layout.find(({ hasKill }) => hasKill);
    const countable = this.#layout.find(({ controllers }) => controllers.includes("pids"));
    if (killable !== undefined) tryWrite(join(killable.parent, this.#name, "cgroup.kill"), "1");
    else if (countable !== undefined) tryWrite(join(countable.parent, this.#name, "pids.max"), "0");
    for (const pid of pids) signalProcess(pid, "SIGKILL");
  }

  /** Removes the folders of an empty cgroup, those that its processes made below it too. */
  async remove(timeoutMs: number): Promise<boolean> {
    const until = performance.now() + timeoutMs;
    for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, 50)) {
      const left = this.folders.filter((folder) => !removeTree(folder));
      if (left.length === 0) return true;
      if (performance.now() > until) return false;
      await sleep(waitMs);
    }
  }
}

function tryWrite(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch {
    // Gone, or taken away by a process inside; what is left over is found by the next look at the members.
  }
}

function subfolders(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? join(folder, entry.name) : []));
  } catch {
    return [];
  }
}

function collectPids(folder: string, pids: Set<number>): void {
  let text = "";
  try {
    text = readFileSync(join(folder, "cgroup.procs"), "latin1");
  } catch {
    return;
  }
  for (const line of text.split("\n")) if (line !== "" && line !== "0") pids.add(Number(line));
  for (const below of subfolders(folder)) collectPids(below, pids);
}

/** @returns whether it is gone. */
function removeTree(folder: string): boolean {
  for (const below of subfolders(folder)) removeTree(below);
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ENOENT";
  }
}
