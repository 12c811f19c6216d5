import { statSync } from "node:fs";
import type { Leftover, ReapReport } from "../../backend.ts";
import { startedAtOf, type ProcessOwner } from "./process-owner.ts";

/** What was found, and how it is taken away: what is listed and what is removed come from one search. */
export interface FoundLeftover {
  readonly kind: Leftover["kind"];
  readonly name: string;
  readonly owner: ProcessOwner;
  readonly madeAtMs?: number | undefined;
  /** Gives whether it is gone; what is gone already counts as removed. */
  remove(): Promise<boolean>;
}

/** As the contract shows it. */
export function listed({ kind, name, owner, madeAtMs }: FoundLeftover): Leftover {
  const { pid, startTicks, boot } = owner;
  const startedAtMs = startedAtOf(owner);
  return {
    kind,
    name,
    owner: { pid, startTicks, boot, ...(startedAtMs === undefined ? {} : { startedAtMs }) },
    ...(madeAtMs === undefined ? {} : { madeAtMs: Math.round(madeAtMs) }),
  };
}

/**
 * Removes one after the other. One that cannot be removed does not keep the others from it.
 *
 * @throws the first error, when all have been tried.
 */
export async function removeFound(found: readonly FoundLeftover[]): Promise<ReapReport> {
  const removed: string[] = [];
  const errors: unknown[] = [];
  for (const { kind, name, remove } of found) {
    try {
      if (await remove()) removed.push(`${kind} ${name}`);
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
  return { removed };
}

/** When a folder of a file system on disk or in memory was made; nothing where that is not known. */
export function folderMadeAt(path: string): number | undefined {
  const made = statSync(path, { throwIfNoEntry: false })?.birthtimeMs ?? 0;
  return made > 0 ? made : undefined;
}
