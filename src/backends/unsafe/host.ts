import { findCgroups, type CgroupLayout } from "../../internal/node/cgroup-layout.ts";
import { applyCgroupLimit, readCgroupLimit } from "../../internal/node/cgroup-limits.ts";
import { Cgroup } from "../../internal/node/cgroup.ts";
import { findCloser, type FdCloser } from "../../internal/node/fd-closer.ts";
import { inheritedFds } from "../../internal/node/inherited-fds.ts";
import type { PipePool } from "../../internal/node/pipe-pool.ts";
import { createRunFolder, removeFolder } from "../../internal/node/run-folder.ts";
import { startProcess } from "./client.ts";
import { defaultPath, processSpec } from "./spec.ts";

/** What this machine can do for the backend. */
export interface Host {
  /** Absent where no cgroup can be made and run in. */
  readonly layout?: CgroupLayout;
  /** Set where the service has inherited descriptors that a tool must not see. */
  readonly closing?: FdCloser;
  /** What is missing here, for the probe. */
  readonly notes: readonly string[];
}

export interface HostParts {
  /** For the trial cgroup. */
  readonly name: string;
  /** For the trial's working folder. */
  readonly folder: string;
  readonly pipes: PipePool;
  readonly processTree: "auto" | "group";
}

/**
 * Starts a process in a trial cgroup that may hold only one, and has it try to start another: only a limit that is seen to
 * hold is declared.
 */
async function isEnforced(layout: CgroupLayout, parts: HostParts, closing: FdCloser | undefined): Promise<boolean> {
  const folder = await createRunFolder(parts.folder, new Uint8Array(0), []);
  const cgroup = Cgroup.create(layout, parts.name);
  try {
    const hasPids = layout.some(({ controllers }) => controllers.includes("pids"));
    if (hasPids) applyCgroupLimit(cgroup, "processes", 1);
    const command = { program: "/bin/sh", args: ["-c", "(:) 2>/dev/null"] };
    const { membershipFiles } = cgroup;
    const started = await startProcess(processSpec({ command, folder, env: {}, path: defaultPath, membershipFiles, closing }), parts.pipes);
    for (const stream of [started.stdout, started.stderr]) stream.destroy();
    await started.launched;
    await started.exited;
    return !hasPids || readCgroupLimit(cgroup, "processes").hit === "yes";
  } finally {
    await cgroup.kill(1000);
    await cgroup.remove(1000);
    await removeFolder(folder.path);
  }
}

/** Looks for cgroups that a run can be put in. Gives why there are none as text. */
async function tryCgroups(parts: HostParts, closing: FdCloser | undefined): Promise<CgroupLayout | string> {
  if (parts.processTree === "group") return 'the option "processTree" is "group"';
  const layout = findCgroups(parts.name);
  if (layout === undefined) return "no cgroup can be made below the service's own";
  try {
    return (await isEnforced(layout, parts, closing)) ? layout : "a trial cgroup did not hold its limit";
  } catch (error) {
    return `a process could not be put in a trial cgroup, ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Finds out, by trying, what this machine can do. */
export async function findHost(parts: HostParts): Promise<Host> {
  const fds = inheritedFds();
  const closing = fds.length === 0 ? undefined : await findCloser(fds);
  const isOpen = fds.length > 0 && closing === undefined;
  const layout = await tryCgroups(parts, closing);
  const notes = [
    ...(typeof layout === "string" ? [`No cgroup keeps the processes of a run together (${layout}): descendants may escape`] : []),
    ...(isOpen ? [`The service has inherited the descriptors ${fds.join(", ")}, no shell here can close them, and tools see them`] : []),
  ];
  return { notes, ...(closing === undefined ? {} : { closing }), ...(typeof layout === "string" ? {} : { layout }) };
}
