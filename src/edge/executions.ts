import { ToolRuntimeError } from "../errors.ts";
import type { ExecutionState } from "../store.ts";
import { executionJson } from "./async-run.ts";
import { acceptedJson, endingJson, writeEnding } from "./event-json.ts";
import { EventStream, streamTypes } from "./event-stream.ts";
import type { Settings } from "./options.ts";
import { acceptedFormat } from "./preference.ts";
import { headersOf, replyJson } from "./reply.ts";
import type { Runner } from "./runner.ts";
import { identify, logRequest, type AppContext } from "./scope.ts";

type Handler = (c: AppContext) => Promise<Response>;

async function find(c: AppContext, tenant: string, settings: Settings): Promise<ExecutionState> {
  const id = c.req.param("id") ?? "";
  const state = await settings.executions.get(tenant, id);
  if (state === undefined) {
    throw new ToolRuntimeError(
      "ERR_EXECUTION_NOT_FOUND",
      `Cannot find the execution ${JSON.stringify(id.slice(0, 100))}: there is none of that id, or it is forgotten`,
    );
  }
  c.get("scope").facts["executionId"] = state.id;
  return state;
}

/** `GET /v1/executions/{id}`. */
export function getExecution(settings: Settings): Handler {
  return async (c) => {
    const { tenant } = await identify(c, settings, "read");
    return replyJson(c.get("scope").requestId, 200, executionJson(await find(c, tenant, settings)));
  };
}

/** `DELETE /v1/executions/{id}`: ends the run, waits until it has ended, and says how. */
export function cancelExecution(runner: Runner, settings: Settings): Handler {
  return async (c) => {
    const { tenant, principal } = await identify(c, settings, "run");
    const state = await find(c, tenant, settings);
    const { id } = state;
    const run = runner.find(tenant, id);
    run?.cancel(`"${principal}" cancelled it`);
    await (run === undefined ? endElsewhere(c, state, settings) : run.done);
    return replyJson(c.get("scope").requestId, 200, executionJson(await find(c, tenant, settings)));
  };
}

/** Has whoever runs it end it, and waits until it has ended or the caller has gone. */
async function endElsewhere(c: AppContext, { tenant, id }: ExecutionState, { executions }: Settings): Promise<void> {
  await executions.cancel?.(tenant, id);
  // There is no event after this number: the first answer is that all is over.
  await executions.events(tenant, id, Number.MAX_SAFE_INTEGER, c.req.raw.signal)[Symbol.asyncIterator]().next();
}

/** The number after which events are wanted: from the query, or from a reader that comes back (HTML, §9.2.4). */
export function afterOf(c: AppContext): number {
  const text = c.req.query("after") ?? c.req.header("last-event-id");
  if (text === undefined) return -1;
  if (/^(?:-1|\d{1,15})$/.test(text)) return Number(text);
  throw new ToolRuntimeError("ERR_ARGUMENT_INVALID", 'Cannot read "after": it takes the sequence number of an event, or -1', {
    details: { query: "after" },
  });
}

/** `GET /v1/executions/{id}/events`: what there is as JSON, or a stream that goes on to the end. */
export function getEvents(settings: Settings): Handler {
  return async (c) => {
    const { tenant } = await identify(c, settings, "read");
    const state = await find(c, tenant, settings);
    const after = afterOf(c);
    const format = acceptedFormat(c.req.header("accept"), "ndjson");
    const { requestId } = c.get("scope");
    if (format === "json") return replyJson(requestId, 200, await listEvents(settings, state, after));
    const gone = new AbortController();
    const { heartbeatMs, stalledReaderMs } = settings.limits;
    const stream = new EventStream({ format, heartbeatMs, stalledMs: stalledReaderMs, onLost: () => gone.abort() });
    c.get("scope").endsLater = true;
    void follow(settings, state, after, stream, gone.signal).finally(() => {
      stream.end();
      logRequest(settings, c, 200);
    });
    return new Response(stream.body, { status: 200, headers: headersOf(requestId, streamTypes[format], { "x-accel-buffering": "no" }) });
  };
}

async function listEvents(settings: Settings, state: ExecutionState, after: number): Promise<string> {
  // An aborted signal: only what is there.
  const kept = settings.executions.events(state.tenant, state.id, after, AbortSignal.abort());
  const events: string[] = after < 0 ? [acceptedJson(state.id, state.tool)] : [];
  for await (const { json } of kept) events.push(json);
  const { outcome } = state;
  if (outcome !== undefined) events.push(...endingJson(outcome).flatMap(({ seq, json }) => (seq > after ? [json] : [])));
  return `{"events":[${events.join(",")}]}`;
}

async function follow(settings: Settings, state: ExecutionState, after: number, stream: EventStream, gone: AbortSignal): Promise<void> {
  if (after < 0) await stream.write({ type: "accepted", seq: 0 }, acceptedJson(state.id, state.tool));
  for await (const { seq, json } of settings.executions.events(state.tenant, state.id, after, gone)) {
    await stream.write({ type: typeOf(json), seq }, json);
  }
  const ended = gone.aborted ? undefined : await settings.executions.get(state.tenant, state.id);
  if (ended?.outcome === undefined) return;
  await writeEnding(stream, ended.outcome, after);
}

function typeOf(json: string): string {
  return /^\{"type":"([a-z]+)"/.exec(json)?.[1] ?? "message";
}
