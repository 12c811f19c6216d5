import type { Capability } from "../../backend.ts";
import type { CgroupLayout } from "../../internal/node/cgroup-layout.ts";
import type { SecurityProfile } from "../../profile.ts";
import { imageCapability } from "../oci/run-cgroup.ts";

/** What runsc, the sandbox's kernel and its file server take before the tool has anything, measured: 19 MB. */
const minMemoryBytes = 32 * 2 ** 20;

/** What a sandbox is, and what holds it. */
export function gvisorCapability(layout: CgroupLayout, profiles: readonly SecurityProfile[]): Capability {
  const container = imageCapability(layout, profiles);
  const { memory, processes: _, ...limits } = container.limits;
  return {
    ...container,
    isolation: "gvisor",
    limits: {
      ...limits,
      ...(memory === undefined ? {} : { memory: { ...memory, min: minMemoryBytes } }),
      processes: { by: "rlimit", min: 1 },
    },
  };
}
