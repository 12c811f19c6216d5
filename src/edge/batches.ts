import { ToolRuntimeError, toToolRuntimeError } from "../errors.ts";
import { mayRunTwice } from "../internal/batch.ts";
import type { BatchEnd } from "../internal/batch/messages.ts";
import type { ExecutionState, Outcome } from "../store.ts";
import { parseToolRef } from "../tool.ts";
import { readBatch } from "./batch-input.ts";
import { ItemRunner, type ItemOptions } from "./batch-items.ts";
import { LiveBatch, type BatchLine } from "./batch-run.ts";
import { EventStream, streamTypes, type StreamFormat } from "./event-stream.ts";
import { idempotencyKey } from "./execute.ts";
import { afterOf } from "./executions.ts";
import type { Settings } from "./options.ts";
import { acceptedFormat, parsePrefer } from "./preference.ts";
import { headersOf, outcomeOf, problemOf, replyJson } from "./reply.ts";
import type { Runner } from "./runner.ts";
import { identify, logRequest, type AppContext } from "./scope.ts";

type Handler = (c: AppContext) => Promise<Response>;

export interface BatchRoutes {
  readonly post: Handler;
  readonly get: Handler;
  readonly items: Handler;
  readonly cancel: Handler;
}

/** The most characters that a batch which goes on by itself keeps of its results, besides what its executions keep. */
const maxKeptCharacters = 16 * 2 ** 20;

export function batchRoutes(runner: Runner, settings: Settings): BatchRoutes {
  const live = new Map<string, LiveBatch>();
  return {
    post: postBatch(runner, settings, live),
    get: getBatch(settings, live),
    items: getItems(settings),
    cancel: cancelBatch(settings, live),
  };
}

/** `POST /v1/batches`. */
function postBatch(runner: Runner, settings: Settings, live: Map<string, LiveBatch>): Handler {
  return async (c) => {
    const scope = c.get("scope");
    const identity = await identify(c, settings, "run");
    const { respondAsync } = parsePrefer(c.req.header("prefer"));
    const key = idempotencyKey(c);
    const { head, inputs } = await readBatch(c, { settings, isWhole: respondAsync || scope.bodyCheck !== undefined });
    const ref = parseToolRef(head.tool);
    const tool = settings.tools.get(ref);
    if (tool === undefined) throw settings.tools.missing(ref);
    const options: ItemOptions = { runner, settings, identity, requestId: scope.requestId, head, tool, key };
    const items = new ItemRunner(options);
    await items.prepare();
    const batch = new LiveBatch(options, items, inputs);
    scope.facts["batchId"] = batch.id;
    scope.facts["tool"] = tool.manifest.name;
    await settings.executions.create(batch.info, () => batch.cancel("it was cancelled, or given up by what keeps the executions"));
    live.set(batch.id, batch);
    const answer = { c, settings, batch, isResumable: key !== undefined || mayRunTwice(tool), forget: () => void live.delete(batch.id) };
    return respondAsync ? replyAccepted(answer) : replyStream(answer);
  };
}

interface BatchAnswer {
  readonly c: AppContext;
  readonly settings: Settings;
  readonly batch: LiveBatch;
  /** Whether somebody may ask for the answers again: then what runs is let end when its caller has gone. */
  readonly isResumable: boolean;
  forget(): void;
}

/** The batch's record has its end as the result. */
function endOf({ seq, json }: BatchLine): Outcome {
  return { kind: "result", status: 200, json, seq, isFinal: true };
}

async function replyAccepted({ c, settings, batch, forget }: BatchAnswer): Promise<Response> {
  const work = keepItems(settings, batch).finally(forget);
  settings.keepAlive?.(work);
  const state = await settings.executions.get(batch.info.tenant, batch.id);
  return replyJson(c.get("scope").requestId, 202, batchJson(state ?? { ...batch.info, status: "running" }, batch), {
    location: `/v1/batches/${batch.id}`,
    "preference-applied": "respond-async",
    "retry-after": "1",
  });
}

