import { ToolRuntimeError } from "../../../errors.ts";

/** `where` is a key, or a file with line and column, or a file. */
export function configError(where: string, problem: string, cause?: unknown): ToolRuntimeError {
  return new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot use the configuration: ${where}: ${problem}`, {
    details: { where, problem },
    ...(cause === undefined ? {} : { cause }),
  });
}

export function reasonOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown reason";
}
