import { parentPort, workerData } from "node:worker_threads";
import { BinaryError, BoundError } from "../binary.ts";
import { meterModule, type MeterOptions } from "../meter/index.ts";
import type { Reply } from "./reply.ts";

/** The thread's own main module: one module in, one out. */
const { bytes, options }: { readonly bytes: Uint8Array; readonly options: MeterOptions } = workerData;

function meter(): Reply {
  try {
    return { kind: "metered", metered: meterModule(bytes, options) };
  } catch (error) {
    if (error instanceof BinaryError) return { kind: error instanceof BoundError ? "bound" : "binary", message: error.message };
    throw error;
  }
}

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port of a thread, not a window
parentPort?.postMessage(meter());
