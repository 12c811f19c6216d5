import { cpuThrottled, cpuTimeUsedMs, memoryKills, memoryPeakFile } from "../../internal/node/cgroup-limits.ts";
import type { Cgroup } from "../../internal/node/cgroup.ts";
import { readProcessStat } from "../../internal/node/process-owner.ts";
import { KeptFile } from "./kept-file.ts";

/** What a child has used since it was started. */
export interface ProcessUsage {
  readonly cpu?: { readonly usedMs: number; readonly source: string };
  /** The most memory that its cgroup had. */
  readonly peakBytes?: number;
  /** How often the kernel ended a process of its cgroup for want of memory. */
  readonly memoryKills: number;
  /** How often it had to wait for its share of the processors. */
  readonly throttled?: number;
}

/** Each figure is a file to be read. */
type UsageParts = { readonly [K in "cpu" | "memory" | "throttled" | "memoryKills"]: boolean };

const everything: UsageParts = { cpu: true, memory: true, throttled: true, memoryKills: true };
const pageBytes = 4096;

/** Reads what the kernel says of a child; the child's word is not asked. */
export class UsageReader {
  readonly #pid: number;
  readonly #cgroup: Cgroup | undefined;
  readonly #peak: KeptFile | undefined;
  readonly #statm: KeptFile;

  constructor(pid: number, cgroup: Cgroup | undefined) {
    this.#pid = pid;
    this.#cgroup = cgroup;
    this.#statm = new KeptFile(`/proc/${pid}/statm`);
    const peak = cgroup && memoryPeakFile(cgroup);
    this.#peak = peak === undefined ? undefined : new KeptFile(peak);
  }

  read(wants: UsageParts = everything): ProcessUsage {
    const cgroup = this.#cgroup;
    const cpu = wants.cpu ? this.readCpu() : undefined;
    const peakBytes = wants.memory ? Number.parseInt(this.#peak?.read() ?? "", 10) : Number.NaN;
    const throttled = wants.throttled && cgroup !== undefined ? cpuThrottled(cgroup) : undefined;
    return {
      memoryKills: wants.memoryKills && cgroup !== undefined ? memoryKills(cgroup) : 0,
      ...(cpu === undefined ? {} : { cpu }),
      ...(Number.isNaN(peakBytes) ? {} : { peakBytes }),
      ...(throttled === undefined ? {} : { throttled }),
    };
  }

  /** Processor time of the child; a cgroup counts in µs, the process alone in steps of 10 ms. */
  readCpu(): ProcessUsage["cpu"] {
    const counted = this.#cgroup && cpuTimeUsedMs(this.#cgroup);
    if (counted !== undefined) return counted;
    const stat = readProcessStat(this.#pid);
    return stat && { usedMs: stat.cpuMs, source: "/proc/<pid>/stat" };
  }

  /** Memory of the process that it does not share with files, in bytes; 0 where it cannot be read. */
  readResidentBytes(): number {
    const [, resident = "0", shared = "0"] = this.#statm.read()?.split(" ") ?? [];
    return (Number(resident) - Number(shared)) * pageBytes;
  }

  close(): void {
    this.#peak?.close();
    this.#statm.close();
  }
}
