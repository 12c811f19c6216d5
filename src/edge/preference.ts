import { parseAccept } from "hono/utils/accept";
import { mediaTypes } from "../internal/wire-names.ts";
import type { StreamFormat } from "./event-stream.ts";

/** What a caller prefers (RFC 7240); what is not understood is left aside, as §2 wants. */
export interface Preference {
  readonly respondAsync: boolean;
  /** How long the caller would wait for the answer. */
  readonly waitMs: number | undefined;
  /** Whether what the events have brought is not wanted once more. */
  readonly isMinimal: boolean;
}

const none: Preference = { respondAsync: false, waitMs: undefined, isMinimal: false };

export function parsePrefer(header: string | undefined): Preference {
  if (header === undefined) return none;
  const tokens = header.split(",").map((token) => token.trim().toLowerCase());
  const wait = tokens.map((token) => /^wait=(\d{1,6})$/.exec(token)?.[1]).find((seconds) => seconds !== undefined);
  return {
    respondAsync: tokens.includes("respond-async"),
    waitMs: wait === undefined ? undefined : Number(wait) * 1000,
    isMinimal: tokens.includes("return=minimal"),
  };
}

export type AnswerFormat = "json" | StreamFormat;

const formats: Readonly<Record<string, AnswerFormat>> = {
  [mediaTypes.json]: "json",
  "application/*": "json",
  "*/*": "json",
  [mediaTypes.ndjson]: "ndjson",
  [mediaTypes.sse]: "sse",
};

/** The first that the service can give, by the caller's weights; JSON where it names none. */
export function acceptedFormat(accept: string | undefined, fallback: AnswerFormat = "json"): AnswerFormat {
  if (accept === undefined || accept === "*/*") return fallback;
  const wanted = parseAccept(accept).toSorted((a, b) => b.q - a.q);
  const found = wanted.find(({ type }) => Object.hasOwn(formats, type));
  return (found === undefined || found.type === "*/*" ? undefined : formats[found.type]) ?? fallback;
}
