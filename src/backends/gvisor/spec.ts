import { enforcedValue, type Plan } from "../../backend.ts";
import { runtimeSpec, type RuntimeSpec, type SpecParts } from "../oci/runtime-spec.ts";

export interface SandboxParts extends Omit<SpecParts, "plan"> {
  readonly plan: Pick<Plan, "profile" | "limits">;
  /** On the host: the image's files, which no run may change. */
  readonly rootfs: string;
}

/** The first process of a sandbox, which starts the tool's. */
export const initProcesses = 1;

/**
 * Threat: the limit of processes is one of a user; who becomes another one has it anew. In `dev` too nobody may, and no set-uid program
 * gives anything.
 */
const otherUsers = new Set(["CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETFCAP"]);

/** The sandbox of one run. The host's kernel is asked for nothing by the tool, so no list of calls is given. */
export function sandboxSpec({ rootfs, ...parts }: SandboxParts): Omit<RuntimeSpec, "linux"> & { readonly linux: object } {
  const { process, linux, mounts, ...rest } = runtimeSpec(parts);
  const processes = enforcedValue(parts.plan, "processes");
  const { seccomp: _, ...inside } = linux;
  return {
    ...rest,
    process: {
      ...process,
      noNewPrivileges: true,
      capabilities: mapCapabilities(process.capabilities),
      rlimits: [...process.rlimits, ...(processes === undefined ? [] : [limitOf("RLIMIT_NPROC", processes + initProcesses)])],
    },
    mounts: mounts.map(withDevices),
    root: { path: rootfs, readonly: rest.root.readonly },
    linux: inside,
  };
}

/**
 * gVisor takes a device of a read-only folder for read-only too, `/dev/null` as well. The folder is root's, and what is in it counts as the
 * sandbox's memory.
 */
function withDevices(mount: RuntimeSpec["mounts"][number]): RuntimeSpec["mounts"][number] {
  if (mount.destination !== "/dev") return mount;
  return { ...mount, options: mount.options.map((option) => (option === "ro" ? "rw" : option)) };
}

type Capabilities = RuntimeSpec["process"]["capabilities"];

function mapCapabilities({ bounding, effective, permitted }: Capabilities): Capabilities {
  const keep = (names: readonly string[]): string[] => names.filter((name) => !otherUsers.has(name));
  return { bounding: keep(bounding), effective: keep(effective), permitted: keep(permitted), inheritable: [], ambient: [] };
}

function limitOf(type: string, value: number): { readonly type: string; readonly soft: number; readonly hard: number } {
  return { type, soft: value, hard: value };
}
