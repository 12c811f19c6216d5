import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Backend } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { UnsafeBackend } from "./backend.ts";
import { defaultPath } from "./spec.ts";

export interface UnsafeOptions {
  /**
   * Must be `true`: the tool runs as this process's user, sees the whole machine, its files and its network, and can
   * change them. Limits are held, walls there are none.
   */
  readonly acceptUnsafe: boolean;
  /** Gets one line when the backend is created. Default: `console.warn`. */
  readonly warn?: (message: string) => void;
  /** Where programs are looked for, and the tool's own `PATH`. Absolute folders; default the usual ones of a Linux system. */
  readonly path?: string;
  /** Where the working folders of runs are made. Default: one of this user's own in the system's temporary folder. */
  readonly scratch?: string;
  /**
   * How the processes of a run are kept together: `"auto"` by a cgroup where one can be made, `"group"` by the process
   * group, which a process can leave.
   */
  readonly processTree?: "auto" | "group";
  /** The most that a run may hand back in files, in bytes. Default 64 MiB. */
  readonly maxOutputBytes?: number;
}

const warning =
  'The backend "unsafe" is on: tools run as programs of this machine without a sandbox, with the files and the network of this user. Never give it a tool that you would not run yourself.';

/**
 * Runs the `command` artifact of tools as processes of this machine: for development, with profile `dev` only. It holds
 * limits where the kernel does, and says in each receipt which; it keeps a tool from nothing else. A tool's environment is
 * what the task gives, and `PATH`, `HOME`, `PWD` and `TMPDIR`; nothing of the service's. When a service starts, `reap()`
 * ends and removes what an earlier one that was killed has left.
 *
 * @throws `ERR_CONFIG_INVALID` without `acceptUnsafe: true`.
 */
export function unsafe(options: UnsafeOptions): Backend {
  if (options?.acceptUnsafe !== true) {
    throw new ToolRuntimeError(
      "ERR_CONFIG_INVALID",
      'Cannot create the backend "unsafe": it runs tools without a sandbox; set "acceptUnsafe" to true if that is what you want, or use another backend',
      { backend: "unsafe" },
    );
  }
  const warn = options.warn ?? ((message: string) => console.warn(message));
  warn(warning);
  return new UnsafeBackend({
    path: options.path ?? defaultPath,
    scratch: options.scratch ?? join(tmpdir(), `toolruntime-${process.getuid?.() ?? "user"}`),
    processTree: options.processTree ?? "auto",
    maxOutputBytes: options.maxOutputBytes ?? 64 * 2 ** 20,
  });
}
