import { readFileSync } from "node:fs";
import type { MemoryFile, WasmIo, WasmReport } from "../../src/wasm/run-types.ts";
import type { WasmAbi } from "../../src/tool.ts";
import { artifactFormat } from "../../src/wasm/agreed.ts";
import type { ReadyArtifact, WasmRun } from "../../src/wasm/artifact.ts";
import { makeExtism } from "../../src/wasm/extism/make.ts";
import { compileArtifact } from "../../src/wasm/compile.ts";
import type { Making } from "../../src/wasm/ingest.ts";
import type { MadeParts } from "../../src/wasm/made.ts";
import { MemoryPool } from "../../src/wasm/memory-pool.ts";
import { allAbis } from "../../src/wasm/abi/all.ts";
import { readyArtifact } from "../../src/wasm/abi/runner.ts";
import { Slices } from "../../src/wasm/slices.ts";
import { systemClock } from "../../src/wasm/wasi/clock.ts";
import type { Surroundings } from "../../src/wasm/surroundings.ts";
import { Turns } from "../../src/wasm/turns.ts";

const decoder = new TextDecoder();
const encoder = new TextEncoder();

export const MiB = 2 ** 20;

export function guest(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`guests/${name}.wasm`, import.meta.url)));
}

export function makingOf(tool: string): Making {
  return { tool, deterministic: false };
}

/** Compiles what an ABI made, and has it run with memories of its own. */
export async function readyOf(abi: WasmAbi, tool: string, parts: MadeParts): Promise<ReadyArtifact> {
  const made = { format: artifactFormat, abi, of: `sha256:${"0".repeat(64)}`, deterministic: false, ...parts } as const;
  return readyArtifact(allAbis(), await compileArtifact(made, { tool, maxCompileMs: 10_000 }), { tool, pool: new MemoryPool(16 * MiB) });
}

export async function ready(name: string, entry = "run"): Promise<ReadyArtifact> {
  return readyOf("extism", name, await makeExtism(guest(name), makingOf(name), { entry }));
}

/** The exit of a run that a limit or somebody outside ended; the runtime says why. */
export const endedByHost = { kind: "trapped", trap: "ended by the host" };

export interface RunOptions {
  /** How long a guest may hold the event loop where nothing can suspend it. Default: as in a service. */
  readonly inlineMs?: number | undefined;
  readonly input?: string | Uint8Array;
  readonly files?: readonly MemoryFile[];
  readonly env?: Readonly<Record<string, string>>;
  readonly memoryBytes?: number;
  readonly diskBytes?: number;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  /** The host's clocks and random bytes unless given. */
  readonly surroundings?: Surroundings;
  readonly onStdout?: (bytes: Uint8Array) => void | Promise<void>;
  readonly onStderr?: (bytes: Uint8Array) => void | Promise<void>;
}

export interface Ran {
  readonly outcome: WasmReport;
  readonly slices: Slices;
  readonly stdout: string;
  readonly stderr: string;
}

/** One run in a process where nothing else runs. */
export function runOf(io: WasmIo, options: RunOptions = {}): WasmRun {
  const { surroundings = { clockFor: () => systemClock } } = options;
  const slices = new Slices(io, new Turns(), { timeoutMs: options.timeoutMs, inlineMs: options.inlineMs });
  return {
    io,
    memoryBytes: options.memoryBytes ?? 16 * MiB,
    diskBytes: options.diskBytes ?? MiB,
    slices,
    surroundings,
    clock: surroundings.clockFor(() => slices.meter.used),
  };
}

/** Runs once, with the runtime's side of the contract played by buffers. */
export async function runOnce(artifact: ReadyArtifact, options: RunOptions = {}): Promise<Ran> {
  const written = { stdout: "", stderr: "" };
  const { input = "", onStdout, onStderr } = options;
  const io: WasmIo = {
    id: "ex_test",
    stdin: typeof input === "string" ? encoder.encode(input) : input,
    files: options.files ?? [],
    env: options.env ?? {},
    maxOutputFiles: 16,
    stdout: (bytes) => {
      written.stdout += decoder.decode(bytes);
      return onStdout?.(bytes);
    },
    stderr: (bytes) => {
      written.stderr += decoder.decode(bytes);
      return onStderr?.(bytes);
    },
    started: () => {},
    signal: options.signal ?? new AbortController().signal,
  };
  const run = runOf(io, options);
  const outcome = await artifact.run(run);
  return { outcome, slices: run.slices, ...written };
}
