import type { FoundLeftover } from "../../internal/node/leftover.ts";
import { findLeftCgroups, findLeftFolders } from "../oci/leftovers.ts";

export const namePrefix = "toolruntime-gvisor-";

export interface LeftoverPlaces {
  readonly scratch: string;
  /** Where images are unpacked. */
  readonly images: string;
}

/** The sandboxes of services that are gone, their cgroups, mounts and state files, and what they were unpacking. */
export function findLeftovers({ scratch, images }: LeftoverPlaces): FoundLeftover[] {
  // The cgroups first: with them ends whatever still runs.
  return [...findLeftCgroups(namePrefix), ...findLeftFolders(scratch), ...findLeftFolders(images)];
}
