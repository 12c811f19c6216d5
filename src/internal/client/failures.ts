import { errorCodes, ToolRuntimeError, type ErrorCode } from "../../errors.ts";
import type { Problem } from "../../wire.ts";

/** Who was asked, and whether a tool may have begun to run where no answer, or none that can be read, came. */
export interface Asked {
  /** Named in messages: `the service at "https://…"`, `the node "a"`. */
  readonly peer: string;
  readonly mayHaveStarted: boolean;
}

/** What systems and engines say where no connection came about, so that nothing can have been sent. */
const neverConnected: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EADDRNOTAVAIL",
  "UND_ERR_CONNECT_TIMEOUT",
  "ConnectionRefused",
  "FailedToOpenSocket",
]);

/** The code of a failure, which may lie some causes deep; Deno says it in words alone. */
function reasonOf(cause: unknown): string | undefined {
  let at = cause;
  for (let depth = 0; depth < 5 && at instanceof Error; depth++, at = at.cause) {
    if ("code" in at && typeof at.code === "string") return at.code;
    if (/client error \(Connect\)|Connection refused/i.test(at.message)) return "ECONNREFUSED";
  }
  return undefined;
}

/** No connection, or one that ended before the answer did. */
export function connectionFailed({ peer, mayHaveStarted }: Asked, cause?: unknown): ToolRuntimeError {
  const reason = reasonOf(cause);
  const isUnsent = reason !== undefined && neverConnected.has(reason);
  const message = isUnsent
    ? `Cannot reach ${peer}: no connection came about (${reason})`
    : `Cannot get the answer of ${peer}: the connection ended before it did${reason === undefined ? "" : ` (${reason})`}`;
  return new ToolRuntimeError("ERR_CONNECTION_FAILED", message, {
    started: mayHaveStarted && !isUnsent,
    details: reason === undefined ? {} : { reason },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Nothing came for too long over a connection that has not ended. */
export function connectionSilent({ peer, mayHaveStarted }: Asked, idleMs: number): ToolRuntimeError {
  return new ToolRuntimeError("ERR_CONNECTION_FAILED", `Cannot get the answer of ${peer}: nothing came for ${idleMs} ms`, {
    started: mayHaveStarted,
    details: { idleMs },
  });
}

/** Something answered, but not as the protocol has it. What it said stays out of the message. */
export function answerInvalid(
  { peer, mayHaveStarted }: Asked,
  problem: string,
  details: Readonly<Record<string, unknown>> = {},
): ToolRuntimeError {
  return new ToolRuntimeError("ERR_ANSWER_INVALID", `Cannot read the answer of ${peer}: ${problem}`, {
    started: mayHaveStarted,
    details: { problem, ...details },
  });
}

function isCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCodes, code);
}

/** The error that a problem document tells of. One with a code of a later version is told by what it says of the start. */
export function errorOfProblem(problem: Problem, { peer }: Asked, retryAfterMs?: number): ToolRuntimeError {
  const { code, detail, started, id, backend, details, partial } = problem;
  if (!isCode(code)) {
    const asked = { peer, mayHaveStarted: started };
    return answerInvalid(asked, "its problem has a code that this version does not know", { code: String(code).slice(0, 100) });
  }
  const wait = retryAfterMs === undefined || "retryAfterMs" in details ? {} : { retryAfterMs };
  return new ToolRuntimeError(code, detail, {
    started,
    details: { ...details, ...wait },
    ...(id === undefined ? {} : { id }),
    ...(backend === undefined ? {} : { backend }),
    ...(partial === undefined ? {} : { partial }),
  });
}

/** The error of a call whose signal was aborted: its reason where that is one, else `ERR_ABORTED`. */
export function abortedError(signal: AbortSignal, mayHaveStarted: boolean): ToolRuntimeError {
  const reason: unknown = signal.reason;
  if (reason instanceof ToolRuntimeError) return reason.with({ started: mayHaveStarted });
  return new ToolRuntimeError("ERR_ABORTED", "Cannot finish the call: the caller ended it", { started: mayHaveStarted, cause: reason });
}
