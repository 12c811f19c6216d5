import { backendNames, openBackend as openByName, type BackendName } from "../adapters/executor/backends.ts";
import type { Backend } from "../backend.ts";
import { ToolRuntimeError } from "../errors.ts";
import { didYouMean } from "../internal/nearest.ts";
import { UsageError } from "./exit-codes.ts";

export { backendNames, type BackendName } from "../adapters/executor/backends.ts";

export interface OpenOptions {
  /** Whether tools may need processes of their own, as profile `hardened` demands. */
  readonly needsProcesses: boolean;
  readonly allowsUnsafe: boolean;
  /** Engines below their floor that the operator takes all the same, as `name@version`. */
  readonly acceptEngines?: readonly string[];
  /** Gets what the operator should know about a backend that is opened. */
  readonly warn: (message: string) => void;
}

/** @throws UsageError for a name that is not in the table. */
export function parseBackendName(name: string): BackendName {
  const found = backendNames.find((known) => known === name);
  if (found !== undefined) return found;
  throw new UsageError(`Unknown backend "${name}"${didYouMean(name, backendNames) || `; there are ${backendNames.join(", ")}`}`);
}

/** As Docker's own command finds it; another host's daemon cannot be used. */
export function dockerSocket(): { readonly socketPath?: string } {
  const [, socketPath] = /^unix:\/\/(.+)$/.exec(process.env["DOCKER_HOST"] ?? "") ?? [];
  return socketPath === undefined ? {} : { socketPath };
}

/** As containerd's own command finds it, and as nerdctl names a namespace. */
export function containerdPlace(): { readonly socketPath?: string; readonly namespace?: string } {
  const { CONTAINERD_ADDRESS: address, CONTAINERD_NAMESPACE: namespace } = process.env;
  return {
    ...(address === undefined ? {} : { socketPath: address.replace(/^unix:\/\//, "") }),
    ...(namespace === undefined ? {} : { namespace }),
  };
}

/** Where images are that need no daemon. */
export function imageFolder(): { readonly imageFolder?: string } {
  const { TOOLRUNTIME_IMAGES: folder } = process.env;
  return folder === undefined ? {} : { imageFolder: folder };
}

/** @throws `ERR_POLICY_DENIED` for `unsafe` without the operator's word. */
export async function openBackend(name: BackendName, options: OpenOptions): Promise<Backend> {
  const { allowsUnsafe, needsProcesses, acceptEngines = [], warn } = options;
  if (name === "wasm") return openByName(name, needsProcesses ? { process: {} } : {});
  if (name === "docker") return openByName(name, { ...dockerSocket(), acceptEngines });
  if (name === "containerd") return openByName(name, { ...containerdPlace(), acceptEngines });
  if (name === "gvisor") return openByName(name, { ...imageFolder(), acceptEngines });
  if (allowsUnsafe) return openByName(name, { acceptUnsafe: true, warn });
  throw new ToolRuntimeError(
    "ERR_POLICY_DENIED",
    'Cannot use the backend "unsafe": it runs tools as this user, without a sandbox; --allow-unsafe takes it all the same',
  );
}
