import { readdirSync, readFileSync } from "node:fs";
import { findInCgroup, namesIn, processStartedAt } from "../../internal/node/leftover-cgroup.ts";
import type { FoundLeftover } from "../../internal/node/leftover.ts";
import { goneOwner, type ProcessOwner } from "../../internal/node/process-owner.ts";
import { killAll } from "../../internal/node/process-tree.ts";

/** Begins the names of the children: those of their cgroups, and the last word of their command lines. */
export const namePrefix = "toolruntime-wasm-";

const timeoutMs = 5000;

/** The service of a child's name, where it is gone. */
function ownerOf(name: string): ProcessOwner | undefined {
  return name.startsWith(namePrefix) ? goneOwner(name.slice(namePrefix.length)) : undefined;
}

function lastArgument(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0").at(-2) ?? "";
  } catch {
    return "";
  }
}

function findProcesses(): { readonly pid: number; readonly owner: ProcessOwner }[] {
  return readdirSync("/proc").flatMap((pid) => {
    const owner = /^\d+$/.test(pid) ? ownerOf(lastArgument(pid)) : undefined;
    return owner === undefined ? [] : [{ pid: Number(pid), owner }];
  });
}

/** The children of services that are gone, and their cgroups below `parents`. */
export function findChildren(parents: readonly string[]): FoundLeftover[] {
  const end = (): Promise<boolean> => killAll(() => findProcesses().map(({ pid }) => pid), timeoutMs);
  const children = findProcesses().map(({ pid, owner }): FoundLeftover => {
    const madeAtMs = processStartedAt({ pid, boot: owner.boot });
    return { kind: "process", name: String(pid), owner, madeAtMs, remove: end };
  });
  const inCgroups = [...new Set(parents.flatMap(namesIn))].flatMap((name) => {
    const owner = ownerOf(name);
    return owner === undefined ? [] : findInCgroup({ parents, name, owner });
  });
  const isListed = ({ kind, name }: FoundLeftover): boolean => kind === "process" && children.some((child) => child.name === name);
  return [...children, ...inCgroups.filter((one) => !isListed(one))];
}
