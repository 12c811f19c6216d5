import type * as z from "zod/mini";
import { formatProblems, inEnglish, problemsOf } from "../internal/zod-problem.ts";
import { ackRequestSchema, leaseRequestSchema } from "../wire.ts";
import { invalid, readJson } from "./body.ts";
import type { Settings } from "./options.ts";
import type { AppContext } from "./scope.ts";

/** Bodies of a member or two. Loaded with the first one: an isolate is asked before it has read all its code. */
async function readAs<S extends z.ZodMiniType>(
  c: AppContext,
  settings: Settings,
  [schema, what]: readonly [S, string],
): Promise<z.output<S>> {
  const parsed = schema.safeParse((await readJson(c, settings)).value, inEnglish);
  if (parsed.success) return parsed.data;
  throw invalid(what, formatProblems(problemsOf(schema, parsed.error)));
}

/** @throws `ERR_INPUT_INVALID`, `ERR_ARGUMENT_INVALID`. */
export function readLease(c: AppContext, settings: Settings): Promise<z.output<typeof leaseRequestSchema>> {
  return readAs(c, settings, [leaseRequestSchema, "the lease"]);
}

/** @throws `ERR_INPUT_INVALID`, `ERR_ARGUMENT_INVALID`. */
export function readAck(c: AppContext, settings: Settings): Promise<z.output<typeof ackRequestSchema>> {
  return readAs(c, settings, [ackRequestSchema, "the acknowledgement"]);
}
