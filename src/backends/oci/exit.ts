import { constants } from "node:os";
import type { Exit } from "../../backend.ts";

/** Signals by which programs end for their own faults, or are ended. */
const endings: readonly NodeJS.Signals[] = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGILL",
  "SIGTRAP",
  "SIGABRT",
  "SIGBUS",
  "SIGFPE",
  "SIGKILL",
  "SIGSEGV",
  "SIGPIPE",
  "SIGALRM",
  "SIGTERM",
  "SIGXCPU",
  "SIGXFSZ",
  "SIGSYS",
];

/**
 * Engines tell of a signal n as status 128 + n, as shells do, so a program that exits with such a number by itself cannot be told
 * from one that a signal ended.
 */
export function exitOfStatus(status: number): Exit {
  const signal = endings.find((name) => constants.signals[name] === status - 128);
  return signal === undefined ? { kind: "exited", code: status } : { kind: "signalled", signal, number: status - 128 };
}
