import { readFileSync } from "node:fs";
import type { InputFile, RunReport } from "../../src/backend.ts";
import type { ReadyArtifact } from "../../src/wasm/artifact.ts";
import { readyExtism } from "../../src/wasm/extism/plugin.ts";

const decoder = new TextDecoder();
const encoder = new TextEncoder();

export const MiB = 2 ** 20;

export function guest(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`guests/${name}.wasm`, import.meta.url)));
}

export function ready(name: string, entry?: string): Promise<ReadyArtifact> {
  return readyExtism(guest(name), { tool: name, ...(entry === undefined ? {} : { entry }) });
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly files?: readonly InputFile[];
  readonly env?: Readonly<Record<string, string>>;
  readonly memoryBytes?: number;
  readonly diskBytes?: number;
  readonly signal?: AbortSignal;
  readonly onStdout?: (bytes: Uint8Array) => void | Promise<void>;
  readonly onStderr?: (bytes: Uint8Array) => void | Promise<void>;
}

export interface Ran {
  readonly outcome: RunReport;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs once, with the runtime's side of the contract played by buffers. */
export async function runOnce(artifact: ReadyArtifact, options: RunOptions = {}): Promise<Ran> {
  const written = { stdout: "", stderr: "" };
  const { input = "", onStdout, onStderr } = options;
  const outcome = await artifact.run({
    memoryBytes: options.memoryBytes ?? 16 * MiB,
    diskBytes: options.diskBytes ?? MiB,
    io: {
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
    },
  });
  return { outcome, ...written };
}
