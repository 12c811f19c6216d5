import { ToolRuntimeError, toToolRuntimeError } from "../errors.ts";
import { toHex } from "../internal/digest.ts";
import { parseQuantity, type Quantity } from "../limits.ts";
import type { Task } from "../runtime.ts";
import type { Claim, Outcome } from "../store.ts";
import type { Tool } from "../tool.ts";
import { mediaTypes, wireHeaders } from "../internal/wire-names.ts";
import type { Answer } from "./answer.ts";
import { replyAccepted, storeEvents } from "./async-run.ts";
import type { Identity } from "./auth.ts";
import { readJson } from "./body.ts";
import { leaseOf } from "./leases.ts";
import type { Settings } from "./options.ts";
import { acceptedFormat, parsePrefer } from "./preference.ts";
import { outcomeOf, replyOutcome } from "./reply.ts";
import { callerOf, ticketOf } from "./returning.ts";
import { newExecutionId, type LiveRun, type Runner, type RunRequest } from "./runner.ts";
import { identify, type AppContext } from "./scope.ts";
import { replayStream, replyStream } from "./stream-run.ts";
import { parseRequest, taskOf } from "./task.ts";
import { readUpload } from "./upload.ts";

const encoder = new TextEncoder();

/** What was posted, read and checked. */
interface Posted {
  readonly tool: Tool;
  readonly task: Task;
  readonly deadline: Quantity | undefined;
  /** What an idempotency key stands for. */
  readonly content: string;
}

