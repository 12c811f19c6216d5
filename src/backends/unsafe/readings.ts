import { enforcedValue, type Exit, type Plan, type RunReport } from "../../backend.ts";
import { cpuTimeUsedMs, memoryKills, readCgroupLimit } from "../../internal/node/cgroup-limits.ts";
import type { Cgroup } from "../../internal/node/cgroup.ts";
import type { LimitReading } from "../../limits.ts";
import { cgroupValues } from "./spec.ts";

interface Enforced {
  readonly plan: Plan;
  readonly cgroup: Cgroup | undefined;
}

/** What a receipt says where no cgroup keeps the processes of a run together. */
export const escapeNote = "No cgroup can be made here: a descendant that leaves the process group may escape and go on";

function readCpuTime(cgroup: Cgroup, limitMs: number): LimitReading {
  const used = cpuTimeUsedMs(cgroup);
  if (used === undefined) return { limit: "cpuTime" };
  // The kernel has no such limit on a cgroup: this process compares its counter with the plan.
  return { limit: "cpuTime", applied: limitMs, source: used.source, peak: used.usedMs, hit: used.usedMs >= limitMs ? "yes" : "no" };
}

/** Reads back every limit that the plan has the cgroup hold. */
export function readLimits({ plan, cgroup }: Enforced): LimitReading[] {
  if (cgroup === undefined) return (["timeout", "processes"] as const).map((limit) => ({ limit, note: escapeNote }));
  return cgroupValues(plan).map(({ limit, value }) => (limit === "cpuTime" ? readCpuTime(cgroup, value) : readCgroupLimit(cgroup, limit)));
}

/** The readings at the end of a run, before the cgroup is removed; `applied` is what was read as the limits were set up. */
export function readEnd(enforced: Enforced, setUp: readonly LimitReading[]): LimitReading[] {
  return readLimits(enforced).map((reading) => {
    const applied = setUp.find(({ limit }) => limit === reading.limit)?.applied;
    return applied === undefined ? reading : { ...reading, applied };
  });
}

/** The limit that ended the main process by itself, where one did: the tool's own SIGKILL looks the same from outside. */
export function limitHitOf({ plan, cgroup }: Enforced, exit: Exit): RunReport["limitHit"] {
  if (cgroup === undefined || exit.kind !== "signalled" || exit.signal !== "SIGKILL") return undefined;
  const cpuLimitMs = enforcedValue(plan, "cpuTime");
  const usedMs = cpuTimeUsedMs(cgroup)?.usedMs ?? 0;
  if (cpuLimitMs !== undefined && usedMs >= cpuLimitMs) return { limit: "cpuTime", observed: usedMs };
  if (enforcedValue(plan, "memory") === undefined || memoryKills(cgroup) === 0) return undefined;
  const { peak } = readCgroupLimit(cgroup, "memory");
  return { limit: "memory", ...(peak === undefined ? {} : { observed: peak }) };
}
