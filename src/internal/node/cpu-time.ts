import { cpuTimePollMs, cpuTimeUsedMs } from "./cgroup-limits.ts";
import type { Cgroup } from "./cgroup.ts";

export interface CpuTimeWatch {
  readonly cgroup: Cgroup | undefined;
  readonly limitMs: number | undefined;
  /** Ends what runs in the cgroup; called once. */
  readonly end: () => void;
}

/** Ends a run when its processor time is used up. No cgroup has a limit for that, so it is looked at again and again. */
export function watchCpuTime({ cgroup, limitMs, end }: CpuTimeWatch): { stop(): void } {
  if (limitMs === undefined || cgroup === undefined) return { stop: () => undefined };
  const timer = setInterval(() => {
    if ((cpuTimeUsedMs(cgroup)?.usedMs ?? 0) < limitMs) return;
    clearInterval(timer);
    end();
  }, cpuTimePollMs);
  return { stop: () => clearInterval(timer) };
}
