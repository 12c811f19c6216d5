import type { RunIo, RunReport } from "../backend.ts";

/** A file whose bytes are in memory. `path` is relative, with `/`. */
export interface MemoryFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** The runtime's side of a run in the engine, which has its files in memory and hands back those of `out` with its report. */
export interface WasmIo extends Omit<RunIo, "files" | "file"> {
  readonly files: readonly MemoryFile[];
}

export interface WasmReport extends RunReport {
  readonly files: readonly MemoryFile[];
}
