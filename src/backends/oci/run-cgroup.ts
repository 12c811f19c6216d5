import { readFileSync } from "node:fs";
import { join } from "node:path";
import { findCgroups, parseCgroupMounts, type CgroupLayout } from "../../internal/node/cgroup-layout.ts";
import { applyCgroupLimit, cgroupEnforcement, readCgroupLimit, type CgroupLimit } from "../../internal/node/cgroup-limits.ts";
import { Cgroup } from "../../internal/node/cgroup.ts";
import { openLeftover } from "../../internal/node/leftover-cgroup.ts";
import type { LimitReading } from "../../limits.ts";
import type { SecurityProfile } from "../../profile.ts";
import { enforcedValue, type Capability, type Plan } from "../../backend.ts";

/** Limits that a run's own cgroup holds. */
const held = ["memory", "processes", "cpu"] as const satisfies readonly CgroupLimit[];
/** The engine's own init, which ends what the tool leaves behind, is a process of the run's cgroup too. */
const initProcesses = 1;
const minDiskBytes = 65_536;
/** What the runtime itself takes in the cgroup while it makes the container, measured with runc: 3.5 MiB, and 9 threads. */
const minMemoryBytes = 6 * 2 ** 20;
const minProcesses = 8;

/** What containers on this host are, and what holds them: the run's own cgroup, its scratch file system, and signals. */
export function imageCapability(layout: CgroupLayout, served: readonly SecurityProfile[]): Capability {
  const { memory, processes, ...held } = cgroupEnforcement(layout);
  const limits = {
    timeout: { by: "signal" },
    ...held,
    ...(memory === undefined ? {} : { memory: { ...memory, min: minMemoryBytes } }),
    ...(processes === undefined ? {} : { processes: { ...processes, min: minProcesses } }),
    disk: { by: "tmpfs", min: minDiskBytes },
  };
  return { artifact: "image", profiles: served, isolation: "container", limits, network: "none" };
}

/**
 * Where the parent cgroups of runs are made: at the top of each hierarchy, since an engine takes one path for all of them. Nothing
 * where this process may make none, or the engine is on another host.
 */
export function findRunCgroups(trialName: string): CgroupLayout | undefined {
  return findCgroups(trialName, { at: "top" });
}

/**
 * The tops of all hierarchies of this host. An engine makes the path that it is given in every one of them, and removes of it only what
 * is the container's.
 */
export function hierarchyTops(): string[] {
  try {
    return parseCgroupMounts(readFileSync("/proc/self/mountinfo", "utf8")).map(({ point }) => point);
  } catch {
    return [];
  }
}

/**
 * A parent cgroup of one run's own: the container's lies in it. So what it used can be read when the container is gone, and its
 * limits hold whatever the engine makes of its own settings.
 */
export class RunCgroup {
  readonly cgroup: Cgroup;
  readonly #layout: CgroupLayout;
  readonly #name: string;
  readonly #applied: readonly LimitReading[];
  readonly #plan: Plan;

  constructor(layout: CgroupLayout, name: string, plan: Plan) {
    this.cgroup = Cgroup.create(layout, name);
    this.#layout = layout;
    this.#name = name;
    this.#plan = plan;
    for (const limit of held) {
      const value = enforcedValue(plan, limit);
      if (value !== undefined) applyCgroupLimit(this.cgroup, limit, limit === "processes" ? value + initProcesses : value);
    }
    this.#applied = this.#read();
  }

  /** What an engine makes in it, as long as that is there. */
  below(name: string): Cgroup {
    return Cgroup.open(this.#layout, join(this.#name, name));
  }

  #read(): LimitReading[] {
    return held.flatMap((limit) => (enforcedValue(this.#plan, limit) === undefined ? [] : forTool(readCgroupLimit(this.cgroup, limit))));
  }

  /** Ends whatever is in it, and removes it from every hierarchy. */
  async remove(timeoutMs: number): Promise<void> {
    await this.cgroup.kill(timeoutMs);
    await openLeftover(hierarchyTops(), this.#name).remove(timeoutMs);
  }

  /** What the kernel says at the end; `applied` is what it said when the limits were set. */
  readings(): LimitReading[] {
    return this.#read().map((reading) => {
      const applied = this.#applied.find(({ limit }) => limit === reading.limit)?.applied;
      return applied === undefined ? reading : { ...reading, applied };
    });
  }
}

/**
 * Without the engine's own init, which is in the count of processes. Kernels before 6.11 count a refused fork in the cgroup that asked,
 * which was the container's; here it shows that all were taken.
 */
function forTool(reading: LimitReading): LimitReading {
  if (reading.limit !== "processes") return reading;
  const less = (count: number | undefined): number | undefined => (count === undefined ? undefined : count - initProcesses);
  const [applied, peak] = [less(reading.applied), less(reading.peak)];
  const isReached = applied !== undefined && peak !== undefined && peak >= applied;
  return {
    ...reading,
    ...(applied === undefined ? {} : { applied }),
    ...(peak === undefined ? {} : { peak }),
    ...(isReached ? { hit: "yes" as const } : {}),
  };
}
