import { setTimeout as sleep } from "node:timers/promises";
import type { Backend } from "../../../backend.ts";
import { toToolRuntimeError } from "../../../errors.ts";
import { isGone, parseOwner } from "../../../internal/node/process-owner.ts";
import { backendNames, openBackend, type BackendName } from "../backends.ts";
import type { ReapedBackends } from "./mission.ts";

/** The kernel closes a killed process's pipes a little before the process is gone. */
const goneWithinMs = 10_000;
const lookMs = 20;
/** What a daemon was asked for just before the kill may come into being after the first look. */
const betweenRoundsMs = 500;
const maxRounds = 6;

/** Gives whether it is gone. */
export async function untilGone(owner: string): Promise<boolean> {
  const parsed = parseOwner(owner);
  if (parsed === undefined) return false;
  const until = performance.now() + goneWithinMs;
  while (!isGone(parsed)) {
    if (performance.now() > until) return false;
    await sleep(lookMs);
  }
  return true;
}

export interface CleanedUp {
  readonly backend: string;
  readonly removed: readonly string[];
  /** Why the last look failed. */
  readonly problem?: string;
}

/** Opens one of the backends, to look for what is left there. */
export function openLeft<N extends BackendName>(backends: ReapedBackends, name: N): Promise<Backend> | undefined {
  const { unsafe } = backends;
  const quiet: ReapedBackends = unsafe === undefined ? backends : { ...backends, unsafe: { ...unsafe, warn: () => undefined } };
  const options = quiet[name];
  return options === undefined ? undefined : openBackend(name, options);
}

/** Removes what is left in each backend, until nothing is found any more. */
export async function cleanUp(backends: ReapedBackends): Promise<CleanedUp[]> {
  const cleaning = backendNames.map((name) => {
    const opening = openLeft(backends, name);
    return opening === undefined ? [] : [cleanOne(name, opening)];
  });
  return Promise.all(cleaning.flat());
}

async function cleanOne(name: string, opening: Promise<Backend>): Promise<CleanedUp> {
  const removed: string[] = [];
  let problem: string | undefined;
  try {
    const backend = await opening;
    for (let round = 0; round < maxRounds; round++) {
      if (round > 0) await sleep(betweenRoundsMs);
      const found = await backend.reap().catch((error: unknown) => toToolRuntimeError(error).message);
      problem = typeof found === "string" ? found : undefined;
      if (typeof found === "string") continue;
      removed.push(...found.removed);
      if (round > 0 && found.removed.length === 0) break;
    }
    await backend.close();
  } catch (error) {
    problem = toToolRuntimeError(error).message;
  }
  return { backend: name, removed, ...(problem === undefined ? {} : { problem }) };
}
