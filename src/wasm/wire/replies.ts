import * as z from "zod/mini";
import type { RunReport } from "../../backend.ts";
import { errorCodes, ToolRuntimeError, type ErrorCode } from "../../errors.ts";
import { limitNames, type Limit } from "../../limits.ts";
import { ProtocolError } from "./frames.ts";

const shortText = z.string().check(z.maxLength(500));
const amount = z.number().check(z.nonnegative());
const limit = z.enum(limitNames as readonly [Limit, ...Limit[]]);

const readingSchema = z.strictObject({
  limit,
  applied: z.optional(amount),
  enforcedBy: z.optional(shortText),
  source: z.optional(shortText),
  peak: z.optional(amount),
  hit: z.optional(z.enum(["yes", "no", "unknown"])),
  note: z.optional(shortText),
});

const exitSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("exited"), code: z.int().check(z.gte(0), z.lte(0xffff_ffff)) }),
  z.strictObject({ kind: z.literal("trapped"), trap: shortText }),
]);

const doneSchema = z.strictObject({
  exit: exitSchema,
  readings: z.array(readingSchema).check(z.maxLength(32)),
  limitHit: z.optional(z.strictObject({ limit, observed: z.optional(amount) })),
  /** Processor time of the run by the count of whoever ran it, in ms; a child process has one. */
  cpuMs: z.optional(amount),
});

const failedSchema = z.strictObject({
  code: z.enum(Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]]),
  message: z.string().check(z.maxLength(10_000)),
  details: z.record(z.string().check(z.maxLength(100)), z.json()),
});

const fileSchema = z.strictObject({ path: z.string().check(z.minLength(1), z.maxLength(4096)) });

export interface Done extends Pick<RunReport, "exit" | "readings" | "limitHit"> {
  readonly cpuMs?: number;
}

function parse<T>(schema: z.ZodMiniType<T>, json: string, what: string): T {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new ProtocolError(`its ${what} is no JSON`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ProtocolError(`its ${what} has another shape`);
}

/** Leaves out what is `undefined`: optional properties that are there must have a value. */
function defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

/** @throws ProtocolError. */
export function parseDone(json: string): Done {
  const { exit, readings, limitHit, cpuMs } = parse(doneSchema, json, "report");
  return {
    exit,
    readings: readings.map(defined),
    ...(cpuMs === undefined ? {} : { cpuMs }),
    ...(limitHit === undefined ? {} : { limitHit: defined(limitHit) }),
  };
}

/** @throws ProtocolError. */
export function parseFailed(json: string): ToolRuntimeError {
  const { code, message, details } = parse(failedSchema, json, "error");
  return new ToolRuntimeError(code, message, { details });
}

/**
 * Threat: a path that leads out of the folder in which somebody puts the tool's files.
 *
 * @throws ProtocolError.
 */
export function parseFilePath(json: string): string {
  const { path } = parse(fileSchema, json, "file");
  const isOdd = path.includes("\0") || path.split("/").some((part) => part === "" || part === "." || part === "..");
  if (isOdd) throw new ProtocolError("it sent a file with a path that leads elsewhere");
  return path;
}
