/** Sends a signal to one process (or, with a negative pid, to its group); `false` where it is gone already. */
export function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  // Threat: 0 is this process's own group and -1 everything on the machine; no file read may lead there.
  if (!Number.isInteger(pid) || Math.abs(pid) <= 1) return false;
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}
