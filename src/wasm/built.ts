import type { Backend } from "../backend.ts";
import { allAbis } from "./abi/all.ts";
import { builtEngine, type BuiltWasmOptions } from "./abi/engine.ts";

export type { BuiltWasmOptions } from "./abi/engine.ts";

/**
 * WebAssembly that `toolruntime build` made ready, run as `wasm()` runs it. Takes no bytes, and so carries nothing of what
 * checks and meters them: for platforms that compile nothing inside a request. It has every ABI; what `toolruntime build` writes
 * as `engine.js` has those of the tools that were built.
 */
export function builtWasm(options: BuiltWasmOptions = {}): Backend {
  return builtEngine(allAbis(), options);
}
