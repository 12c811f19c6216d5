import { availableParallelism } from "node:os";
import type { ComponentTranspiler } from "../component/transpiler.ts";
import type { Offload } from "../ingest.ts";
import type { JavaScriptEngine } from "../javascript/engine.ts";
import { quickJs } from "../javascript/node.ts";
import type { ProcessSettings } from "./driver.ts";

export interface ProcessOptions {
  /** How many processes may have a tool at once; more runs wait. Default: one for each processor, at least 2. */
  readonly maxChildren?: number;
  /** How many started processes wait without a tool, besides. Default 1. */
  readonly spares?: number;
  /** How many runs may wait for a process; more are refused with `ERR_QUEUE_FULL`. Default 256. */
  readonly maxQueue?: number;
  /** How long a run may wait for a process, in ms. Default 30,000. */
  readonly maxWaitMs?: number;
  /** How long a process that has a tool is kept for the next run of it, in ms. Default 60,000. */
  readonly idleMs?: number;
  /** How many runs of its tool a process serves before another takes its place. Default 1000; 1 gives each run a process. */
  readonly maxRuns?: number;
  /** How much memory a process may keep between runs beyond what it began with, in bytes. Default 128 MiB. */
  readonly maxGrowthBytes?: number;
  /** How long a process may take to get a tool ready, in ms. Default 60,000. */
  readonly prepareTimeoutMs?: number;
  /** What a process may have besides the guest's memory where a cgroup bounds it, in bytes. Default 384 MiB. */
  readonly overheadBytes?: number;
  /** The largest memory limit that a spare can serve, in bytes; for a larger one a process is started. Default 640 MiB. */
  readonly spareMemoryBytes?: number;
  /** The largest artifact, in bytes. Default 64 MiB. */
  readonly maxArtifactBytes?: number;
  /** What made artifacts may take in this process that wait for the next one to be given to, in bytes. Default 128 MiB. */
  readonly maxMadeBytes?: number;
  /** Makes components ready, in this process: `jcoTranspiler()`. Without it they are refused. */
  readonly components?: ComponentTranspiler;
  /** Runs snippets. Default `quickJs()`. */
  readonly javascript?: JavaScriptEngine;
  /** Rewrites large modules off this process's event loop: `threadOffload()`. Without it they are rewritten on it. */
  readonly offload?: Offload;
  /** The program of the processes, for a service that is bundled: `src/wasm/process/child.ts` as a file of its own. */
  readonly entry?: URL;
  /** `"none"` makes no cgroups. Default `"auto"`: where they can be made. */
  readonly cgroup?: "auto" | "none";
  /** `"same"` leaves a process its service's user. Default `"auto"`: a user of its own where the service is root. */
  readonly user?: "auto" | "same";
  /** `"none"` makes no namespaces. Default `"auto"`: where they can be made. */
  readonly namespaces?: "auto" | "none";
}

const MiB = 2 ** 20;

/** The options with every default in place. */
export function readOptions(options: ProcessOptions): ProcessSettings {
  return {
    maxChildren: Math.max(1, options.maxChildren ?? Math.max(2, availableParallelism())),
    spares: options.spares ?? 1,
    maxQueue: options.maxQueue ?? 256,
    maxWaitMs: options.maxWaitMs ?? 30_000,
    idleMs: options.idleMs ?? 60_000,
    maxRuns: options.maxRuns ?? 1000,
    maxGrowthBytes: options.maxGrowthBytes ?? 128 * MiB,
    prepareTimeoutMs: options.prepareTimeoutMs ?? 60_000,
    overheadBytes: options.overheadBytes ?? 384 * MiB,
    spareMemoryBytes: options.spareMemoryBytes ?? 640 * MiB,
    maxArtifactBytes: options.maxArtifactBytes ?? 64 * MiB,
    maxMadeBytes: options.maxMadeBytes ?? 128 * MiB,
    components: options.components,
    javascript: options.javascript ?? quickJs(),
    offload: options.offload,
    cgroup: options.cgroup ?? "auto",
    user: options.user ?? "auto",
    namespaces: options.namespaces ?? "auto",
    entry: options.entry ?? new URL(import.meta.url.endsWith(".ts") ? "./child.ts" : "./child.js", import.meta.url),
  };
}
