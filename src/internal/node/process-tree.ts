import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Cgroup } from "./cgroup.ts";
import { readProcessStat } from "./process-owner.ts";
import { signalProcess } from "./signal-process.ts";

/** The processes of one run: the one that was started and all that come of it. */
export interface ProcessTree {
  isEmpty(): boolean;
  signal(signal: NodeJS.Signals): void;
  /** Ends every process by SIGKILL and waits; `false` where some are still there when the time is over. */
  kill(timeoutMs: number): Promise<boolean>;
}

/** A tree that the kernel keeps: whatever a process does by `fork` and `setsid`, it stays in the cgroup. */
export function cgroupTree(cgroup: Cgroup): ProcessTree {
  return {
    isEmpty: () => cgroup.pids().length === 0,
    signal: (signal) => {
      for (const pid of cgroup.pids()) signalProcess(pid, signal);
    },
    kill: (timeoutMs) => cgroup.kill(timeoutMs),
  };
}

/**
 * A tree by guess, for machines that let no cgroup be made: the process group and session of `leader`, and whatever
 * still works in `folder` or has it in its environment. A process that starts a session of its own, leaves the folder and
 * clears its environment is not found.
 */
export function groupTree(leader: number, folder: string): ProcessTree {
  const members = (): number[] => findMembers(leader, folder);
  return {
    isEmpty: () => members().length === 0,
    signal: (signal) => {
      const pids = members();
      signalProcess(-leader, signal);
      for (const pid of pids) signalProcess(pid, signal);
    },
    kill: (timeoutMs) => killAll(members, timeoutMs),
  };
}

/** Ends what `members` finds, again and again until it finds nothing. */
export async function killAll(members: () => readonly number[], timeoutMs: number): Promise<boolean> {
  const until = performance.now() + timeoutMs;
  for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, 50)) {
    const pids = members();
    if (pids.length === 0) return true;
    for (const pid of pids) signalProcess(pid, "SIGKILL");
    if (performance.now() > until) return false;
    await sleep(waitMs);
  }
}

function findMembers(leader: number, folder: string): number[] {
  return allPids().filter((pid) => {
    const stat = readProcessStat(pid);
    if (stat === undefined || stat.state === "Z" || stat.state === "X") return false;
    return stat.group === leader || stat.session === leader || isMarkedBy(pid, folder);
  });
}

/** Every process that works below the folder or has it in its environment, this one apart. */
export function findMarked(folder: string): number[] {
  return allPids().filter((pid) => isMarkedBy(pid, folder));
}

function allPids(): number[] {
  return readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) && Number(name) !== process.pid ? Number(name) : []));
}

function isMarkedBy(pid: number, folder: string): boolean {
  try {
    const cwd = readlinkSync(`/proc/${pid}/cwd`);
    if (cwd === folder || cwd.startsWith(`${folder}/`)) return true;
    return readFileSync(`/proc/${pid}/environ`, "latin1").includes(`=${folder}/`);
  } catch {
    // Gone, a zombie, or another user's.
    return false;
  }
}
