import { resolve } from "node:path";
import type { BackendName, BackendOptions } from "../backends.ts";
import { resolveFolders } from "../config/backends.ts";
import type { ServiceConfig } from "../config/schema.ts";

/** What can be left on this machine, and where: all of it is data, for another process. */
export type ReapedBackends = { readonly [N in BackendName]?: BackendOptions[N] };

export interface Mission {
  /** Whose end it waits for, as `formatOwner` writes it. */
  readonly owner: string;
  readonly backends: ReapedBackends;
  /** Where the next start looks for a note of what was removed; absent where nothing outlives the service. */
  readonly stateFolder?: string | undefined;
  /** Whether it says on stderr what it removed, and what it could not. */
  readonly says: { readonly removed: boolean; readonly problems: boolean };
}

/** The word that a service which closes ends its pipe with. */
export const farewell = "closed";

/** Those whose runs outlive a service that is killed. WebAssembly in the service itself ends with it, and a remote node cleans up by itself. */
export function reapedBackends({ backends, security }: Pick<ServiceConfig, "backends" | "security">): ReapedBackends {
  const { wasm, remote: _, ...others } = resolveFolders(backends, (path) => resolve(path));
  if (wasm === undefined || (security !== "hardened" && wasm.process === undefined)) return others;
  return { ...others, wasm: { process: {}, ...wasm } };
}
