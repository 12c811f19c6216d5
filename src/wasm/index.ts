import type { Backend } from "../backend.ts";
import { WasmBackend } from "./backend.ts";
import type { WasmDriver } from "./driver.ts";
import { InlineDriver, inlineOptions, type InlineOptions } from "./inline-driver.ts";

export type { ComponentTranspiler, Instantiate, TranspileRequest, Transpiled } from "./component/transpiler.ts";
export type { DriverProbe, WasmDriver } from "./driver.ts";
export type { Offload } from "./ingest.ts";
export type { MeteredModule, MeterOptions } from "./meter/index.ts";
export type { EventLoopTurn } from "./turns.ts";

export interface WasmOptions extends Partial<InlineOptions> {
  /** Runs modules in a process of their own, for profile `hardened`. Closed with the backend. Without it `hardened` is refused. */
  readonly process?: WasmDriver;
}

/**
 * WebAssembly: WASI preview 1 commands, Extism plug-ins and, with a transpiler, WASI 0.2 components, each call in a fresh
 * instance.
 *
 * Modules are metered and run in slices in this process, for the profiles `dev` and `standard`: every limit that there is
 * holds, whatever the module does. Profile `hardened` wants a second wall, and with it a driver that gives one.
 */
export function wasm(options: WasmOptions = {}): Backend {
  const { process, ...inline } = options;
  const driver = new InlineDriver(inlineOptions(inline));
  return new WasmBackend(process === undefined ? [driver] : [driver, process]);
}
