import { enforcedValue, type Plan } from "../../backend.ts";
import { ToolRuntimeError, type ErrorCode } from "../../errors.ts";
import { answerInvalid } from "../../internal/client/failures.ts";
import type { LimitReceipt } from "../../limits.ts";
import { profiles, stricter } from "../../profile.ts";
import type { BackendInfo } from "../../runtime.ts";
import type { WireResult } from "../../wire.ts";
import type { Peer } from "./peer.ts";

/** What a node says to whoever sends runs to it, and what that means to the one whose run it is. */
const meanings: { readonly [C in ErrorCode]?: ErrorCode } = {
  // The caller's own token is another one, and the tool is here.
  ERR_UNAUTHORIZED: "ERR_BACKEND_UNAVAILABLE",
  ERR_FORBIDDEN: "ERR_BACKEND_UNAVAILABLE",
  ERR_TOOL_NOT_FOUND: "ERR_BACKEND_UNAVAILABLE",
  ERR_RATE_LIMITED: "ERR_QUEUE_FULL",
  // Somebody else ended it: whoever ends it here is not told by the node.
  ERR_ABORTED: "ERR_BACKEND_FAILED",
  ERR_ROUTE_NOT_FOUND: "ERR_ANSWER_INVALID",
  ERR_METHOD_NOT_ALLOWED: "ERR_ANSWER_INVALID",
  ERR_IDEMPOTENCY_CONFLICT: "ERR_BACKEND_FAILED",
  ERR_IDEMPOTENCY_IN_PROGRESS: "ERR_BACKEND_FAILED",
  ERR_EXECUTION_NOT_FOUND: "ERR_BACKEND_FAILED",
  ERR_BLOB_NOT_FOUND: "ERR_BACKEND_FAILED",
  ERR_CONFIG_INVALID: "ERR_BACKEND_FAILED",
  // Something on the way sent it twice.
  ERR_TOKEN_REPLAYED: "ERR_BACKEND_FAILED",
};

/** A node may have sent the run on itself. */
function viaOf(name: string, next: unknown): string {
  return typeof next === "string" ? `${name}/${next}` : name;
}

/** A node's error as the one whose run it is gets it: with his id, and the node's name. */
export function translate(error: ToolRuntimeError, { name }: Peer, id: string): ToolRuntimeError {
  const meaning = meanings[error.code];
  const details = {
    ...error.details,
    via: viaOf(name, error.details["via"]),
    ...(error.id === undefined ? {} : { nodeExecutionId: error.id }),
  };
  const context = {
    id,
    started: error.started,
    ...(error.backend === undefined || meaning !== undefined ? {} : { backend: error.backend }),
    ...(error.partial === undefined ? {} : { partial: error.partial }),
  };
  if (meaning === undefined) return new ToolRuntimeError(error.code, error.message, { ...context, details, cause: error.cause });
  return new ToolRuntimeError(meaning, `Cannot run the task on the node "${name}": ${stateOf(error)}`, {
    ...context,
    details: { ...details, nodeCode: error.code },
    cause: error,
  });
}

function stateOf({ code }: ToolRuntimeError): string {
  if (code === "ERR_UNAUTHORIZED") return "it does not know the token; give it one that it knows";
  if (code === "ERR_FORBIDDEN") return "the token may not do this there; it needs the scopes run and read";
  if (code === "ERR_TOOL_NOT_FOUND") return "it does not have this tool with this digest; add it there";
  if (code === "ERR_RATE_LIMITED") return "it takes no more at this rate";
  if (code === "ERR_ABORTED") return "somebody ended it there";
  return `it answered ${code}`;
}

/** Refusals by one node that say nothing about another one, besides those for which the operator or the platform has to act. */
const ownRefusals: ReadonlySet<ErrorCode> = new Set(["ERR_POLICY_DENIED", "ERR_LIMIT_UNENFORCEABLE"]);

/** Whether the same run may go to another node: nothing of it has started. */
export function mayMove({ started, actor, code }: ToolRuntimeError): boolean {
  return !started && (actor === "operator" || actor === "platform" || ownRefusals.has(code));
}

/**
 * Holds a node's result against the plan. A node that ran the tool under less than was demanded is found out by what it says.
 *
 * @throws `ERR_ANSWER_INVALID`.
 */
export function assertHeld(plan: Plan, { backend, limits }: WireResult, { transport }: Peer): void {
  const fail = (problem: string): never => {
    throw answerInvalid({ peer: transport.peer, mayHaveStarted: true }, problem);
  };
  const { profile, isolation } = backend;
  if (stricter(profile, plan.profile) !== profile) fail(`it ran the tool in profile "${profile}", "${plan.profile}" was demanded`);
  if (backend.artifact !== plan.artifact || !profiles[plan.profile].isolation.some((wall) => wall === isolation)) {
    fail(`it ran the tool as another artifact, or behind another wall, than was demanded`);
  }
  for (const { limit } of plan.limits) {
    const value = enforcedValue(plan, limit);
    const receipt = limits.find((one) => one.limit === limit);
    if (value === undefined) continue;
    if (receipt === undefined || receipt.enforcedBy === "none") return fail(`nothing enforced the limit "${limit}"`);
    if ((receipt.applied ?? 0) > value) fail(`the limit "${limit}" was looser than was demanded`);
  }
}

/** The node's own words, with its name. */
export function delegatedOf(plan: Plan, { backend, limits, duration }: WireResult, { name }: Peer) {
  const { isolation: _said, ...rest } = backend;
  const info: BackendInfo = { ...rest, isolation: plan.isolation, via: viaOf(name, rest.via) };
  const receipts: readonly LimitReceipt[] = limits;
  return { limits: receipts, backend: info, durationMs: duration };
}
