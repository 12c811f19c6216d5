import type { ReapReport } from "../../backend.ts";
import { removeFound, type FoundLeftover } from "../../internal/node/leftover.ts";
import { findLeftCgroups, findLeftFolders } from "../oci/leftovers.ts";
import type { RootfsStore } from "./rootfs-store.ts";

export const namePrefix = "toolruntime-gvisor-";

/** The sandboxes of services that are gone, their cgroups, mounts and state files. */
export function findLeftovers({ scratch }: { readonly scratch: string }): FoundLeftover[] {
  // The cgroups first: with them ends whatever still runs.
  return [...findLeftCgroups(namePrefix), ...findLeftFolders(scratch)];
}

/** Ends and removes them, and removes what they were unpacking. */
export async function reapLeftovers({ scratch, store }: { readonly scratch: string; readonly store: RootfsStore }): Promise<ReapReport> {
  const { removed } = await removeFound(findLeftovers({ scratch }));
  return { removed: [...removed, ...(await store.sweep())] };
}
