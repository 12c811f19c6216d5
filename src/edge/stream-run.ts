import type { Outcome } from "../store.ts";
import type { Answer } from "./answer.ts";
import { acceptedJson, eventJson, writeEnding } from "./event-json.ts";
import { EventStream, streamTypes, type StreamFormat } from "./event-stream.ts";
import { headersOf, replyOutcome } from "./reply.ts";
import { toolName, type LiveRun, type RunRequest } from "./runner.ts";
import { logRequest } from "./scope.ts";
import { Window, windowBytesOf } from "./window.ts";

/** How long the answer's head waits for the tool's start, so that a refusal has a status of its own. */
const headWaitMs = 500;

function formatOf({ format }: Answer): StreamFormat {
  return format === "sse" ? "sse" : "ndjson";
}

/** Opens a stream whose reader is one that the run is for. */
function openStream(answer: Answer): { readonly stream: EventStream; readonly lost: AbortController } {
  const { c, settings } = answer;
  const { heartbeatMs, stalledReaderMs } = settings.limits;
  const lost = new AbortController();
  const stream = new EventStream({
    format: formatOf(answer),
    heartbeatMs,
    stalledMs: stalledReaderMs,
    onLost: (why) => {
      c.get("scope").facts["reader"] = why;
      lost.abort();
    },
  });
  return { stream, lost };
}

/** A reader that acknowledges nothing for too long is as good as one that does not read. */
function openWindow({ c, settings }: Answer, bytes: number, lost: AbortController): Window {
  const onStalled = (): void => {
    c.get("scope").facts["reader"] = "stalled";
    lost.abort();
  };
  const window = new Window({ bytes, stalledMs: settings.limits.stalledReaderMs, onStalled });
  lost.signal.addEventListener("abort", () => window.close(), { once: true });
  return window;
}

function streamResponse(answer: Answer, stream: EventStream, done: Promise<unknown>): Response {
  const { c, settings, request } = answer;
  c.get("scope").endsLater = true;
  void done.finally(() => logRequest(settings, c, 200));
  // Proxies that gather an answer before they pass it on would hold the events back.
  const headers = headersOf(request.requestId, streamTypes[formatOf(answer)], { "x-accel-buffering": "no" });
  return new Response(stream.body, { status: 200, headers });
}

/** Runs and streams: `accepted`, what the tool does, its result or error, `end`. */
export async function replyStream(answer: Answer, start: (onEvent: NonNullable<RunRequest["onEvent"]>) => LiveRun): Promise<Response> {
  const { c, request } = answer;
  const windowBytes = windowBytesOf(c);
  const { stream, lost } = openStream(answer);
  const window = windowBytes === undefined ? undefined : openWindow(answer, windowBytes, lost);
  const begun = Promise.withResolvers<void>();
  let run: LiveRun;
  try {
    run = start((event) => {
      begun.resolve();
      const written = stream.write(event, eventJson(event));
      const room = window === undefined || event.type === "started" ? undefined : window.send(event.bytes.length);
      return written === undefined ? room : room === undefined ? written : Promise.all([written, room]).then(() => undefined);
    });
  } catch (error) {
    stream.end();
    throw error;
  }
  run.window = window;
  const { signal } = c.req.raw;
  run.watch(AbortSignal.any([signal, lost.signal]));
  void stream.write({ type: "accepted", seq: 0 }, acceptedJson(request.id, toolName(request.tool)));
  const refused = await refusal(run, begun.promise);
  if (refused !== undefined) {
    stream.end();
    return replyOutcome(request.requestId, refused);
  }
  const done = run.done.then((outcome) => {
    window?.close();
    c.get("scope").facts["outcome"] = outcome.status;
    return writeEnding(stream, outcome);
  });
  return streamResponse(answer, stream, done);
}

/** The error of a run that ended before the tool started; nothing where it starts or takes its time. */
async function refusal(run: LiveRun, begun: Promise<void>): Promise<Outcome | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const waited = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, headWaitMs);
  });
  const first = await Promise.race([begun, run.done, waited]);
  clearTimeout(timer);
  return first?.kind === "error" ? first : undefined;
}

/** Streams the answer of a run that another request started. */
export function replayStream(answer: Answer, outcome: Outcome, executionId: string): Response {
  const { stream } = openStream(answer);
  void stream.write({ type: "accepted", seq: 0 }, acceptedJson(executionId, toolName(answer.request.tool)));
  return streamResponse(answer, stream, writeEnding(stream, outcome));
}
