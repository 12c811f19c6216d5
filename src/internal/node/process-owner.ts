import { readFileSync, readlinkSync } from "node:fs";

/**
 * Names one process so that nothing else is ever taken for it: a pid is used again, so its start time goes with it; both
 * mean something only within one boot and one PID namespace.
 */
export interface ProcessOwner {
  readonly pid: number;
  /** Clock ticks after boot, proc_pid_stat(5) field 22. */
  readonly startTicks: string;
  /** The inode of the PID namespace. */
  readonly namespace: string;
  /** The first eight digits of the boot id. */
  readonly boot: string;
}

interface ProcessStat {
  readonly state: string;
  readonly group: number;
  readonly session: number;
  readonly startTicks: string;
  /** Processor time of all its threads, user and system together, in steps of 10 ms. */
  readonly cpuMs: number;
}

/** What the kernel shows in clock ticks stands in hundredths of a second on every architecture that Node runs on (time(7)). */
const tickMs = 10;

/** Reads `/proc/<pid>/stat`; `undefined` where there is no such process. */
export function readProcessStat(pid: number | "self"): ProcessStat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return undefined;
  }
  // The command's name stands in parentheses and may hold spaces and parentheses itself.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const cpuMs = (Number(fields[11]) + Number(fields[12])) * tickMs;
  return { state: fields[0] ?? "", group: Number(fields[2]), session: Number(fields[3]), startTicks: fields[19] ?? "", cpuMs };
}

function currentNamespace(): string {
  return /\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0] ?? "";
}

function currentBoot(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").slice(0, 8);
}

/** This process. */
export function currentOwner(): ProcessOwner {
  const startTicks = readProcessStat("self")?.startTicks ?? "";
  return { pid: process.pid, startTicks, namespace: currentNamespace(), boot: currentBoot() };
}

/** A name for files and cgroups: digits, letters and hyphens. */
export function formatOwner({ pid, startTicks, namespace, boot }: ProcessOwner): string {
  return `${pid}-${startTicks}-${namespace}-${boot}`;
}

/** Reads what {@link formatOwner} made, where `text` starts with one. */
export function parseOwner(text: string): ProcessOwner | undefined {
  const [, pid, startTicks, namespace, boot] = /^(\d+)-(\d+)-(\d+)-([0-9a-f]{8})(?:-|$)/.exec(text) ?? [];
  if (pid === undefined || startTicks === undefined || namespace === undefined || boot === undefined) return undefined;
  return { pid: Number(pid), startTicks, namespace, boot };
}

/** When an owner of this boot was started, in ms since 1970; nothing for one of another boot. */
export function startedAtOf({ boot, startTicks }: Pick<ProcessOwner, "boot" | "startTicks">): number | undefined {
  if (boot !== currentBoot()) return undefined;
  // The time of the boot, in seconds, from proc_stat(5).
  const bootAt = /^btime (\d+)$/m.exec(readFileSync("/proc/stat", "latin1"))?.[1];
  return bootAt === undefined ? undefined : Number(bootAt) * 1000 + Number(startTicks) * tickMs;
}

/** The owner that a text starts with, where it has surely ended. */
export function goneOwner(text: string): ProcessOwner | undefined {
  const owner = parseOwner(text);
  return owner !== undefined && isGone(owner) ? owner : undefined;
}

/** Whether the process has surely ended. One of another PID namespace cannot be judged from here and counts as alive. */
export function isGone(owner: ProcessOwner): boolean {
  if (owner.boot !== currentBoot()) return true;
  if (owner.namespace !== currentNamespace()) return false;
  const stat = readProcessStat(owner.pid);
  return stat === undefined || stat.startTicks !== owner.startTicks || stat.state === "Z" || stat.state === "X";
}
