import type { ErrorCode } from "../errors.ts";

interface StatusInfo {
  readonly status: number;
  /** Says what the code means, without a word of the case at hand. */
  readonly title: string;
}

/** The HTTP status of each code. */
export const statusTable = {
  // Nobody reads the answer, unless another caller ended the run; 499 is what nginx logs for it.
  ERR_ABORTED: { status: 499, title: "The run was cancelled" },
  ERR_ANSWER_INVALID: { status: 502, title: "What answered broke the protocol" },
  ERR_ARGUMENT_INVALID: { status: 400, title: "An argument cannot be read" },
  ERR_ARTIFACT_INVALID: { status: 422, title: "The tool's artifact is broken" },
  ERR_ARTIFACT_TOO_LARGE: { status: 413, title: "The tool's artifact is too large" },
  ERR_ARTIFACT_UNSUPPORTED: { status: 409, title: "No backend here takes the tool's artifact" },
  ERR_ATTESTATION: { status: 409, title: "What a backend or a node says of itself is not borne out" },
  ERR_BACKEND_FAILED: { status: 502, title: "The backend failed" },
  ERR_BACKEND_UNAVAILABLE: { status: 503, title: "The backend is not available" },
  ERR_BLOB_NOT_FOUND: { status: 404, title: "There is no such blob" },
  ERR_BUDGET_EXHAUSTED: { status: 422, title: "The batch's budget is used up" },
  ERR_CLOSED: { status: 503, title: "The service is shutting down" },
  ERR_CONFIG_INVALID: { status: 500, title: "The service's configuration is wrong" },
  ERR_CONNECTION_FAILED: { status: 502, title: "The connection failed" },
  ERR_DEADLINE: { status: 422, title: "The deadline has passed" },
  ERR_DETERMINISM_UNSUPPORTED: { status: 409, title: "The tool cannot be run deterministically here" },
  ERR_DIGEST_MISMATCH: { status: 422, title: "The bytes do not match their digest" },
  ERR_EXECUTION_LOST: { status: 502, title: "Nobody can say how the execution ended" },
  ERR_EXECUTION_NOT_FOUND: { status: 404, title: "There is no such execution" },
  ERR_FORBIDDEN: { status: 403, title: "This is not allowed" },
  ERR_IDEMPOTENCY_CONFLICT: { status: 422, title: "The idempotency key was used for another request" },
  ERR_IDEMPOTENCY_IN_PROGRESS: { status: 409, title: "The request with this idempotency key still runs" },
  ERR_IMPORT_DENIED: { status: 422, title: "The module imports what it is not granted" },
  ERR_INPUT_INVALID: { status: 400, title: "The input is not valid" },
  ERR_INPUT_TOO_LARGE: { status: 413, title: "The input is too large" },
  ERR_INTERNAL: { status: 500, title: "The service failed" },
  ERR_LEASE_EXPIRED: { status: 504, title: "Nobody renewed the lease of the run" },
  ERR_LIMIT_COMPILE: { status: 422, title: "The tool's module takes too much to compile" },
  ERR_LIMIT_CPU_TIME: { status: 422, title: "The tool reached its limit of processor time" },
  ERR_LIMIT_DISK: { status: 422, title: "The tool reached its limit of disk space" },
  ERR_LIMIT_FUEL: { status: 422, title: "The tool reached its limit of fuel" },
  ERR_LIMIT_INLINE: { status: 422, title: "The tool held its host for too long in one piece" },
  ERR_LIMIT_MEMORY: { status: 422, title: "The tool reached its limit of memory" },
  ERR_LIMIT_OUTPUT: { status: 422, title: "The tool reached its limit of output" },
  ERR_LIMIT_PROCESSES: { status: 422, title: "The tool reached its limit of processes" },
  ERR_LIMIT_TIMEOUT: { status: 422, title: "The tool reached its limit of time" },
  ERR_LIMIT_UNENFORCEABLE: { status: 409, title: "A limit cannot be enforced here" },
  ERR_MANIFEST_INVALID: { status: 422, title: "The tool's manifest is not valid" },
  ERR_METHOD_NOT_ALLOWED: { status: 405, title: "The path does not take this method" },
  ERR_NETWORK_UNSUPPORTED: { status: 409, title: "The network that the tool asks for cannot be given here" },
  ERR_OUTPUT_INVALID: { status: 422, title: "The tool's output does not fit its schema" },
  ERR_POLICY_DENIED: { status: 403, title: "The service's policy does not allow this" },
  ERR_PROFILE_UNSUPPORTED: { status: 409, title: "The security profile cannot be held here" },
  ERR_QUEUE_FULL: { status: 429, title: "The queue is full" },
  ERR_RATE_LIMITED: { status: 429, title: "The caller has sent too many requests" },
  ERR_ROUTE_NOT_FOUND: { status: 404, title: "There is nothing at this path" },
  ERR_SECRET_UNKNOWN: { status: 409, title: "The service has no such secret" },
  ERR_STORE_FULL: { status: 503, title: "The store of blobs is full" },
  ERR_TOKEN_REPLAYED: { status: 409, title: "The token was used before" },
  ERR_TOOL_NOT_FOUND: { status: 404, title: "There is no such tool" },
  ERR_UNAUTHORIZED: { status: 401, title: "A valid token is needed" },
} as const satisfies Record<ErrorCode, StatusInfo>;

export function statusOf(code: ErrorCode): number {
  return statusTable[code].status;
}
