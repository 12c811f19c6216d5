import type { FoundLeftover } from "../../internal/node/leftover.ts";
import { goneOwner } from "../../internal/node/process-owner.ts";
import { findLeftCgroups, findLeftFolders, ownerLabel } from "../oci/leftovers.ts";
import { engineError, type Docker } from "./client.ts";
import { removeContainer } from "./run.ts";

export const namePrefix = "toolruntime-docker-";

export interface LeftoverPlace {
  readonly docker: Docker;
  readonly scratch: string;
}

/** The containers, scratch folders and cgroups of services that are gone. What belongs to one that runs is not among it. */
export async function findLeftovers({ docker, scratch }: LeftoverPlace): Promise<FoundLeftover[]> {
  const peer = await docker.peer();
  const containers = await peer.listContainers({ all: true, filters: { label: [ownerLabel] } }).catch((error: unknown) => {
    throw engineError("list containers", error);
  });
  const found = containers.flatMap(({ Id, Names, Labels, Created }): FoundLeftover[] => {
    const owner = goneOwner(Labels[ownerLabel] ?? "");
    if (owner === undefined) return [];
    const remove = async (): Promise<boolean> => {
      await removeContainer(peer.getContainer(Id));
      return true;
    };
    return [{ kind: "container", name: Names[0]?.replace(/^\//, "") ?? Id, owner, madeAtMs: Created * 1000, remove }];
  });
  return [...found, ...findLeftFolders(scratch), ...findLeftCgroups(namePrefix)];
}
