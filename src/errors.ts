import type { LimitReceipt } from "./limits.ts";

/** Who has to act before the same call can succeed. */
export type Actor = "caller" | "operator" | "author" | "platform";

interface CodeInfo {
  readonly actor: Actor;
  /** Whether the same call, sent again unchanged, may succeed. */
  readonly retryable: boolean;
}

const caller: CodeInfo = { actor: "caller", retryable: false };
const operator: CodeInfo = { actor: "operator", retryable: false };
const author: CodeInfo = { actor: "author", retryable: false };

/**
 * The closed list of error codes. A code never changes its meaning and is never used again for another one. Each has a
 * heading of its own in `docs/errors.md`.
 */
export const errorCodes = {
  ERR_ABORTED: caller,
  ERR_ANSWER_INVALID: operator,
  ERR_ARGUMENT_INVALID: caller,
  ERR_ARTIFACT_INVALID: author,
  ERR_ARTIFACT_TOO_LARGE: author,
  ERR_ARTIFACT_UNSUPPORTED: operator,
  ERR_ATTESTATION: operator,
  ERR_BACKEND_FAILED: { actor: "platform", retryable: true },
  ERR_BACKEND_UNAVAILABLE: { actor: "operator", retryable: true },
  ERR_BLOB_NOT_FOUND: caller,
  ERR_BUDGET_EXHAUSTED: caller,
  ERR_CLOSED: { actor: "operator", retryable: true },
  ERR_CONFIG_INVALID: operator,
  ERR_CONNECTION_FAILED: { actor: "operator", retryable: true },
  ERR_DEADLINE: caller,
  ERR_DETERMINISM_UNSUPPORTED: operator,
  ERR_DIGEST_MISMATCH: author,
  ERR_EXECUTION_LOST: { actor: "platform", retryable: true },
  ERR_EXECUTION_NOT_FOUND: caller,
  ERR_FORBIDDEN: caller,
  ERR_IDEMPOTENCY_CONFLICT: caller,
  ERR_IDEMPOTENCY_IN_PROGRESS: { actor: "caller", retryable: true },
  ERR_IMPORT_DENIED: author,
  ERR_INPUT_INVALID: caller,
  ERR_INPUT_TOO_LARGE: caller,
  ERR_INTERNAL: { actor: "platform", retryable: false },
  ERR_LEASE_EXPIRED: { actor: "platform", retryable: true },
  ERR_LIMIT_COMPILE: author,
  ERR_LIMIT_CPU_TIME: caller,
  ERR_LIMIT_DISK: caller,
  ERR_LIMIT_FUEL: caller,
  ERR_LIMIT_INLINE: operator,
  ERR_LIMIT_MEMORY: caller,
  ERR_LIMIT_OUTPUT: caller,
  ERR_LIMIT_PROCESSES: caller,
  ERR_LIMIT_TIMEOUT: caller,
  ERR_LIMIT_UNENFORCEABLE: caller,
  ERR_MANIFEST_INVALID: author,
  ERR_METHOD_NOT_ALLOWED: caller,
  ERR_NETWORK_UNSUPPORTED: operator,
  ERR_OUTPUT_INVALID: author,
  ERR_POLICY_DENIED: caller,
  ERR_PROFILE_UNSUPPORTED: operator,
  ERR_QUEUE_FULL: { actor: "operator", retryable: true },
  ERR_RATE_LIMITED: { actor: "caller", retryable: true },
  ERR_ROUTE_NOT_FOUND: caller,
  ERR_SECRET_UNKNOWN: operator,
  ERR_STORE_FULL: { actor: "operator", retryable: true },
  ERR_TOKEN_REPLAYED: caller,
  ERR_TOOL_NOT_FOUND: caller,
  ERR_UNAUTHORIZED: caller,
} as const satisfies Record<string, CodeInfo>;

export type ErrorCode = keyof typeof errorCodes;

/** What a run had produced when a limit, the caller or toolruntime itself ended it. */
export interface Partial {
  readonly stdout: string;
  readonly stderr: string;
  readonly truncated: { readonly stdout: boolean; readonly stderr: boolean };
  readonly limits: readonly LimitReceipt[];
}

export interface ToolRuntimeErrorOptions {
  /** Whether the tool's code had started to run. Default `false`. */
  readonly started?: boolean;
  readonly id?: string;
  readonly backend?: string;
  /** Facts for machines: plain JSON, no tool output, no secret. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly partial?: Partial;
  readonly cause?: unknown;
}

/**
 * The one error class of toolruntime. Tests and callers branch on `code`, never on the message.
 *
 * A tool that ended by itself, with whatever exit code, is a result and not an error; see `Result`.
 */
export class ToolRuntimeError extends Error {
  override readonly name = "ToolRuntimeError";
  readonly code: ErrorCode;
  readonly actor: Actor;
  readonly retryable: boolean;
  readonly started: boolean;
  readonly id: string | undefined;
  readonly backend: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;
  readonly partial: Partial | undefined;

  constructor(code: ErrorCode, message: string, options: ToolRuntimeErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    const info = errorCodes[code];
    this.code = code;
    this.actor = info.actor;
    this.retryable = info.retryable;
    this.started = options.started ?? false;
    this.id = options.id;
    this.backend = options.backend;
    this.details = options.details ?? {};
    this.partial = options.partial;
  }

  /** The same error with more context; what it already says stays. */
  with(context: ToolRuntimeErrorOptions): ToolRuntimeError {
    const started = this.started || context.started === true;
    const id = this.id ?? context.id;
    const backend = this.backend ?? context.backend;
    const partial = this.partial ?? context.partial;
    const cause = this.cause ?? context.cause;
    const error = new ToolRuntimeError(this.code, this.message, {
      started,
      details: { ...context.details, ...this.details },
      ...(id === undefined ? {} : { id }),
      ...(backend === undefined ? {} : { backend }),
      ...(partial === undefined ? {} : { partial }),
      ...(cause === undefined ? {} : { cause }),
    });
    if (this.stack !== undefined) error.stack = this.stack;
    return error;
  }

  toJSON(): Record<string, unknown> {
    return {
      code: this.code,
      message: this.message,
      actor: this.actor,
      retryable: this.retryable,
      started: this.started,
      id: this.id,
      backend: this.backend,
      details: this.details,
      partial: this.partial,
    };
  }
}

/** Gives back a `ToolRuntimeError` as it is and wraps anything else as `ERR_INTERNAL`. */
export function toToolRuntimeError(error: unknown, code: ErrorCode = "ERR_INTERNAL"): ToolRuntimeError {
  if (error instanceof ToolRuntimeError) return error;
  const why = error instanceof Error ? error.message : typeof error === "string" ? error : "something that is no error was thrown";
  return new ToolRuntimeError(code, why, { cause: error });
}
