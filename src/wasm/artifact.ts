import type { EngineAbi } from "../tool.ts";
import type { Slices } from "./slices.ts";
import type { GuestClock, Surroundings } from "./surroundings.ts";
import type { WasmIo, WasmReport } from "./run-types.ts";

/** One run of a ready artifact, with the limits of its plan in bytes. */
export interface WasmRun {
  readonly io: WasmIo;
  /** The most linear memory, all memories together. */
  readonly memoryBytes: number;
  /** The most that the tool may write to files. */
  readonly diskBytes: number;
  /** To be started and stopped with the guest. Its limits come into the report by themselves. */
  readonly slices: Slices;
  readonly surroundings: Surroundings;
  readonly clock: GuestClock;
}

/** An artifact that went through ingest: compiled, its imports checked. Cached by digest; holds nothing of any run. */
export interface ReadyArtifact {
  readonly abi: EngineAbi;
  run(run: WasmRun): Promise<WasmReport> | WasmReport;
}
