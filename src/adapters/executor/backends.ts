import { setFlagsFromString } from "node:v8";
import type { Backend } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { didYouMean } from "../../internal/nearest.ts";
import type { ContainerdOptions } from "../../backends/containerd/index.ts";
import type { DockerOptions } from "../../backends/docker/index.ts";
import type { GvisorOptions } from "../../backends/gvisor/index.ts";
import type { UnsafeOptions } from "../../backends/unsafe/index.ts";
import type { WasmOptions } from "../../wasm/index.ts";
import type { JcoOptions } from "../../wasm/component/jco/index.ts";
import type { ProcessOptions } from "../../wasm/process/index.ts";
import type { NodeSource } from "../remote/index.ts";
import type { RemoteConfig } from "./config/remote.ts";

/** What each backend takes from a configuration. */
export interface BackendOptions {
  readonly wasm: Omit<WasmOptions, "components" | "javascript" | "process" | "offload"> & {
    readonly components?: JcoOptions;
    /** With it, profile `hardened` is served, each tool in a process of its own. */
    readonly process?: Omit<ProcessOptions, "components" | "javascript" | "offload">;
  };
  readonly unsafe: UnsafeOptions;
  readonly docker: DockerOptions;
  readonly containerd: ContainerdOptions;
  readonly gvisor: GvisorOptions;
  /** `registered`: the nodes that come by themselves. */
  readonly remote: RemoteConfig & { readonly registered?: NodeSource };
}

/** Those that need no more than a name; which nodes are behind `remote` has to be said. */
export type BackendName = Exclude<keyof BackendOptions, "remote">;

/** Backends by name. A backend's module, and whatever it depends on, is loaded when it is first asked for. */
const openers: { readonly [N in keyof BackendOptions]: (options: BackendOptions[N]) => Promise<Backend> } = {
  wasm: async ({ components, process, ...options }) => {
    // By default V8 compiles each function at its first call, on the event loop, where no checkpoint of the guest's looks.
    setFlagsFromString("--no-wasm-lazy-compilation");
    const [{ wasm }, { jcoTranspiler }, { quickJs }, { threadOffload }] = await Promise.all([
      import("../../wasm/index.ts"),
      import("../../wasm/component/jco/index.ts"),
      import("../../wasm/javascript/node.ts"),
      import("../../wasm/thread/index.ts"),
    ]);
    const making = { components: jcoTranspiler(components), javascript: quickJs(), offload: threadOffload() };
    if (process === undefined) return wasm({ ...options, ...making });
    const { processDriver } = await import("../../wasm/process/index.ts");
    // What the operator bounds holds in each profile.
    const { maxArtifactBytes } = options;
    const bounds = maxArtifactBytes === undefined ? {} : { maxArtifactBytes };
    return wasm({ ...options, ...making, process: processDriver({ ...bounds, ...process, ...making }) });
  },
  unsafe: async (options) => (await import("../../backends/unsafe/index.ts")).unsafe(options),
  docker: async (options) => (await import("../../backends/docker/index.ts")).docker(options),
  containerd: async (options) => (await import("../../backends/containerd/index.ts")).containerd(options),
  gvisor: async (options) => (await import("../../backends/gvisor/index.ts")).gvisor(options),
  remote: async (options) => (await import("./open-remote.ts")).openRemote(options),
};

export const backendNames: readonly BackendName[] = ["wasm", "unsafe", "docker", "containerd", "gvisor"];

/** @throws `ERR_CONFIG_INVALID` with the nearest name that there is. */
export function assertBackendName(name: string): asserts name is BackendName {
  if (backendNames.some((known) => known === name)) return;
  throw new ToolRuntimeError(
    "ERR_CONFIG_INVALID",
    `Cannot open the backend ${JSON.stringify(name)}: there are ${backendNames.join(", ")}${didYouMean(name, backendNames)}`,
    { details: { backend: name, known: backendNames } },
  );
}

/** @throws `ERR_CONFIG_INVALID`. */
export async function openBackend<N extends keyof BackendOptions>(name: N, options: BackendOptions[N]): Promise<Backend> {
  if (!Object.hasOwn(openers, name)) assertBackendName(name);
  return openers[name](options);
}
