import { setFlagsFromString } from "node:v8";
import type { Backend } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { didYouMean } from "../../internal/nearest.ts";
import type { UnsafeOptions } from "../../backends/unsafe/index.ts";
import type { WasmDriver, WasmOptions } from "../../wasm/index.ts";
import type { JcoOptions } from "../../wasm/component/jco/index.ts";
import type { ProcessOptions } from "../../wasm/process/index.ts";

/** What each backend takes from a configuration. */
export interface BackendOptions {
  readonly wasm: Omit<WasmOptions, "components" | "process" | "offload"> & {
    readonly components?: JcoOptions;
    /** With it, profile `hardened` is served, each tool in a process of its own. */
    readonly process?: Omit<ProcessOptions, "components">;
  };
  readonly unsafe: UnsafeOptions;
}

export type BackendName = keyof BackendOptions;

/** Backends by name. A backend's module, and whatever it depends on, is loaded when it is first asked for. */
const openers: { readonly [N in BackendName]: (options: BackendOptions[N]) => Promise<Backend> } = {
  wasm: async ({ components, process, ...options }) => {
    // By default V8 compiles each function at its first call, on the event loop, where no checkpoint of the guest's looks.
    setFlagsFromString("--no-wasm-lazy-compilation");
    const [{ wasm }, { jcoTranspiler }, { threadOffload }] = await Promise.all([
      import("../../wasm/index.ts"),
      import("../../wasm/component/jco/index.ts"),
      import("../../wasm/thread/index.ts"),
    ]);
    const inline = { ...options, components: jcoTranspiler(components), offload: threadOffload() };
    return process === undefined ? wasm(inline) : wasm({ ...inline, process: await openProcess(process) });
  },
  unsafe: async (options) => (await import("../../backends/unsafe/index.ts")).unsafe(options),
};

async function openProcess(options: Omit<ProcessOptions, "components">): Promise<WasmDriver> {
  const { processDriver } = await import("../../wasm/process/index.ts");
  const jco = `../../wasm/component/jco/index.${import.meta.url.endsWith(".ts") ? "ts" : "js"}`;
  return processDriver({ ...options, components: new URL(jco, import.meta.url) });
}

export const backendNames: readonly BackendName[] = ["wasm", "unsafe"];

/** @throws `ERR_CONFIG_INVALID` with the nearest name that there is. */
export function assertBackendName(name: string): asserts name is BackendName {
  if (Object.hasOwn(openers, name)) return;
  throw new ToolRuntimeError(
    "ERR_CONFIG_INVALID",
    `Cannot open the backend ${JSON.stringify(name)}: there are ${backendNames.join(", ")}${didYouMean(name, backendNames)}`,
    { details: { backend: name, known: backendNames } },
  );
}

/** @throws `ERR_CONFIG_INVALID`. */
export async function openBackend<N extends BackendName>(name: N, options: BackendOptions[N]): Promise<Backend> {
  assertBackendName(name);
  return openers[name](options);
}
