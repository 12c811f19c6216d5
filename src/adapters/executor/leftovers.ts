import type { Backend } from "../../backend.ts";
import type { Log } from "../../edge/index.ts";
import { toToolRuntimeError } from "../../errors.ts";
import type { AuditLog } from "../../store.ts";
import { takeNotes } from "./reaper/notes.ts";

/** How long after a try that failed the next one comes. */
const againMs = 10_000;
/** The most that a record names; how many there were, it always says. */
const maxNamed = 100;

export interface ReapOptions {
  readonly log: Log;
  readonly audit: AuditLog;
  /** Where a reaper has left a note of what it removed meanwhile, which is in the log but not yet in the audit log. */
  readonly stateFolder?: string | undefined;
}

export interface Reaped {
  readonly backend: string;
  readonly removed: readonly string[];
}

/** The search for what a killed process left, in all backends. */
export interface Reaping {
  /** What a reaper had removed meanwhile, and the first search. */
  readonly reaped: readonly Reaped[];
  /** Ends the search in backends that could not be searched yet. */
  stop(): void;
}

/**
 * Has each backend remove what an earlier process left. One that cannot be asked, such as a daemon that is down, does not
 * hold up the start; it is asked again until it answers.
 */
export async function reapAll(backends: readonly Backend[], options: ReapOptions): Promise<Reaping> {
  const timers = new Set<ReturnType<typeof setTimeout>>();
  const later = (backend: Backend): void => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      void reap(backend, options).then((reaped) => {
        if (reaped === undefined && !isStopped) later(backend);
      });
    }, againMs);
    timer.unref();
    timers.add(timer);
  };
  let isStopped = false;
  const reaped: Reaped[] = [];
  for (const note of options.stateFolder === undefined ? [] : takeNotes(options.stateFolder)) {
    options.audit.note({ event: "reaped", ...note });
    reaped.push({ backend: note.backend, removed: note.removed });
  }
  for (const backend of backends) {
    const one = await reap(backend, options);
    if (one === undefined) later(backend);
    else if (one.removed.length > 0) reaped.push(one);
  }
  const stop = (): void => {
    isStopped = true;
    for (const timer of timers) clearTimeout(timer);
  };
  return { reaped, stop };
}

/** Nothing where the backend could not look. */
async function reap(backend: Backend, { log, audit }: ReapOptions): Promise<Reaped | undefined> {
  const { name } = backend;
  try {
    const { removed } = await backend.reap();
    if (removed.length > 0) {
      const facts = { backend: name, removed: removed.slice(0, maxNamed), count: removed.length };
      log.warn(facts, "removed what an earlier process had left");
      audit.note({ event: "reaped", ...facts });
    }
    return { backend: name, removed };
  } catch (error) {
    const { code, message } = toToolRuntimeError(error);
    log.warn({ backend: name, code }, `cannot look for what an earlier process left: ${message}`);
    return undefined;
  }
}
