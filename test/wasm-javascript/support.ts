import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import {
  createRuntime,
  defineTool,
  ToolRuntimeError,
  type LimitReceipt,
  type Result,
  type Runtime,
  type Task,
  type Tool,
} from "../../src/index.ts";
import { wasm } from "../../src/wasm/index.ts";
import { quickJs } from "../../src/wasm/javascript/node.ts";

export function readQuickJs(): Promise<Uint8Array> {
  return readFile(createRequire(import.meta.url).resolve("@jitl/quickjs-wasmfile-release-sync/wasm"));
}

export function openRuntime(): Runtime {
  return createRuntime({ backend: wasm({ javascript: quickJs() }), security: "standard" });
}

export type More = Omit<Task, "tool" | "input"> & { readonly outputSchema?: boolean };

export function snippet(source: string, { outputSchema = false }: Pick<More, "outputSchema"> = {}): Promise<Tool> {
  return defineTool({
    name: "snippet",
    version: "1.0.0",
    description: "Of the tests",
    inputSchema: true,
    ...(outputSchema ? { outputSchema: true } : {}),
    artifacts: { code: { language: "javascript", source } },
  });
}

/** One for all tests of a file: QuickJS is metered once. */
const shared = openRuntime();

export async function run(source: string, input: unknown = {}, { outputSchema = false, ...task }: More = {}): Promise<Result> {
  return shared.execute({ ...task, tool: await snippet(source, { outputSchema }), input });
}

/** The error that ends a run. */
export async function failure(work: Promise<unknown>): Promise<ToolRuntimeError> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof ToolRuntimeError) return error;
  throw new Error("the run did not fail as it should", { cause: error });
}

export function receiptOf(limits: readonly LimitReceipt[] | undefined, limit: string): LimitReceipt | undefined {
  return limits?.find((one) => one.limit === limit);
}
