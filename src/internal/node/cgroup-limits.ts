import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Enforcement } from "../../backend.ts";
import type { Limit, LimitReading } from "../../limits.ts";
import type { CgroupLayout, Controller } from "./cgroup-layout.ts";
import type { Cgroup } from "./cgroup.ts";

/** The limits that a cgroup can hold. */
export const cgroupLimits = ["memory", "processes", "cpu", "cpuTime"] as const satisfies readonly Limit[];
export type CgroupLimit = (typeof cgroupLimits)[number];

const controllerOf = { memory: "memory", processes: "pids", cpu: "cpu", cpuTime: "cpuTime" } as const satisfies Record<
  CgroupLimit,
  Controller | "cpuTime"
>;

/** The kernel's default period; a quota below 1000 µs is refused (Documentation/scheduler/sched-bwc.rst). */
const cpuPeriodUs = 100_000;
const minCores = 0.01;
/** Below this not even the launcher runs. */
const minMemoryBytes = 2 * 2 ** 20;
/** How often processor time is looked at; a tool can be over its limit by this, times its running threads. */
export const cpuTimePollMs = 50;

/** What a layout can enforce. */
export function cgroupEnforcement(layout: CgroupLayout): { readonly [L in CgroupLimit]?: Enforcement } {
  const has = (controller: Controller): boolean => layout.some(({ controllers }) => controllers.includes(controller));
  return {
    ...(has("memory") ? { memory: { by: "cgroup", min: minMemoryBytes } } : {}),
    ...(has("pids") ? { processes: { by: "cgroup", min: 1 } } : {}),
    ...(has("cpu") ? { cpu: { by: "cgroup", min: minCores } } : {}),
    ...(layout.some(({ hasCpuTime }) => hasCpuTime) ? { cpuTime: { by: "cgroup" } } : {}),
  };
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1").trim();
  } catch {
    return undefined;
  }
}

/** `undefined` for what cannot be read and for `max`. */
function readNumber(path: string): number | undefined {
  const text = readText(path);
  return text !== undefined && /^-?\d+$/.test(text) ? Number(text) : undefined;
}

/** A value of a flat keyed file: one name and number per line. */
function readKey(path: string, key: string): number | undefined {
  for (const line of readText(path)?.split("\n") ?? []) {
    const [name, value] = line.split(" ");
    if (name === key && value !== undefined) return Number(value);
  }
  return undefined;
}

function tryWrite(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch {
    // Swap is not accounted on this kernel.
  }
}

function hitOf(count: number | undefined): "yes" | "no" | "unknown" {
  if (count === undefined) return "unknown";
  return count > 0 ? "yes" : "no";
}

function reading(
  limit: CgroupLimit,
  parts: { applied?: number | undefined; source: string; peak?: number | undefined },
  hits?: number,
): LimitReading {
  return {
    limit,
    ...(parts.applied === undefined ? {} : { applied: parts.applied, source: parts.source }),
    ...(parts.peak === undefined ? {} : { peak: parts.peak }),
    hit: hitOf(hits),
  };
}

/**
 * Sets one limit. `cpuTime` has no file: the backend reads what was used, see {@link cpuTimeUsedMs}.
 *
 * @throws the error of the file system where the kernel refuses the value.
 */
export function applyCgroupLimit(cgroup: Cgroup, limit: CgroupLimit, value: number): void {
  const found = cgroup.find(controllerOf[limit]);
  if (found === undefined) throw new Error(`no cgroup controller for ${limit}`);
  const { folder, version } = found;
  if (limit === "processes") writeFileSync(join(folder, "pids.max"), String(value));
  if (limit === "memory") applyMemory(folder, version, value);
  if (limit === "cpu") applyCpu(folder, version, value);
}

/** Swap counts: memory that is pushed out would else be had beyond the limit. */
function applyMemory(folder: string, version: 1 | 2, bytes: number): void {
  if (version === 2) {
    writeFileSync(join(folder, "memory.max"), String(bytes));
    tryWrite(join(folder, "memory.swap.max"), "0");
    return;
  }
  writeFileSync(join(folder, "memory.limit_in_bytes"), String(bytes));
  tryWrite(join(folder, "memory.memsw.limit_in_bytes"), String(bytes));
}

