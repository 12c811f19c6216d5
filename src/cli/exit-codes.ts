import type { ErrorCode } from "../errors.ts";

/**
 * What the command ends with. `run` ends with the tool's own code, 0 to 255; 125 for what toolruntime refused or ended is
 * the custom of programs that run other programs (docker, env, nohup).
 */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  refused: 125,
  interrupted: 130,
  brokenPipe: 141,
} as const;

/** A mistake on the command line itself: one line, a hint at `--help`, and exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Errors that say what was wrong with what the user typed. */
export function isUsageCode(code: ErrorCode): boolean {
  return code === "ERR_ARGUMENT_INVALID";
}
