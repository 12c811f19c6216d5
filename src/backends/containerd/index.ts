import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Backend } from "../../backend.ts";
import { ContainerdBackend } from "./backend.ts";

export interface ContainerdOptions {
  /** The daemon's Unix socket, on this host. Default `/run/containerd/containerd.sock`. */
  readonly socketPath?: string;
  /** The daemon's namespace: where images are looked for and everything is made. Default `"toolruntime"`. */
  readonly namespace?: string;
  /** What the daemon keeps the layers of images with. Default `"overlayfs"`. */
  readonly snapshotter?: string;
  /** The runtime program that the daemon's shim starts. Default: the `runc` in a system's usual folders. */
  readonly runtimePath?: string;
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
 * Runs the `image` artifact of tools, each run in a container of its own that is removed with it, by a containerd on this host, 1.6 or
 * later, over its gRPC API. Profiles `dev` and `standard`; a container shares the host's kernel, so `hardened` is refused. There is no
 * network. Images are taken from the daemon's namespace; none is pulled.
 *
 * Memory, processes and processors are held by a parent cgroup of the run's own, the disk by the size of a file system in memory that
 * is bound into the container; both need root. `reap()` removes what a service that was killed has left. Needs the packages
 * `@grpc/grpc-js` and `@grpc/proto-loader`.
 */
export function containerd(options: ContainerdOptions = {}): Backend {
  return new ContainerdBackend({
    socketPath: options.socketPath ?? "/run/containerd/containerd.sock",
    namespace: options.namespace ?? "toolruntime",
    snapshotter: options.snapshotter ?? "overlayfs",
    runtimePath: options.runtimePath,
    acceptEngines: options.acceptEngines ?? [],
    scratch: options.scratch ?? join(tmpdir(), `toolruntime-containerd-${process.getuid?.() ?? "user"}`),
    maxContainers: options.maxContainers ?? 4,
    maxOutputBytes: options.maxOutputBytes ?? 64 * 2 ** 20,
  });
}
