import { enforcedValue, type Plan } from "../../backend.ts";
import { closerArgv, type FdCloser } from "../../internal/node/fd-closer.ts";
import type { RunFolder } from "../../internal/node/run-folder.ts";
import { cgroupLimits, type CgroupLimit } from "../../internal/node/cgroup-limits.ts";
import type { Command } from "./command.ts";

/** Where programs are looked for, and the tool's own `PATH`, where nobody names another. */
export const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const shell = "/bin/sh";

/**
 * What stands between the start of a process and the tool's program: it joins the cgroup, so that the limits hold before
 * the program's first instruction, and becomes the program. The text is constant; everything else is a positional
 * argument and is never read as code: `<membership file>… -- <variable>… -- <program> <argument>…`.
 *
 * The variables arrive under names of their own. Threat: `LD_PRELOAD` and the like would have the caller's code run in
 * the launcher itself, before it is in the cgroup. Descriptor 3 is closed as the program takes over, and carries the name
 * of what failed where it cannot.
 */
const launcher = `
fail() { echo "$1" >&3; exit 125; }
ulimit -c 0 || fail "ulimit -c"
while [ "$1" != -- ]; do { echo 0 >"$1"; } 2>/dev/null || fail "$1"; shift; done
shift
unset PWD OLDPWD SHLVL _
while [ "$1" != -- ]; do eval "$1=\\$toolruntime_$1; export $1; unset toolruntime_$1"; shift; done
shift
exec "$@" 3>&-
`;

/** One child process, as it is started. */
export interface ProcessSpec {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** The file that stands at descriptor 0. */
  readonly stdin: string;
}

export interface ProcessParts {
  readonly command: Command;
  readonly folder: RunFolder;
  /** What the task gave. It wins over what the backend sets. */
  readonly env: Readonly<Record<string, string>>;
  readonly path: string;
  readonly membershipFiles: readonly string[];
  readonly closing: FdCloser | undefined;
}

/** The tool sees the task's variables and four more: `PATH`, `HOME`, `PWD` and `TMPDIR`. */
export function processSpec({ command, folder, env, path, membershipFiles, closing }: ProcessParts): ProcessSpec {
  const variables = { PATH: path, HOME: folder.work, PWD: folder.work, TMPDIR: folder.tmp, ...env };
  const names = Object.keys(variables);
  const launch = [shell, "-c", launcher, "toolruntime", ...membershipFiles, "--", ...names, "--", command.program, ...command.args];
  const [program = shell, ...args] = closing === undefined ? launch : [...closerArgv(closing), ...launch];
  return {
    program,
    args,
    env: Object.fromEntries(Object.entries(variables).map(([name, value]) => [`toolruntime_${name}`, value])),
    cwd: folder.work,
    stdin: folder.stdin,
  };
}

export interface CgroupValue {
  readonly limit: CgroupLimit;
  readonly value: number;
}

/** What the plan wants a cgroup to hold. */
export function cgroupValues(plan: Plan): CgroupValue[] {
  return cgroupLimits.flatMap((limit) => {
    const value = enforcedValue(plan, limit);
    return value === undefined ? [] : { limit, value };
  });
}
