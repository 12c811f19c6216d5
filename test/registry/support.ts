import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ToolRuntimeError } from "../../src/errors.ts";
import type { Tool } from "../../src/tool.ts";

/** The smallest module: magic number and version. */
export const emptyModule = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);

export interface Scratch extends AsyncDisposable {
  readonly path: string;
}

export async function scratchFolder(): Promise<Scratch> {
  const path = await realpath(await mkdtemp(join(tmpdir(), "toolruntime-test-")));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

export function manifestOf(name: string, changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    name,
    version: "1.0.0",
    description: "A tool of a test",
    inputSchema: { type: "object" },
    artifacts: { wasm: { file: "module.wasm" } },
    ...changes,
  };
}

/** Makes `folder/name` with a manifest and an empty module. */
export async function makeTool(folder: string, name: string, changes: Record<string, unknown> = {}): Promise<string> {
  const path = join(folder, name);
  await mkdir(path, { recursive: true });
  await writeFile(join(path, "module.wasm"), emptyModule);
  await writeFile(join(path, "tool.json"), JSON.stringify(manifestOf(name, changes)));
  return path;
}

/** The error that a promise rejects with. */
export async function failureOf(work: Promise<unknown>): Promise<ToolRuntimeError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof ToolRuntimeError) return error;
  throw new Error(`No ToolRuntimeError but ${String(error)}`);
}

/** Waits until a condition holds; throws after five seconds. */
export async function until(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 5000;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error("It did not come to hold within five seconds");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Reads the module of a tool that was loaded from disk. */
export function readModule({ sources }: Tool): Promise<Uint8Array> {
  if (typeof sources.wasm === "function") return sources.wasm();
  throw new Error("The tool has no module that is read later");
}
