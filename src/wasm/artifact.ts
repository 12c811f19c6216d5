import type { Exit, OutputFile, RunIo } from "../backend.ts";
import type { Limit, LimitReading } from "../limits.ts";
import type { WasmAbi } from "../tool.ts";

/** One run of a ready artifact, with the limits of its plan in bytes. */
export interface WasmRun {
  readonly io: RunIo;
  /** The most linear memory, all memories together. */
  readonly memoryBytes: number;
  /** The most that the tool may write to files. */
  readonly diskBytes: number;
}

export interface WasmOutcome {
  readonly exit: Exit;
  readonly readings: readonly LimitReading[];
  readonly files: readonly OutputFile[];
  readonly limitHit?: { readonly limit: Limit; readonly observed?: number };
}

/** An artifact that went through ingest: compiled, its imports checked. Cached by digest; holds nothing of any run. */
export interface ReadyArtifact {
  readonly abi: WasmAbi;
  /** What it costs to keep, in bytes. */
  readonly weight: number;
  run(run: WasmRun): Promise<WasmOutcome> | WasmOutcome;
}
