import type { FoundLeftover } from "../../internal/node/leftover.ts";
import { goneOwner } from "../../internal/node/process-owner.ts";
import { findLeftCgroups, findLeftFolders, ownerLabel } from "../oci/leftovers.ts";
import { containerdError, type Containerd } from "./client.ts";
import { removeObjects } from "./objects.ts";

export const namePrefix = "toolruntime-containerd-";

export interface LeftoverPlace {
  readonly containerd: Containerd;
  readonly snapshotter: string;
  readonly scratch: string;
}

interface Listed {
  readonly label: string;
  readonly madeAtMs: number | undefined;
}

/** Every container and lease of the namespace that bears an owner, by name; a run has both, or one where it was cut short. */
async function listRuns(containerd: Containerd): Promise<ReadonlyMap<string, Listed>> {
  const filters = [`labels."${ownerLabel}"`];
  const listed = Promise.all([containerd.call("listContainers", { filters }), containerd.call("listLeases", { filters })]);
  const [{ containers }, { leases }] = await listed.catch((error: unknown) => {
    throw containerdError("list containers", error);
  });
  return new Map(
    [...(containers ?? []), ...(leases ?? [])].map(({ id, labels, createdAt }) => {
      const madeAtMs = createdAt?.seconds === undefined ? undefined : Number(createdAt.seconds) * 1000;
      return [id ?? "", { label: labels?.[ownerLabel] ?? "", madeAtMs }];
    }),
  );
}

/**
 * The containers, each with its task, snapshot and lease, the scratch folders and the cgroups of services that are gone. What belongs to
 * one that runs is not among it.
 */
export async function findLeftovers({ containerd, snapshotter, scratch }: LeftoverPlace): Promise<FoundLeftover[]> {
  const found = [...(await listRuns(containerd))].flatMap(([id, { label, madeAtMs }]): FoundLeftover[] => {
    const owner = goneOwner(label);
    if (id === "" || owner === undefined) return [];
    const remove = async (): Promise<boolean> => {
      await removeObjects({ containerd, id, snapshotter });
      return true;
    };
    return [{ kind: "container", name: id, owner, madeAtMs, remove }];
  });
  return [...found, ...findLeftFolders(scratch), ...findLeftCgroups(namePrefix)];
}
