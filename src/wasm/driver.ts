import type { Capability, Leftover, Plan, ReapReport } from "../backend.ts";
import type { EngineArtifact } from "./agreed.ts";
import type { WasmIo, WasmReport } from "./run-types.ts";

export type DriverProbe =
  | {
      readonly status: "ready";
      readonly notes?: readonly string[];
      /** What it runs. Default: WebAssembly alone. */
      readonly artifacts?: readonly EngineArtifact[];
      /** What it enforces otherwise than the engine by itself does. */
      readonly limits?: Capability["limits"];
    }
  | { readonly status: "unavailable"; readonly reason: string; readonly advice: string };

/**
 * Where modules run: in this process (`InlineDriver`), in one of their own that can be killed, in which an `InlineDriver`
 * runs them, or in an isolate of their own (`LoaderDriver`). The backend asks the driver that the plan's isolation names; a
 * driver never hands a plan to another.
 */
export interface WasmDriver {
  readonly isolation: "wasm" | "wasm-process" | "isolate";
  probe(): Promise<DriverProbe>;
  /** As the backend's. */
  prepare(plan: Plan, signal: AbortSignal): Promise<void> | void;
  run(plan: Plan, io: WasmIo): Promise<WasmReport>;
  /** What an earlier, killed process left. */
  leftovers(): Promise<readonly Leftover[]>;
  /** Ends that. */
  reap(): Promise<ReapReport>;
  close(): Promise<void>;
}
