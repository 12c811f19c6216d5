/** The parts of an engine for built tools. What a program does not import of them is not in its bundle. */
export { component } from "./component.ts";
export { builtEngine, type BuiltWasmOptions } from "./engine.ts";
export { extism } from "./extism.ts";
export { javascript } from "./javascript.ts";
export type { AbiRunner } from "./runner.ts";
export { wasiP1 } from "./wasi-p1.ts";
