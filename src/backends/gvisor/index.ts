import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Backend } from "../../backend.ts";
import { GvisorBackend } from "./backend.ts";
import type { Platform } from "./sandbox.ts";

export interface GvisorOptions {
  /**
   * Where images are: a folder with an OCI image layout, as `skopeo copy … oci:<folder>` writes it, or as an archive of `docker save`
   * (Docker 25 or later) is when it is unpacked. An image is known by its full name in the layout's annotations. Without it nothing runs.
   */
  readonly imageFolder?: string;
  /** The runtime program. Default: the `runsc` in a system's usual folders. */
  readonly runtimePath?: string;
  /** How gVisor gets between a tool and the host's kernel. Default: `systrap` where it works, or else `ptrace`. */
  readonly platform?: Platform;
  /**
   * A runsc below the oldest good version that is taken all the same, as `name@version`: `"runsc@20221219.0.0"`. Without it profiles
   * `standard` and `hardened` are refused where it is older.
   */
  readonly acceptEngines?: readonly string[];
  /**
   * Where images are unpacked and the scratch folders of runs are mounted. Default: a folder of this user's own in the system's temporary
   * folder.
   */
  readonly scratch?: string;
  /** The most that all images may take when they are unpacked, in bytes. What is not in use goes where there is no room. Default 8 GiB. */
  readonly maxImageBytes?: number;
  /** Sandboxes at once; more wait. More than twice the processors gain nothing. Default 4. */
  readonly maxSandboxes?: number;
  /** The most that a run may hand back in files, in bytes. Default 64 MiB. */
  readonly maxOutputBytes?: number;
}

/**
 * Runs the `image` artifact of tools, each run in a gVisor sandbox of its own that is removed with it, by `runsc run` and without a
 * daemon. Profiles `dev`, `standard` and `hardened`: a tool's calls are answered by gVisor's kernel and not by the host's. Before the first
 * use, and after each probe, a program of our own asks that kernel what it is; one that is not gVisor's is refused with `ERR_ATTESTATION`.
 * There is no network. Images are taken from a folder; none is pulled.
 *
 * Memory and processors are held by a cgroup of the run's own, processes by gVisor, the disk by the size of a file system in memory that is
 * bound into the sandbox; this needs root. `reap()` removes what a service that was killed has left.
 */
export function gvisor(options: GvisorOptions = {}): Backend {
  return new GvisorBackend({
    imageFolder: options.imageFolder,
    runtimePath: options.runtimePath,
    platforms: options.platform === undefined ? ["systrap", "ptrace"] : [options.platform],
    acceptEngines: options.acceptEngines ?? [],
    scratch: options.scratch ?? join(tmpdir(), `toolruntime-gvisor-${process.getuid?.() ?? "user"}`),
    maxImageBytes: options.maxImageBytes ?? 8 * 2 ** 30,
    maxSandboxes: options.maxSandboxes ?? 4,
    maxOutputBytes: options.maxOutputBytes ?? 64 * 2 ** 20,
  });
}