/** Runs the batch and keeps its items for those who ask for them later. Never rejects. */
async function keepItems({ executions, log }: Settings, batch: LiveBatch): Promise<void> {
  let kept = 0;
  await executions.started(batch.id);
  try {
    for await (const line of batch.lines()) {
      if (line.type === "end") await executions.end(batch.id, endOf(line));
      if (line.type !== "item") continue;
      kept += line.json.length;
      const { seq, json, reference = json } = line;
      await executions.addEvent(batch.id, { seq, json: kept > maxKeptCharacters ? reference : json });
    }
  } catch (cause) {
    const error = toToolRuntimeError(cause);
    log.error({ batchId: batch.id, err: error }, "cannot keep what a batch gives");
    batch.cancel("what keeps its items failed");
    await executions.end(batch.id, outcomeOf(error, batch.id, Number.MAX_SAFE_INTEGER));
  }
}

function openStream({ c, settings, format }: { c: AppContext; settings: Settings; format: StreamFormat }, onLost: () => void): EventStream {
  const { heartbeatMs, stalledReaderMs } = settings.limits;
  c.get("scope").endsLater = true;
  return new EventStream({
    format,
    heartbeatMs,
    stalledMs: stalledReaderMs,
    onLost: (why) => {
      c.get("scope").facts["reader"] = why;
      onLost();
    },
  });
}

function formatOf(c: AppContext): StreamFormat {
  return acceptedFormat(c.req.header("accept"), "ndjson") === "sse" ? "sse" : "ndjson";
}

function streamResponse(c: AppContext, stream: EventStream, format: StreamFormat): Response {
  const headers = headersOf(c.get("scope").requestId, streamTypes[format], { "x-accel-buffering": "no" });
  return new Response(stream.body, { status: 200, headers });
}

function acceptedLine({ id, tool: { name, version, digest } }: LiveBatch["info"]): string {
  return JSON.stringify({ type: "accepted", seq: 0, id, tool: { name, version, digest } });
}

function replyStream({ c, settings, batch, isResumable, forget }: BatchAnswer): Response {
  const format = formatOf(c);
  const leave = (): void => {
    if (isResumable) batch.drain(new ToolRuntimeError("ERR_ABORTED", "Cannot go on with the batch: its caller has gone"));
    else batch.cancel("its caller has gone");
  };
  const stream = openStream({ c, settings, format }, leave);
  c.req.raw.signal.addEventListener("abort", leave, { once: true });
  const work = async (): Promise<void> => {
    await settings.executions.started(batch.id);
    await stream.write({ type: "accepted", seq: 0 }, acceptedLine(batch.info));
    for await (const line of batch.lines()) {
      if (line.type === "end") await settings.executions.end(batch.id, endOf(line));
      await stream.write(line, line.json);
    }
  };
  const done = work()
    .catch(async (cause: unknown) => {
      settings.log.error({ batchId: batch.id, err: cause }, "a batch failed");
      batch.cancel("the service failed");
      await settings.executions.end(batch.id, outcomeOf(toToolRuntimeError(cause), batch.id, Number.MAX_SAFE_INTEGER));
    })
    .finally(() => {
      forget();
      stream.end();
      logRequest(settings, c, 200);
    });
  settings.keepAlive?.(done);
  return streamResponse(c, stream, format);
}

async function find(c: AppContext, tenant: string, { executions }: Settings): Promise<ExecutionState> {
  const id = c.req.param("id") ?? "";
  const state = id.startsWith("ba_") ? await executions.get(tenant, id) : undefined;
  if (state === undefined) {
    throw new ToolRuntimeError(
      "ERR_EXECUTION_NOT_FOUND",
      `Cannot find the batch ${JSON.stringify(id.slice(0, 100))}: there is none of that id, or it is forgotten`,
    );
  }
  c.get("scope").facts["batchId"] = state.id;
  return state;
}

/** The state of a batch; one whose process is gone has the problem that its record ended with. */
function batchJson({ id, status, tool, createdAt, endedAt, outcome }: ExecutionState, batch: LiveBatch | undefined): string {
  const body = { id, status: status === "ended" ? status : "running", tool, createdAt, ...(endedAt === undefined ? {} : { endedAt }) };
  if (outcome === undefined) return JSON.stringify({ ...body, ...(batch === undefined ? {} : { counts: batch.counts }) });
  if (outcome.kind === "error") return `${JSON.stringify(body).slice(0, -1)},"problem":${outcome.json}}`;
  const { state, budget, counts, problem } = JSON.parse(outcome.json) as BatchEnd;
  return JSON.stringify({ ...body, counts, end: { state, budget, counts, problem } });
}

