import { closerArgv, type FdCloser } from "../../internal/node/fd-closer.ts";
import { channelFd } from "./protocol.ts";

/** What stands around a child besides the process itself. What a machine has not is left out; see `walls.ts`. */
export interface Walls {
  /** The shell that becomes the child. Without one the child starts bare. */
  readonly shell?: string;
  /** Set where the service has inherited descriptors that a child must not have. */
  readonly closing?: FdCloser;
  /** Starts a program in namespaces of its own: no network, no shared memory. */
  readonly namespaces: readonly string[];
  /** Starts a program without privileges, and has the kernel end it with the thread that started it. */
  readonly privileges: readonly string[];
  /** Whether each child gets a user of its own. */
  readonly hasOwnUser: boolean;
}

/** What a child may be used for. */
export interface ChildShape {
  /** No memory of the child's can be larger, in pages of 64 KiB. */
  readonly memoryPages: number;
}

/** Where the child's own code is. */
export interface ChildCode {
  readonly program: string;
  readonly entry: string;
  /** Files and folders that it may read. */
  readonly readable: readonly string[];
}

export interface ChildSpecParts {
  readonly code: ChildCode;
  readonly shape: ChildShape;
  readonly walls: Walls;
  /** Stands in the command line, so that what a killed service has left is known as its own. */
  readonly name: string;
  /** Files to which a process writes to join a cgroup. */
  readonly membershipFiles: readonly string[];
  /** The child's user where it gets one of its own. */
  readonly uid: number;
}

export interface ChildSpec {
  readonly program: string;
  readonly args: readonly string[];
}

/** Threads of a child: its own, V8's, libuv's four, and some to spare. */
export const maxThreads = 32;
/** For JavaScript; a guest's memory is not part of it. The script of a large component needs the most. */
const heapMiB = 256;
/** The engine lets a table have less; it has no name for the figure that could be used here. */
const maxTableElements = 10_000_000;
const openFiles = 64;

/**
 * Stands between the start of a process and the child's program: joins the cgroups, takes the limits of which nothing in a
 * child needs more, and offers itself first where the machine runs out of memory. The text is constant; everything else is a
 * positional argument: `<membership file>… -- <processes> <open files> <program> …`.
 * dash calls the limit of processes `-p`, bash `-u`. Shells set variables of
 * their own; env(1) takes them out.
 */
const launcher = `
fail() { echo "cannot set $1" >&2; exit 125; }
while [ "$1" != -- ]; do { echo 0 >"$1"; } 2>/dev/null || fail "$1"; shift; done
shift
{ echo 1000 >/proc/self/oom_score_adj; } 2>/dev/null
if [ "$1" != - ]; then ulimit -p "$1" 2>/dev/null || ulimit -u "$1" || fail "ulimit -u"; fi
ulimit -c 0 && ulimit -n "$2" && ulimit -f 0 || fail ulimit
shift 2
exec /usr/bin/env -i "$@"
`;

/** All security settings of a child are here. Its environment is empty and it works in `/`. */
export function childSpec({ code, shape, walls, name, membershipFiles, uid }: ChildSpecParts): ChildSpec {
  const args = [...nodeFlags(code, shape), code.entry, name];
  if (walls.shell === undefined) return { program: code.program, args };
  const { hasOwnUser, privileges } = walls;
  const user = hasOwnUser ? [`--reuid=${uid}`, `--regid=${uid}`, "--clear-groups"] : [];
  const drop = privileges.length === 0 ? [] : [...privileges, ...user, "--"];
  // The kernel counts this limit by user: in one of others' it would count theirs.
  const processes = hasOwnUser ? String(maxThreads) : "-";
  const close = walls.closing === undefined ? [] : closerArgv(withoutChannel(walls.closing));
  const launch = [walls.shell, "-c", launcher, "toolruntime", ...membershipFiles, "--", processes, String(openFiles)];
  const [program = walls.shell, ...rest] = [...close, ...launch, ...walls.namespaces, ...drop, code.program, ...args];
  return { program, args: rest };
}

function withoutChannel({ shell, fds }: FdCloser): FdCloser {
  return { shell, fds: fds.filter((fd) => fd !== channelFd) };
}

/** Threat: a guest that broke out of the engine finds, in JavaScript, no file, no process, no addon and no debugger. */
function nodeFlags({ readable }: ChildCode, { memoryPages }: ChildShape): string[] {
  return [
    "--permission",
    ...readable.map((path) => `--allow-fs-read=${path}`),
    "--no-addons",
    "--disable-sigusr1",
    "--disable-proto=delete",
    "--disallow-code-generation-from-strings",
    // Compiled at the first call, a function would hold up a run where no checkpoint looks.
    "--no-wasm-lazy-compilation",
    `--wasm-max-mem-pages=${memoryPages}`,
    `--wasm-max-table-size=${maxTableElements}`,
    `--max-old-space-size=${heapMiB}`,
    "--v8-pool-size=1",
    "--no-warnings",
  ];
}

/**
 * User ids that no distribution gives to anybody (https://systemd.io/UIDS-GIDS/). One for each child: none can signal
 * or look into another.
 */
const firstUid = 0x7000_0000;
const lastUid = 0x7fff_fffe;

export function randomUid(): number {
  const [word = 0] = crypto.getRandomValues(new Uint32Array(1));
  return firstUid + (word % (lastUid - firstUid + 1));
}
