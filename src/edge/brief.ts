import type { Result } from "../runtime.ts";

/** Up to here whoever asks again by idempotency key gets all of it. */
const shortCharacters = 16 * 1024;

/** A result as JSON: without what the tool wrote, where its reader has had that as events and it is long. */
export function resultJson(result: Result, isBrief: boolean): string {
  const { output, stdout, stderr } = result;
  const characters = stdout.length + stderr.length + (typeof output === "string" ? output.length : 0);
  // An output that is read as JSON is as long as stdout, which is cut where it is captured.
  if (!isBrief || (characters <= shortCharacters && !result.truncated.stdout)) return JSON.stringify(result);
  return JSON.stringify({ ...result, output: null, stdout: "", stderr: "", brief: true });
}
