import type { Backend } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { didYouMean } from "../../internal/nearest.ts";
import type { UnsafeOptions } from "../../backends/unsafe/index.ts";
import type { WasmOptions } from "../../wasm/index.ts";
import type { JcoOptions } from "../../wasm/component/jco/index.ts";

/** What each backend takes from a configuration. */
export interface BackendOptions {
  readonly wasm: Omit<WasmOptions, "components"> & { readonly components?: JcoOptions };
  readonly unsafe: UnsafeOptions;
}

export type BackendName = keyof BackendOptions;

/** Backends by name. A backend's module, and whatever it depends on, is loaded when it is first asked for. */
const openers: { readonly [N in BackendName]: (options: BackendOptions[N]) => Promise<Backend> } = {
  wasm: async ({ components, ...options }) => {
    const [{ wasm }, { jcoTranspiler }] = await Promise.all([import("../../wasm/index.ts"), import("../../wasm/component/jco/index.ts")]);
    return wasm({ ...options, components: jcoTranspiler(components) });
  },
  unsafe: async (options) => (await import("../../backends/unsafe/index.ts")).unsafe(options),
};

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
