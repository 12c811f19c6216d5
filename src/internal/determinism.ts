import type { Determinism } from "../backend.ts";
import { ToolRuntimeError } from "../errors.ts";
import type { Task } from "../runtime.ts";

const maxSeedLength = 1000;
/** RFC 3339, with seconds that may be left out. Other formats that `Date.parse` takes mean other times on other machines. */
const timePattern = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d))?$/;
/** 1970 up to the last second of the year 9999: what every calendar of a guest can show. */
const maxTimeMs = 253_402_300_799_999;

function invalid(part: "seed" | "now", value: unknown, accepted: string): ToolRuntimeError {
  return new ToolRuntimeError(
    "ERR_ARGUMENT_INVALID",
    `Cannot use ${JSON.stringify(String(value).slice(0, 100))} as "deterministic.${part}": it takes ${accepted}`,
    { details: { option: `deterministic.${part}` } },
  );
}

/** @throws `ERR_ARGUMENT_INVALID`. */
export function parseDeterminism({ seed, now }: NonNullable<Task["deterministic"]>): Determinism {
  const text = typeof seed === "number" && Number.isSafeInteger(seed) ? String(seed) : seed;
  if (typeof text !== "string" || text.length > maxSeedLength) {
    throw invalid("seed", seed, `a whole number or a text of at most ${maxSeedLength} characters`);
  }
  const nowMs = typeof now === "string" && timePattern.test(now) ? Date.parse(now) : now;
  if (typeof nowMs !== "number" || !Number.isSafeInteger(nowMs) || nowMs < 0 || nowMs > maxTimeMs) {
    throw invalid("now", now, 'milliseconds since 1970, or a time as "2026-01-31T12:00:00Z", from 1970 to 9999');
  }
  return { seed: text, nowMs };
}
