import { spawn } from "node:child_process";
import { once } from "node:events";

/** Closes descriptors first, where the service has inherited some. dash cannot close those above 9, bash can. */
const closer = `
while [ "$1" != -- ]; do eval "exec $1>&-"; shift; done
shift
exec "$@"
`;

/** Descriptors that a program would inherit, and a shell that can close them. */
export interface FdCloser {
  readonly shell: string;
  readonly fds: readonly number[];
}

/** The start of a command line: what follows is run with the descriptors closed. */
export function closerArgv({ shell, fds }: FdCloser): string[] {
  return [shell, "-c", closer, "toolruntime", ...fds.map(String), "--"];
}

async function canClose(shell: string, fds: readonly number[]): Promise<boolean> {
  const [program = shell, ...args] = [...closerArgv({ shell, fds }), shell, "-c", ":"];
  const child = spawn(program, args, { stdio: "ignore", env: {} });
  const [code] = await once(child, "close").catch(() => [1]);
  return code === 0;
}

/** Looks for a shell that can close the descriptors. */
export async function findCloser(fds: readonly number[]): Promise<FdCloser | undefined> {
  for (const shell of ["/bin/sh", "/bin/bash", "/usr/bin/bash"]) {
    if (await canClose(shell, fds)) return { shell, fds };
  }
  return undefined;
}
