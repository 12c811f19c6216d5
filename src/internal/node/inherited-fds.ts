import { readdirSync, readFileSync } from "node:fs";

/** `O_CLOEXEC` as proc_pid_fdinfo(5) shows it, in octal, on the architectures that Node runs on under Linux. */
const closeOnExec = 0o2000000;

/**
 * The file descriptors above 2 that every program started from here would inherit. Node opens none such; they come from
 * whoever started the service. Threat: a tool that finds the service's sockets and files open.
 */
export function inheritedFds(): number[] {
  return readdirSync("/proc/self/fd")
    .map(Number)
    .filter((fd) => fd > 2 && isInherited(fd));
}

function isInherited(fd: number): boolean {
  try {
    const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1];
    return flags !== undefined && (Number.parseInt(flags, 8) & closeOnExec) === 0;
  } catch {
    return false;
  }
}