function applyCpu(folder: string, version: 1 | 2, cores: number): void {
  const quotaUs = Math.max(1000, Math.round(cores * cpuPeriodUs));
  if (version === 2) {
    writeFileSync(join(folder, "cpu.max"), `${quotaUs} ${cpuPeriodUs}`);
    return;
  }
  writeFileSync(join(folder, "cpu.cfs_period_us"), String(cpuPeriodUs));
  writeFileSync(join(folder, "cpu.cfs_quota_us"), String(quotaUs));
}

/** What the kernel says about a limit that was set. */
export function readCgroupLimit(cgroup: Cgroup, limit: Exclude<CgroupLimit, "cpuTime">): LimitReading {
  const found = cgroup.find(controllerOf[limit]);
  if (found === undefined) return { limit };
  const { folder, version } = found;
  if (limit === "memory") return version === 2 ? readMemory2(folder) : readMemory1(folder);
  if (limit === "cpu") return readCpu(folder, version);
  const source = join(folder, "pids.max");
  return reading(
    limit,
    { applied: readNumber(source), source, peak: readNumber(join(folder, "pids.peak")) },
    readKey(join(folder, "pids.events"), "max"),
  );
}

/** A kill counts by itself: not every kernel counts the failure before it. */
function oomKills(folder: string, version: 1 | 2): number | undefined {
  return readKey(join(folder, version === 2 ? "memory.events" : "memory.oom_control"), "oom_kill");
}

function sum(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined && b === undefined ? undefined : (a ?? 0) + (b ?? 0);
}

function readMemory1(folder: string): LimitReading {
  const source = join(folder, "memory.limit_in_bytes");
  const peak = readNumber(join(folder, "memory.max_usage_in_bytes"));
  return reading(
    "memory",
    { applied: readNumber(source), source, peak },
    sum(readNumber(join(folder, "memory.failcnt")), oomKills(folder, 1)),
  );
}

function readMemory2(folder: string): LimitReading {
  const source = join(folder, "memory.max");
  const peak = readNumber(join(folder, "memory.peak"));
  return reading(
    "memory",
    { applied: readNumber(source), source, peak },
    sum(readKey(join(folder, "memory.events"), "max"), oomKills(folder, 2)),
  );
}

function readCpu(folder: string, version: 1 | 2): LimitReading {
  const throttled = readKey(join(folder, "cpu.stat"), "nr_throttled");
  const source = join(folder, version === 2 ? "cpu.max" : "cpu.cfs_quota_us");
  const [quota, period] = (readText(source) ?? "").split(" ");
  const periodUs = version === 2 ? Number(period) : readNumber(join(folder, "cpu.cfs_period_us"));
  const cores = Number(quota) / (periodUs ?? Number.NaN);
  return reading("cpu", { applied: Number.isFinite(cores) && cores > 0 ? cores : undefined, source }, throttled);
}

/** The file with the most memory that the processes of the cgroup had together. */
export function memoryPeakFile(cgroup: Cgroup): string | undefined {
  const found = cgroup.find("memory");
  return found && join(found.folder, found.version === 2 ? "memory.peak" : "memory.max_usage_in_bytes");
}

/** How often its processes had to wait because their share of the processors was used up. */
export function cpuThrottled(cgroup: Cgroup): number | undefined {
  const found = cgroup.find("cpu");
  return found && readKey(join(found.folder, "cpu.stat"), "nr_throttled");
}

/** How many processes of the cgroup the kernel has killed for want of memory. */
export function memoryKills(cgroup: Cgroup): number {
  const found = cgroup.find("memory");
  return (found && oomKills(found.folder, found.version)) ?? 0;
}

/** The processor time that the cgroup has used, user and system together. */
export function cpuTimeUsedMs(cgroup: Cgroup): { readonly usedMs: number; readonly source: string } | undefined {
  const found = cgroup.find("cpuTime");
  if (found === undefined) return undefined;
  const source = join(found.folder, found.version === 2 ? "cpu.stat" : "cpuacct.usage");
  const usedMs = found.version === 2 ? (readKey(source, "usage_usec") ?? Number.NaN) / 1e3 : (readNumber(source) ?? Number.NaN) / 1e6;
  return Number.isFinite(usedMs) ? { usedMs, source } : undefined;
}
