import { ToolRuntimeError } from "../../../errors.ts";

export function configError(source: string, problem: string, cause?: unknown): ToolRuntimeError {
  return new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot use the configuration ${JSON.stringify(source)}: ${problem}`, {
    details: { source, problem },
    ...(cause === undefined ? {} : { cause }),
  });
}

export function reasonOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown reason";
}
