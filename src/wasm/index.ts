import type { Backend } from "../backend.ts";
import { WasmBackend } from "./backend.ts";
import type { WasmDriver } from "./driver.ts";
import { Engine } from "./engine.ts";
import { InlineDriver, inlineOptions, type InlineOptions } from "./inline-driver.ts";

export type { ComponentTranspiler, TranspileRequest, Transpiled } from "./component/transpiler.ts";
export type { DriverProbe, WasmDriver } from "./driver.ts";
export type { Offload } from "./ingest.ts";
export { javaScriptEngine, type JavaScriptEngine, type QuickJsBytes } from "./javascript/engine.ts";
export { makeArtifact, type MadeArtifact, type MakeOptions } from "./made.ts";
export type { MeteredModule, MeterOptions } from "./meter/index.ts";
export type { EventLoopTurn } from "./turns.ts";

export interface WasmOptions extends Partial<InlineOptions> {
  /** Runs modules in a process of their own, for profile `hardened`. Closed with the backend. Without it `hardened` is refused. */
  readonly process?: WasmDriver;
}

/**
 * WebAssembly: WASI preview 1 commands, Extism plug-ins and, with a transpiler, WASI 0.2 components, each call in a fresh
 * instance; and, with QuickJS, snippets of JavaScript.
 *
 * Modules are metered and run in slices in this process, for the profiles `dev` and `standard`: every limit that there is
 * holds, whatever the module does. Profile `hardened` wants a second wall, and with it a driver that gives one.
 */
export function wasm(given: WasmOptions = {}): Backend {
  const { process, ...inline } = given;
  const options = inlineOptions(inline);
  const driver = new InlineDriver(options, new Engine(options));
  return new WasmBackend(process === undefined ? [driver] : [driver, process]);
}
