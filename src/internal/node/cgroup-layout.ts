import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

export type Controller = "memory" | "pids" | "cpu";

/** One hierarchy in which cgroups can be made here. */
export interface Hierarchy {
  readonly version: 1 | 2;
  /** The folder under which cgroups are made. */
  readonly parent: string;
  readonly controllers: readonly Controller[];
  /** Whether `cgroup.kill` ends every process of a cgroup at once. */
  readonly hasKill: boolean;
  /** Whether the processor time of a cgroup can be read. */
  readonly hasCpuTime: boolean;
}

/** Where the cgroups of a run are made: each controller in one hierarchy, and one that can end the whole tree. */
export type CgroupLayout = readonly Hierarchy[];

interface Mount {
  readonly version: 1 | 2;
  readonly point: string;
  /** The part of the hierarchy that is mounted; a container often sees only its own. */
  readonly root: string;
  readonly controllers: readonly string[];
}

const controlFiles = {
  1: { memory: "memory.limit_in_bytes", pids: "pids.max", cpu: "cpu.cfs_quota_us" },
  2: { memory: "memory.max", pids: "pids.max", cpu: "cpu.max" },
} as const satisfies Record<1 | 2, Record<Controller, string>>;
const controllerNames: readonly Controller[] = ["memory", "pids", "cpu"];

/** The fields of proc_pid_mountinfo(5): id, parent, device, root, mount point, options, …, "-", type, source, options. */
export function parseCgroupMounts(mountinfo: string): Mount[] {
  return mountinfo.split("\n").flatMap((line) => {
    const fields = line.split(" ");
    const separator = fields.indexOf("-");
    const [, , , root, point] = fields;
    const type = fields[separator + 1];
    if (separator === -1 || root === undefined || point === undefined) return [];
    if (type !== "cgroup" && type !== "cgroup2") return [];
    const mount: Mount = { version: type === "cgroup" ? 1 : 2, point, root, controllers: (fields[separator + 3] ?? "").split(",") };
    return mount;
  });
}

/** The cgroup of this process in a mounted hierarchy, from `/proc/self/cgroup` (cgroups(7)). */
export function ownCgroup(mount: Mount, selfCgroup: string): string | undefined {
  for (const line of selfCgroup.split("\n")) {
    const [, names = "", ...rest] = line.split(":");
    const path = rest.join(":");
    const isThis = mount.version === 2 ? names === "" && path !== "" : names.split(",").some((name) => mount.controllers.includes(name));
    if (!isThis) continue;
    const isInside = mount.root !== "/" && (path === mount.root || path.startsWith(`${mount.root}/`));
    return join(mount.point, isInside ? path.slice(mount.root.length) : path);
  }
  return undefined;
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** A version 2 cgroup hands controllers to its children only where it holds no process itself, or is the root. */
function handDown(parent: string): void {
  for (const controller of controllerNames) {
    try {
      writeFileSync(join(parent, "cgroup.subtree_control"), `+${controller}`);
    } catch {
      // What it could not hand down is missing in the trial cgroup.
    }
  }
}

/** Makes a cgroup for a moment and looks at what it has. */
function tryParent(version: 1 | 2, parent: string, trialName: string): Hierarchy | undefined {
  const trial = join(parent, trialName);
  try {
    if (version === 2) handDown(parent);
    mkdirSync(trial);
  } catch {
    return undefined;
  }
  try {
    if (!isWritable(join(trial, "cgroup.procs"))) return undefined;
    return {
      version,
      parent,
      controllers: controllerNames.filter((controller) => isWritable(join(trial, controlFiles[version][controller]))),
      hasKill: isWritable(join(trial, "cgroup.kill")),
      hasCpuTime: existsSync(join(trial, version === 2 ? "cpu.stat" : "cpuacct.usage")),
    };
  } finally {
    rmdirSync(trial);
  }
}

/**
 * A run's cgroup is made below the service's own, so that the service's limits hold for it too; in version 2 beside it
 * where the own one holds processes and may therefore hand nothing down, as below a user's or a delegated service's slice.
 */
function tryMount(mount: Mount, own: string, trialName: string): Hierarchy | undefined {
  const below = tryParent(mount.version, own, trialName);
  if (mount.version === 1 || below?.controllers.includes("pids") === true || own === mount.point) return below;
  const beside = tryParent(2, dirname(own), trialName);
  return beside !== undefined && beside.controllers.length > 0 ? beside : below;
}

/** Takes the hierarchies that add a controller, processor time or a way to end the tree to those already taken. */
function choose(found: readonly Hierarchy[]): CgroupLayout {
  const chosen: Hierarchy[] = [];
  for (const one of found) {
    const controllers = one.controllers.filter((name) => !chosen.some((other) => other.controllers.includes(name)));
    const addsKill = one.hasKill && !chosen.some(({ hasKill }) => hasKill);
    const addsCpuTime = one.hasCpuTime && !chosen.some(({ hasCpuTime }) => hasCpuTime);
    if (controllers.length > 0 || addsKill || addsCpuTime) chosen.push({ ...one, controllers });
  }
  return chosen;
}

export interface CgroupPlace {
  /** Below the service's own cgroup, whose limits then hold too; or at the top of each hierarchy. Default `"own"`. */
  readonly at?: "own" | "top";
}

/**
 * Finds where cgroups can be made that can end a whole tree of processes: by `cgroup.kill`, or by a process limit of zero
 * while its members are killed one by one. `undefined` where there is neither.
 */
export function findCgroups(trialName: string, { at = "own" }: CgroupPlace = {}): CgroupLayout | undefined {
  let mounts: Mount[];
  let selfCgroup: string;
  try {
    mounts = parseCgroupMounts(readFileSync("/proc/self/mountinfo", "utf8"));
    selfCgroup = readFileSync("/proc/self/cgroup", "utf8");
  } catch {
    return undefined;
  }
  const found = mounts.flatMap((mount) => {
    const own = at === "top" ? mount.point : ownCgroup(mount, selfCgroup);
    return own === undefined ? [] : (tryMount(mount, own, trialName) ?? []);
  });
  // Version 2 first: what it has it has for the whole tree at once.
  const layout = choose(found.sort((a, b) => b.version - a.version));
  return layout.some(({ hasKill, controllers }) => hasKill || controllers.includes("pids")) ? layout : undefined;
}
