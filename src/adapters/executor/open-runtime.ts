import type { Backend } from "../../backend.ts";
import { createRuntime, type RuntimeOptions } from "../../runtime.ts";
import type { Runtime } from "../../runtime.ts";
import { openBackend, type BackendName, type BackendOptions } from "./backends.ts";

type NamedBackend = { readonly [N in BackendName]: { readonly backend: N } & OptionsOf<N> }[BackendName];
type OptionsOf<N extends BackendName> =
  Record<never, never> extends BackendOptions[N] ? { readonly options?: BackendOptions[N] } : { readonly options: BackendOptions[N] };

export type OpenRuntimeOptions = Omit<RuntimeOptions, "backend"> & NamedBackend;

/**
 * Puts a backend, named as in a configuration, under a security profile. Closing the runtime closes the backend.
 *
 * @throws `ERR_CONFIG_INVALID` for an unknown name or a backend that needs an opt-in.
 */
export async function openRuntime(options: OpenRuntimeOptions): Promise<Runtime> {
  const { backend: name, options: own, ...rest } = options;
  const backend = name === "unsafe" ? await openBackend(name, own) : await openBackend(name, own ?? {});
  return ownBackend(createRuntime({ ...rest, backend }), backend);
}

/** Who creates closes: here that is the runtime that this function gives back. */
export function ownBackend(runtime: Runtime, backend: Backend): Runtime {
  const close = async (): Promise<void> => {
    await runtime.close();
    await backend.close();
  };
  return {
    backend: runtime.backend,
    security: runtime.security,
    execute: (task, call) => runtime.execute(task, call),
    explain: (task) => runtime.explain(task),
    probe: () => runtime.probe(),
    load: () => runtime.load(),
    close,
    [Symbol.asyncDispose]: close,
  };
}
