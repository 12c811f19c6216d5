import { readyWasiCommand } from "../wasi-command.ts";
import type { AbiRunner } from "./runner.ts";

/** Commands of WASI preview 1. */
export function wasiP1(): AbiRunner {
  return { abi: "wasi-p1", ready: readyWasiCommand };
}
