import type { ExecutionState, Outcome } from "../store.ts";
import type { Answer } from "./answer.ts";
import { eventJson } from "./event-json.ts";
import { replyJson, replyOutcome } from "./reply.ts";
import { toolName, type LiveRun, type RunRequest } from "./runner.ts";
import type { AppContext } from "./scope.ts";

/** A backend that takes longer to say what it can do is not waited for. */
const admissionMs = 500;

export function executionPath(id: string): string {
  return `/v1/executions/${id}`;
}

/** The state of an execution as JSON; its answer is put in as it was given. */
export function executionJson(state: ExecutionState): string {
  const { id, status, tool, createdAt, endedAt, outcome } = state;
  const head = JSON.stringify({ id, status, tool, createdAt, ...(endedAt === undefined ? {} : { endedAt }) });
  if (outcome === undefined) return head;
  return `${head.slice(0, -1)},"${outcome.kind === "result" ? "result" : "problem"}":${outcome.json}}`;
}

/** Keeps the tool's events for those who ask for them later. */
export function storeEvents({ settings, request }: Answer): NonNullable<RunRequest["onEvent"]> {
  return (event) => settings.executions.addEvent(request.id, { seq: event.seq, json: eventJson(event) });
}

/** Answers 202 (RFC 7240 §4.1), or with the result where it comes within the time that the caller would wait. */
export async function replyAccepted(answer: Answer, id: string, run: LiveRun | undefined): Promise<Response> {
  const { c, settings, request, preference } = answer;
  if (run !== undefined) {
    outliveRequest(c, run.done);
    // Who is told that it was accepted is not told later that there was no room, or nothing that could keep it.
    const early = await within(admissionMs, run.admitted);
    if (early?.status === 429 || early?.status === 503) return replyOutcome(request.requestId, early);
    const outcome = preference.waitMs === undefined ? undefined : await within(preference.waitMs, run.done);
    if (outcome !== undefined) return replyOutcome(request.requestId, outcome);
  }
  const state = (await settings.executions.get(request.identity.tenant, id)) ?? freshState(answer, id);
  return replyJson(request.requestId, 202, executionJson(state), {
    location: executionPath(id),
    "preference-applied": "respond-async",
    "retry-after": "1",
  });
}

function freshState({ request }: Answer, id: string): ExecutionState {
  const { tenant, principal } = request.identity;
  return { id, tenant, principal, tool: toolName(request.tool), createdAt: new Date().toISOString(), status: "accepted" };
}

/** Platforms that end what a request started when it is answered must be told to wait. */
function outliveRequest(c: AppContext, work: Promise<unknown>): void {
  try {
    c.executionCtx.waitUntil(work);
  } catch {
    // The platform has no such thing: work goes on by itself.
  }
}

async function within(ms: number, work: Promise<Outcome | undefined>): Promise<Outcome | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const waited = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  const first = await Promise.race([work, waited]);
  clearTimeout(timer);
  return first;
}
