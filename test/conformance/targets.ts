import { unsafe } from "../../src/backends/unsafe/index.ts";
import type { ConformanceOptions, Guests, OpenOptions } from "../../src/conformance/index.ts";
import { commandGuest, traceFolder, wasmGuest } from "../../src/conformance/guests/node.ts";
import { createRuntime, type Backend, type Runtime, type SecurityProfile } from "../../src/index.ts";
import { wasm } from "../../src/wasm/index.ts";
import { processDriver } from "../../src/wasm/process/index.ts";
import { bundleChild } from "../abuse/bundled-child.ts";

/** A variable of this process that no tool may see. */
export const canary = { name: "TOOLRUNTIME_CANARY", value: "canary-7f3a9c" } as const;

/** What `unsafe` sets by itself. */
const unsafeEnv = ["PATH", "HOME", "PWD", "TMPDIR"];

export interface Target {
  readonly options: ConformanceOptions;
  readonly backend: Backend;
  close(): Promise<void>;
}

/** Makes a runtime that may be another one than the right one. */
export type Open = (backend: Backend, options: OpenOptions) => Runtime;

export const openRight: Open = (backend, options) => createRuntime({ ...options, backend });

export interface TargetOptions {
  readonly open?: Open;
  readonly promptMs?: number;
  readonly profile?: SecurityProfile;
}

export async function unsafeTarget({ open = openRight, promptMs }: TargetOptions = {}): Promise<Target> {
  process.env[canary.name] = canary.value;
  const backend = unsafe({ acceptUnsafe: true, warn: () => undefined });
  const traces = await traceFolder();
  const options: ConformanceOptions = {
    name: backend.name,
    open: (settings) => open(backend, settings),
    guests: commandGuest(),
    canary,
    ambientEnv: unsafeEnv,
    trace: () => traces.trace(),
    ...(promptMs === undefined ? {} : { promptMs }),
  };
  return {
    options,
    backend,
    async close() {
      await backend.close();
      await traces.remove();
    },
  };
}

let wasmGuests: Promise<Guests> | undefined;

export async function wasmTarget({ open = openRight, promptMs, profile = "dev" }: TargetOptions = {}): Promise<Target> {
  process.env[canary.name] = canary.value;
  wasmGuests ??= wasmGuest();
  const child = profile === "hardened" ? await bundleChild() : undefined;
  const backend = child === undefined ? wasm() : wasm({ process: processDriver({ maxChildren: 6, entry: child.entry }) });
  const options: ConformanceOptions = {
    name: backend.name,
    open: (settings) => open(backend, settings),
    guests: await wasmGuests,
    profile,
    // A child's word that the tool has started waits until the service reads it.
    ...(profile === "hardened" ? { eventDelayMs: 100 } : {}),
    canary,
    ...(promptMs === undefined ? {} : { promptMs }),
  };
  return {
    options,
    backend,
    async close() {
      await backend.close();
      child?.remove();
    },
  };
}
