import { readyExtism } from "../extism/plugin.ts";
import type { AbiRunner } from "./runner.ts";

/** Extism plug-ins. */
export function extism(): AbiRunner {
  return { abi: "extism", ready: readyExtism };
}