/** `GET /v1/batches/{id}`. */
function getBatch(settings: Settings, live: ReadonlyMap<string, LiveBatch>): Handler {
  return async (c) => {
    const { tenant } = await identify(c, settings, "read");
    const state = await find(c, tenant, settings);
    return replyJson(c.get("scope").requestId, 200, batchJson(state, live.get(state.id)));
  };
}

/** `DELETE /v1/batches/{id}`: ends what runs, waits until all has ended, and says how. */
function cancelBatch(settings: Settings, live: ReadonlyMap<string, LiveBatch>): Handler {
  return async (c) => {
    const { tenant, principal } = await identify(c, settings, "run");
    const state = await find(c, tenant, settings);
    const { executions } = settings;
    const batch = live.get(state.id);
    if (batch === undefined) await executions.cancel?.(tenant, state.id);
    else batch.cancel(`"${principal}" cancelled it`);
    // There is no event after this number: the first answer is that all is over.
    await executions.events(tenant, state.id, Number.MAX_SAFE_INTEGER, c.req.raw.signal)[Symbol.asyncIterator]().next();
    return replyJson(c.get("scope").requestId, 200, batchJson(await find(c, tenant, settings), batch));
  };
}

/** `GET /v1/batches/{id}/items`: the items after a number and those to come, of a batch that goes on by itself. */
function getItems(settings: Settings): Handler {
  return async (c) => {
    const { tenant } = await identify(c, settings, "read");
    const state = await find(c, tenant, settings);
    const after = afterOf(c);
    const format = formatOf(c);
    const gone = new AbortController();
    const stream = openStream({ c, settings, format }, () => gone.abort());
    const work = follow({ c, settings, state, after, stream, gone: gone.signal });
    void work
      .catch((error: unknown) => settings.log.error({ batchId: state.id, err: error }, "cannot read what a batch gave"))
      .finally(() => {
        stream.end();
        logRequest(settings, c, 200);
      });
    return streamResponse(c, stream, format);
  };
}

interface Following {
  readonly c: AppContext;
  readonly settings: Settings;
  readonly state: ExecutionState;
  readonly after: number;
  readonly stream: EventStream;
  readonly gone: AbortSignal;
}

async function follow({ c, settings, state, after, stream, gone }: Following): Promise<void> {
  const { id, tenant } = state;
  if (after < 0) await stream.write({ type: "accepted", seq: 0 }, acceptedLine(state));
  let last = after;
  for await (const { seq, json } of settings.executions.events(tenant, id, after, gone)) {
    last = seq;
    await stream.write({ type: "item", seq }, await wholeItem(json, tenant, settings, c.get("scope").requestId));
  }
  const { outcome } = gone.aborted ? {} : ((await settings.executions.get(tenant, id)) ?? {});
  if (outcome?.kind === "result" && outcome.seq > after) await stream.write({ type: "end", seq: outcome.seq }, outcome.json);
  if (outcome?.kind !== "error") return;
  const counts = { read: 0, running: 0, results: 0, errors: 0, failed: 0, kept: 0, fuel: 0 };
  const seq = Math.max(0, last) + 1;
  await stream.write(
    { type: "end", seq },
    JSON.stringify({ type: "end", seq, state: "failed", counts, problem: JSON.parse(outcome.json) }),
  );
}

/** An item with its result, which its execution has where the batch had no room for it. */
async function wholeItem(json: string, tenant: string, { executions }: Settings, requestId: string): Promise<string> {
  const item: unknown = JSON.parse(json);
  if (typeof item !== "object" || item === null || "result" in item || "problem" in item || !("id" in item)) return json;
  const { outcome } = (await executions.get(tenant, String(item.id))) ?? {};
  if (outcome !== undefined) return `${json.slice(0, -1)},"${outcome.kind === "result" ? "result" : "problem"}":${outcome.json}}`;
  const error = new ToolRuntimeError(
    "ERR_EXECUTION_NOT_FOUND",
    "Cannot give the result: the input was run, and its result is forgotten; read a batch's items while it goes on",
    { started: true, id: String(item.id) },
  );
  return `${json.slice(0, -1)},"problem":${JSON.stringify(problemOf(error, requestId))}}`;
}