async function readPosted(c: AppContext, identity: Identity, settings: Settings): Promise<Posted> {
  const type = (c.req.header("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase();
  if (type === mediaTypes.json) {
    const { text, value } = await readJson(c, settings);
    const request = parseRequest(value);
    return { ...(await taskOf(request, identity.tenant, settings)), deadline: deadlineOf(c, request.deadline), content: text };
  }
  if (type === mediaTypes.multipart) {
    const upload = await readUpload(c, identity.tenant, settings);
    const request = parseRequest(upload.request);
    const read = await taskOf(request, identity.tenant, settings, upload.files);
    return { ...read, deadline: deadlineOf(c, request.deadline), content: upload.content };
  }
  throw new ToolRuntimeError(
    "ERR_ARGUMENT_INVALID",
    `Cannot read the request: its Content-Type is ${JSON.stringify((type ?? "").slice(0, 100))}; it must be ${mediaTypes.json} or ${mediaTypes.multipart}`,
    { details: { header: "content-type" } },
  );
}

/** The nearer of the header's and the body's. */
function deadlineOf(c: AppContext, inBody: Quantity | undefined): Quantity | undefined {
  const header = c.req.header(wireHeaders.deadline);
  if (header === undefined) return inBody;
  if (!/^[1-9]\d{0,14}$/.test(header)) {
    throw new ToolRuntimeError(
      "ERR_ARGUMENT_INVALID",
      `Cannot read the header "${wireHeaders.deadline}": it takes whole milliseconds, above zero`,
      {
        details: { header: wireHeaders.deadline },
      },
    );
  }
  const ms = Number(header);
  return inBody === undefined ? ms : Math.min(ms, parseQuantity("timeout", inBody));
}

/** Visible ASCII; quotes that the draft's structured header has around it are part of the key. */
const keyPattern = /^[\x21-\x7e]{1,255}$/;

export function idempotencyKey(c: AppContext): string | undefined {
  const key = c.req.header(wireHeaders.idempotencyKey);
  if (key === undefined || keyPattern.test(key)) return key;
  throw new ToolRuntimeError(
    "ERR_ARGUMENT_INVALID",
    `Cannot read the header "${wireHeaders.idempotencyKey}": it takes 1 to 255 visible ASCII characters, without spaces`,
    { details: { header: wireHeaders.idempotencyKey } },
  );
}

/** By the platform's own hash where it has one: it costs no turn of a thread pool. */
async function fingerprintOf(content: string, { createHash }: Settings): Promise<string> {
  const hash = createHash();
  hash.update(encoder.encode(content));
  const digest = hash.digest();
  return `sha256:${toHex(digest instanceof Promise ? await digest : digest)}`;
}

/** Whoever asks once more under a key asks the process that knows the key: for another one it would be a new run. */
function assertInstance(c: AppContext, { instance }: Settings): void {
  const asked = c.req.header(wireHeaders.instance);
  if (asked === undefined || asked === instance()) return;
  throw new ToolRuntimeError(
    "ERR_BACKEND_UNAVAILABLE",
    "Cannot say what became of the task: this is not the process that was asked first",
    {
      details: { header: wireHeaders.instance },
    },
  );
}

/** `POST /v1/executions`. */
export function execute(runner: Runner, settings: Settings): (c: AppContext) => Promise<Response> {
  return async (c) => {
    const scope = c.get("scope");
    const identity = await identify(c, settings, "run");
    const preference = parsePrefer(c.req.header("prefer"));
    const format = acceptedFormat(c.req.header("accept"));
    const key = idempotencyKey(c);
    assertInstance(c, settings);
    const lease = leaseOf(c);
    const { content, ...posted } = await readPosted(c, identity, settings);
    const known = { ticket: ticketOf(c), caller: callerOf(identity, key, content), lease: preference.respondAsync ? undefined : lease };
    const isBrief = preference.isMinimal && format !== "json" && !preference.respondAsync;
    const request: RunRequest = { ...posted, id: newExecutionId(), identity, requestId: scope.requestId, isBrief, ...known };
    scope.facts["tool"] = posted.tool.manifest.name;
    const answer = { c, runner, settings, request, preference, format };
    return key === undefined ? begin(answer) : beginOnce(answer, key, await fingerprintOf(content, settings));
  };
}

/** Starts the run and answers in the way that was asked for. */
function begin(answer: Answer): Promise<Response> | Response {
  const { c, format, preference, request } = answer;
  c.get("scope").facts["executionId"] = request.id;
  if (preference.respondAsync) return replyAccepted(answer, request.id, start(answer, storeEvents(answer)));
  if (format !== "json") return replyStream(answer, (onEvent) => start(answer, onEvent));
  const run = start(answer);
  run.watch(c.req.raw.signal);
  return run.done.then((outcome) => replyOutcome(request.requestId, outcome));
}

function start({ runner, settings, request, onOutcome }: Answer, onEvent?: RunRequest["onEvent"]): LiveRun {
  const run = runner.start(onEvent === undefined ? request : { ...request, onEvent });
  const settled = onOutcome === undefined ? run.done : run.done.then(onOutcome);
  settings.keepAlive?.(settled);
  return run;
}

/** Runs once for each key: whoever comes with the same key and request waits for that run and gets its answer. */
async function beginOnce(answer: Answer, key: string, fingerprint: string): Promise<Response> {
  const { settings, request } = answer;
  const { tenant } = request.identity;
  const claim = await settings.executions.claim({ tenant, key, fingerprint, executionId: request.id });
  if (claim.kind === "conflict") {
    throw new ToolRuntimeError(
      "ERR_IDEMPOTENCY_CONFLICT",
      `Cannot run the task: the idempotency key was used for another request; send it with a key of its own`,
    );
  }
  if (claim.kind === "first") {
    const onOutcome = (outcome: Outcome): void | Promise<void> => (outcome.isFinal ? claim.keep(outcome) : claim.release(outcome));
    try {
      return await begin({ ...answer, onOutcome });
    } catch (error) {
      await claim.release(outcomeOf(toToolRuntimeError(error), request.requestId, 0));
      throw error;
    }
  }
  return repeat(answer, claim);
}

async function repeat(answer: Answer, claim: Claim & { readonly kind: "repeat" }): Promise<Response> {
  const { c, runner, request, preference, format } = answer;
  const { executionId } = claim;
  c.get("scope").facts["executionId"] = executionId;
  c.get("scope").facts["repeat"] = true;
  const run = runner.find(request.identity.tenant, executionId);
  if (preference.respondAsync) return replyAccepted(answer, executionId, run);
  if (claim.outcome === undefined && preference.waitMs === 0) {
    throw new ToolRuntimeError(
      "ERR_IDEMPOTENCY_IN_PROGRESS",
      `Cannot answer without waiting: the request with this idempotency key still runs`,
      {
        id: executionId,
      },
    );
  }
  const { signal } = c.req.raw;
  if (claim.outcome === undefined) run?.watch(signal);
  const outcome = claim.outcome ?? (await claim.wait(signal));
  return format === "json" ? replyOutcome(request.requestId, outcome) : replayStream(answer, outcome, executionId);
}
