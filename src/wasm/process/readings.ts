import { enforcedValue, type Plan } from "../../backend.ts";
import { formatLimit, type Limit, type LimitReading } from "../../limits.ts";
import type { ProcessUsage } from "./usage.ts";

/** What the kernel said when the limits of a child's cgroup were set. */
export interface ChildLimits {
  readonly memory?: LimitReading;
  readonly cpu?: LimitReading;
}

export interface ReadingParts {
  readonly plan: Plan;
  /** What the child's engine read back. */
  readonly told: readonly LimitReading[];
  /** Processor time of the run as the child counts it. */
  readonly toldCpuMs?: number;
  readonly limits: ChildLimits;
  /** What the process had used when the run began, and at its end. */
  readonly before: ProcessUsage;
  readonly after: ProcessUsage;
  /** Whether the service killed the process. */
  readonly isKilled: boolean;
}

/** The kernel counts the time of a process without a cgroup in steps of 10 ms, at the start and at the end. */
const cpuToleranceMs = 20;

/** Joins what the engine in the child read back with what the service itself has read of the process. */
export function joinReadings(parts: ReadingParts): LimitReading[] {
  const own = [readCpuTime(parts), readCpu(parts), readTimeout(parts)].filter((reading) => reading !== undefined);
  const owned = new Set<Limit>(["memory", ...own.map(({ limit }) => limit)]);
  return [...parts.told.filter(({ limit }) => !owned.has(limit)), readMemory(parts), ...own];
}

function toldOf({ told }: ReadingParts, limit: Limit): LimitReading | undefined {
  return told.find((reading) => reading.limit === limit);
}

/** The guest's memory is the engine's to bound. The process has a bound of its own around that where there is a cgroup. */
function readMemory(parts: ReadingParts): LimitReading {
  const { limits, after } = parts;
  const { applied, source } = limits.memory ?? {};
  if (applied === undefined) return { ...toldOf(parts, "memory"), limit: "memory" };
  const peak = after.peakBytes === undefined ? {} : { peak: after.peakBytes };
  if (after.memoryKills > 0) return { ...limits.memory, limit: "memory", enforcedBy: "cgroup", ...peak, hit: "yes" };
  const had = after.peakBytes === undefined ? "" : ` and had at most ${formatLimit("memory", after.peakBytes)}`;
  const note = `Its process may have ${formatLimit("memory", applied)} with all of the engine (${source})${had}`;
  return { ...toldOf(parts, "memory"), limit: "memory", note };
}

/** The processor time of the whole process during the run: compiling and copying for this run are part of it. */
function readCpuTime(parts: ReadingParts): LimitReading | undefined {
  const { plan, before, after, toldCpuMs } = parts;
  const told = toldOf(parts, "cpuTime");
  const limitMs = enforcedValue(plan, "cpuTime");
  if (limitMs === undefined) return undefined;
  if (before.cpu === undefined || after.cpu === undefined) return { limit: "cpuTime" };
  const counted = after.cpu.usedMs - before.cpu.usedMs;
  const isFiner = after.cpu.source.startsWith("/proc/") && toldCpuMs !== undefined && Math.abs(toldCpuMs - counted) <= cpuToleranceMs;
  const peak = isFiner ? toldCpuMs : counted;
  const source = isFiner ? `process.cpuUsage within ${cpuToleranceMs} ms of ${after.cpu.source}` : after.cpu.source;
  if (told?.hit === "yes" && !parts.isKilled)
    return { ...told, enforcedBy: "checkpoint", note: `The kernel counted ${formatLimit("cpuTime", peak)} for the process (${source})` };
  return { limit: "cpuTime", ...enforcer(parts, told), applied: limitMs, source, peak, hit: peak >= limitMs ? "yes" : "no" };
}

/** Where the engine in the child ended the guest there was nothing left for SIGKILL to enforce. */
function enforcer({ isKilled }: ReadingParts, told: LimitReading | undefined): Pick<LimitReading, "enforcedBy"> {
  if (isKilled) return { enforcedBy: "SIGKILL" };
  return told?.hit === "yes" ? { enforcedBy: "checkpoint" } : {};
}

function readCpu({ limits, before, after }: ReadingParts): LimitReading | undefined {
  if (limits.cpu === undefined) return undefined;
  const { hit: _, ...reading } = limits.cpu;
  if (before.throttled === undefined || after.throttled === undefined) return { ...reading, enforcedBy: "cgroup" };
  return { ...reading, enforcedBy: "cgroup", hit: after.throttled > before.throttled ? "yes" : "no" };
}

/** The runtime adds its own timer to this, which passes whatever the child does. */
function readTimeout(parts: ReadingParts): LimitReading | undefined {
  const told = toldOf(parts, "timeout");
  const by = enforcer(parts, told);
  return told === undefined && by.enforcedBy === undefined ? undefined : { ...told, limit: "timeout", ...by };
}
