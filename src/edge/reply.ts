import { ToolRuntimeError, toToolRuntimeError } from "../errors.ts";
import type { Outcome } from "../store.ts";
import { mediaTypes, wireHeaders } from "../internal/wire-names.ts";
import type { Problem } from "../wire.ts";
import { statusTable } from "./status.ts";

/** Answers are data, never a page: nothing in one may run or be framed, and no cache may keep it. */
const guardHeaders = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
} as const;

/** An answer's head is a plain object: hosts write such a one to the socket without building a `Headers`. */
export function headersOf(requestId: string, contentType: string, extra?: Readonly<Record<string, string>>): Record<string, string> {
  return { "content-type": contentType, [wireHeaders.requestId]: requestId, ...guardHeaders, ...extra };
}

export function replyJson(requestId: string, status: number, json: string, extra?: Readonly<Record<string, string>>): Response {
  return new Response(json, { status, headers: headersOf(requestId, mediaTypes.json, extra) });
}

/** The problem document of an error (RFC 9457 §3). What went wrong inside stays in the log. */
export function problemOf(error: ToolRuntimeError, requestId: string): Problem {
  const { code, id, backend, partial } = error;
  const { status, title } = statusTable[code];
  const isInternal = code === "ERR_INTERNAL" && error.cause !== undefined;
  return {
    type: `urn:toolruntime:error:${code}`,
    title,
    status,
    detail: isInternal ? `Cannot answer the request: the service failed; its log has the cause under "${requestId}"` : error.message,
    code,
    actor: error.actor,
    retryable: error.retryable,
    started: error.started,
    ...(id === undefined ? {} : { id }),
    ...(backend === undefined ? {} : { backend }),
    details: error.details,
    ...(partial === undefined ? {} : { partial: { ...partial, limits: [...partial.limits] } }),
    requestId,
  };
}

/** It may come from a node. */
const ticketPattern = /^[\w.:-]{1,200}$/;

function retryAfter(error: ToolRuntimeError, status: number): Record<string, string> {
  if (status !== 429 && status !== 503) return {};
  const { retryAfterMs } = error.details;
  const { ticket } = error.details;
  return {
    ...(typeof ticket === "string" && ticketPattern.test(ticket) ? { [wireHeaders.ticket]: ticket } : {}),
    "retry-after": String(Math.max(1, Math.ceil((typeof retryAfterMs === "number" ? retryAfterMs : 1000) / 1000))),
  };
}

/** The head of an answer that carries a problem document. */
export function problemHeaders(error: ToolRuntimeError, status: number): Record<string, string> {
  return {
    ...retryAfter(error, status),
    ...(status === 401 ? { "www-authenticate": "Bearer" } : {}),
    // The rest of a body that is not wanted is not read to its end.
    ...(status === 413 ? { connection: "close" } : {}),
  };
}

export function replyProblem(requestId: string, cause: unknown, extra?: Readonly<Record<string, string>>): Response {
  const error = toToolRuntimeError(cause);
  const problem = problemOf(error, requestId);
  const headers = headersOf(requestId, mediaTypes.problem, { ...problemHeaders(error, problem.status), ...extra });
  return new Response(JSON.stringify(problem), { status: problem.status, headers });
}

export function outcomeOf(error: ToolRuntimeError, requestId: string, seq: number): Outcome {
  const problem = problemOf(error, requestId);
  const { status } = problem;
  const mayPass = !error.started && (error.retryable || error.code === "ERR_ABORTED");
  return { kind: "error", status, json: JSON.stringify(problem), headers: problemHeaders(error, status), seq, isFinal: !mayPass };
}

/** Whoever gets this answer, it is the same; only the request id is his own. */
export function replyOutcome(requestId: string, { kind, status, json, headers }: Outcome): Response {
  const type = kind === "result" ? mediaTypes.json : mediaTypes.problem;
  return new Response(json, { status, headers: headersOf(requestId, type, headers) });
}
