import { Worker } from "node:worker_threads";
import { BinaryError, BoundError } from "../binary.ts";
import type { MeteredModule, MeterOptions } from "../meter/index.ts";
import type { Reply } from "./reply.ts";

/** What the thread may take, in MiB: a module of 64 MiB, its notes and what comes of it. */
const maxHeapMiB = 1024;

/**
 * Meters modules in a thread, so that the serving event loop goes on meanwhile: `wasm({ offload: threadOffload() })`. A thread
 * lives for one module; one module is metered at a time, the others wait.
 */
export function threadOffload(): (bytes: Uint8Array, options: MeterOptions) => Promise<MeteredModule> {
  let last: Promise<unknown> = Promise.resolve();
  return (bytes, options) => {
    const metered = last.then(() => meterInThread(bytes, options));
    last = metered.catch(() => undefined);
    return metered;
  };
}

async function meterInThread(bytes: Uint8Array, options: MeterOptions): Promise<MeteredModule> {
  const entry = new URL(import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js", import.meta.url);
  const worker = new Worker(entry, {
    workerData: { bytes, options },
    env: {},
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: maxHeapMiB },
  });
  try {
    const reply = await new Promise<Reply>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
      worker.once("exit", (code) => reject(new Error(`the thread that meters modules ended with ${code}`)));
    });
    if (reply.kind === "metered") return reply.metered;
    throw reply.kind === "bound" ? new BoundError(reply.message) : new BinaryError(reply.message);
  } finally {
    await worker.terminate();
  }
}
