import type { WasmDriver } from "../driver.ts";
import { ProcessDriver } from "./driver.ts";
import { readOptions, type ProcessOptions } from "./options.ts";

export type { ProcessOptions } from "./options.ts";

/**
 * Runs modules in processes of their own: the second wall around them, which profile `hardened` demands. A process has an
 * empty environment, Node's permission model without files, and what the machine gives besides: a cgroup, a user of its own, no
 * network, lowest rlimits; `probe()` says in its notes what that is. It is started before it is needed, gets one tool for good,
 * and is killed by SIGKILL after a trap, a limit or an abort. A run that is aborted settles when its process is gone.
 *
 * For Node on any system; cgroups, users, namespaces, rlimits and `cpuTime` on Linux alone. Artifacts are checked, metered and
 * transpiled in the service, once for all processes that get them.
 *
 * @throws from `run`, besides what the engine throws: `ERR_QUEUE_FULL`, `ERR_BACKEND_FAILED`, `ERR_LIMIT_COMPILE`, `ERR_CLOSED`.
 */
export function processDriver(options: ProcessOptions = {}): WasmDriver {
  return new ProcessDriver(readOptions(options));
}
