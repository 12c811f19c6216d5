import { closeSync, fstatSync, mkdirSync, openSync, readSync, truncateSync, writeSync } from "node:fs";
import { hash } from "node:crypto";
import { dirname } from "node:path";
import { ToolRuntimeError } from "../../errors.ts";
import { createAuditLog, type AuditLog } from "../../store.ts";

/** The longest line that is looked for at a file's end. */
const tailBytes = 64 * 1024;

/** Reads the last whole line; a line that a crash cut is taken off. */
function lastLine(file: string, descriptor: number): string | undefined {
  const { size } = fstatSync(descriptor);
  const start = Math.max(0, size - tailBytes);
  const bytes = Buffer.alloc(size - start);
  readSync(descriptor, bytes, 0, bytes.length, start);
  const end = bytes.lastIndexOf(0x0a);
  if (end + 1 < bytes.length) truncateSync(file, start + end + 1);
  if (end === -1) return undefined;
  return bytes.subarray(bytes.lastIndexOf(0x0a, end - 1) + 1, end).toString("utf8");
}

export interface AuditFile {
  readonly audit: AuditLog;
  close(): void;
}

/**
 * The audit log of a Node service: in memory, and appended to a file, where it goes on with the chain that is there.
 *
 * @throws `ERR_CONFIG_INVALID` where the file cannot be opened or is no audit log.
 */
export function openAudit(file: string | undefined): AuditFile {
  const sync = (text: string) => `sha256:${hash("sha256", text, "hex")}` as const;
  if (file === undefined) return { audit: createAuditLog({ hash: sync }), close() {} };
  try {
    mkdirSync(dirname(file), { recursive: true });
    const descriptor = openSync(file, "a+", 0o600);
    const last = lastLine(file, descriptor);
    const sink = (line: string): void => void writeSync(descriptor, `${line}\n`);
    return {
      audit: createAuditLog({ hash: sync, sinks: [sink], ...(last === undefined ? {} : { last }) }),
      close: () => closeSync(descriptor),
    };
  } catch (error) {
    const why = error instanceof SyntaxError ? "its last line is no audit record" : error instanceof Error ? error.message : String(error);
    throw new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot write the audit log to ${JSON.stringify(file)}: ${why}`, { cause: error });
  }
}
