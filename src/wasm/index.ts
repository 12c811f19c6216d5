import type { Backend } from "../backend.ts";
import { WasmBackend } from "./backend.ts";
import type { EngineOptions } from "./engine.ts";

export type { ComponentTranspiler, Instantiate, TranspileRequest, Transpiled } from "./component/transpiler.ts";

export type WasmOptions = Partial<EngineOptions>;

/**
 * WebAssembly in this process: WASI preview 1 commands, Extism plug-ins and, with a transpiler, WASI 0.2 components, each call
 * in a fresh instance.
 *
 * Enforces `memory`, `disk`, `output`, `processes` and `cpu` (one thread). It does not enforce `timeout` or `cpuTime`, so it serves profile
 * `dev` alone.
 */
export function wasm(options: WasmOptions = {}): Backend {
  return new WasmBackend({
    maxArtifactBytes: options.maxArtifactBytes ?? 64 * 2 ** 20,
    maxCacheBytes: options.maxCacheBytes ?? 512 * 2 ** 20,
    maxPoolBytes: options.maxPoolBytes ?? 64 * 2 ** 20,
    components: options.components,
  });
}
