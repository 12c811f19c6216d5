import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Backend } from "../../backend.ts";
import { DockerBackend } from "./backend.ts";

export interface DockerOptions {
  /** The daemon's Unix socket, on this host. Default `/var/run/docker.sock`. */
  readonly socketPath?: string;
  /**
   * Engines below the oldest good version that are taken all the same, as `name@version`: `"runc@1.1.5"`. Without it profile `standard`
   * is refused where an engine is older.
   */
  readonly acceptEngines?: readonly string[];
  /** Where the scratch folders of runs are mounted. Default: a folder of this user's own in the system's temporary folder. */
  readonly scratch?: string;
  /** Containers at once; more wait. More than twice the processors gain nothing. Default 4. */
  readonly maxContainers?: number;
  /** The most that a run may hand back in files, in bytes. Default 64 MiB. */
  readonly maxOutputBytes?: number;
}

/**
 * Runs the `image` artifact of tools, each run in a container of its own that is removed with it, by a Docker daemon on this host.
 * Profiles `dev` and `standard`; a container shares the host's kernel, so `hardened` is refused. There is no network. Images are taken
 * from the daemon; none is pulled.
 *
 * Memory, processes and processors are held by a parent cgroup of the run's own, the disk by the size of a file system in memory that
 * is bound into the container; both need root. `reap()` removes what a service that was killed has left.
 */
export function docker(options: DockerOptions = {}): Backend {
  return new DockerBackend({
    socketPath: options.socketPath ?? "/var/run/docker.sock",
    acceptEngines: options.acceptEngines ?? [],
    scratch: options.scratch ?? join(tmpdir(), `toolruntime-docker-${process.getuid?.() ?? "user"}`),
    maxContainers: options.maxContainers ?? 4,
    maxOutputBytes: options.maxOutputBytes ?? 64 * 2 ** 20,
  });
}
