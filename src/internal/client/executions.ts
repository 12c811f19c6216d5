import type { Execution, RunOptions, RunTask } from "../../client.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { executionSchema, mediaTypes, resultSchema, wireHeaders, type WireExecution, type WireResult } from "../../wire.ts";
import type { Digest } from "../digest.ts";
import { ClientCall, type CallTimes } from "./call.ts";
import { readEvents, type RunEvent } from "./events.ts";
import { answerInvalid, errorOfProblem } from "./failures.ts";
import { pause, withRetries } from "./retries.ts";
import { fitsForm, taskBody, type SentFile, type TaskBody } from "./task-body.ts";
import { discard, isEventStream, type Sending, type Transport } from "./transport.ts";

/** What the methods of one client share. */
export interface Connection {
  readonly transport: Transport;
  readonly retries: number;
  readonly maxAnswerBytes: number;
  readonly idleMs: number;
  putBlob(content: Uint8Array | Blob | ReadableStream<Uint8Array>, call: ClientCall): Promise<{ digest: Digest; size: number }>;
}

/** How long whoever leaves waits for the run to be ended. */
const cancelMs = 5000;
const firstPollMs = 100;
const maxPollMs = 2000;
const encoder = new TextEncoder();

/** How a task is posted. */
interface Posting<T> {
  readonly options: RunOptions;
  readonly call: ClientCall;
  readonly headers: Readonly<Record<string, string>>;
  send(sending: Sending): Promise<T>;
}

/** The runs of one service: those that are waited for, those that are read, and those that go on by themselves. */
export class Executions {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  run(task: RunTask, options: RunOptions = {}): Promise<WireResult> {
    const { transport, maxAnswerBytes } = this.#connection;
    const send = (sending: Sending) => transport.json(sending, resultSchema, maxAnswerBytes);
    return this.#withCall(options, (call) => this.#post(task, { options, call, headers: { accept: mediaTypes.json }, send }));
  }

  async start(task: RunTask, options: RunOptions = {}): Promise<Execution> {
    const { transport, maxAnswerBytes } = this.#connection;
    const headers = { accept: mediaTypes.json, prefer: "respond-async" };
    const send = (sending: Sending) => transport.json(sending, executionSchema, maxAnswerBytes);
    const { id } = await this.#withCall(options, (call) => this.#post(task, { options, call, headers, send }));
    return this.handle(id);
  }

  async *stream(task: RunTask, options: RunOptions = {}): AsyncGenerator<RunEvent, void, void> {
    const left = new AbortController();
    const signal = options.signal === undefined ? left.signal : AbortSignal.any([options.signal, left.signal]);
    let id: string | undefined;
    let hasEnded = false;
    const call = new ClientCall({ ...options, signal });
    try {
      const send = (sending: Sending) => this.#connection.transport.send(sending);
      const response = await this.#post(task, { options, call, headers: { accept: mediaTypes.ndjson }, send });
      for await (const event of this.#read(response, call.signal, -1)) {
        if (event.type === "accepted") id = event.id;
        hasEnded = event.type === "result" || event.type === "error";
        if (event.type === "error") throw event.error;
        yield event;
      }
    } finally {
      call.close();
      if (!hasEnded) {
        // Whoever left waits for the run to be over; a connection that is gone ends it too, as soon as the service sees it.
        left.abort();
        if (id !== undefined) await this.#cancel(id, AbortSignal.timeout(cancelMs)).catch(() => undefined);
      }
    }
  }

  handle(id: string): Execution {
    return {
      id,
      get: (options) => this.#withCall(options, (call) => this.#get(id, call)),
      wait: (options) => this.#withCall(options, (call) => this.#wait(id, call)),
      events: ({ signal, after = -1 } = {}) => this.#follow(id, after, signal),
      cancel: (options) => this.#withCall(options, ({ signal }) => this.#cancel(id, signal)),
    };
  }

  async #withCall<T>(options: CallTimes | undefined, work: (call: ClientCall) => Promise<T>): Promise<T> {
    const call = new ClientCall(options ?? {});
    try {
      return await work(call);
    } finally {
      call.close();
    }
  }

  /** Posts a task, again where its errors advise it. */
  async #post<T>(task: RunTask, { options, call, headers, send }: Posting<T>): Promise<T> {
    const { signal } = call;
    const key = options.idempotencyKey ?? crypto.randomUUID();
    let repeated = 0;
    let ticket: Record<string, string> = {};
    const { body, headers: own } = await this.#bodyOf(task, call);
    const attempt = async (): Promise<T> => {
      // Under the same key a run that has failed would be answered with its failure.
      const name = repeated === 0 ? key : `${key}.${repeated}`;
      const all = { ...headers, ...own, [wireHeaders.idempotencyKey]: name, ...call.headers(), ...ticket };
      try {
        return await send({ method: "POST", path: "/v1/executions", headers: all, body, signal, startsTool: true });
      } catch (error) {
        if (error instanceof ToolRuntimeError) {
          if (error.started) repeated++;
          ticket = typeof error.details["ticket"] === "string" ? { [wireHeaders.ticket]: error.details["ticket"] } : {};
        }
        throw error;
      }
    };
    const { retries } = this.#connection;
    return withRetries(attempt, { retries, signal, remainingMs: () => call.remainingMs, mayRunTwice: options.idempotent ?? false });
  }

  async *#read(response: Response, signal: AbortSignal, after: number): ReturnType<typeof readEvents> {
    const { transport, maxAnswerBytes, idleMs } = this.#connection;
    const { peer } = transport;
    if (response.body === null || !isEventStream(response)) {
      discard(response);
      throw answerInvalid({ peer, mayHaveStarted: true }, "it is no stream of events", { status: response.status });
    }
    yield* readEvents(response.body, { peer, signal, maxLineBytes: maxAnswerBytes, idleMs, after });
  }

  /** Streams, which cannot be sent twice, and what a form cannot name go ahead as blobs. */
  async #bodyOf({ tool, input, files = {}, ...rest }: RunTask, call: ClientCall): Promise<TaskBody> {
    const sent: SentFile[] = [];
    const digests: Record<string, { readonly digest: string }> = Object.create(null);
    for (const [path, file] of Object.entries(files)) {
      if (file instanceof ReadableStream) digests[path] = { digest: (await this.#connection.putBlob(file, call)).digest };
      else if (typeof file === "object" && "digest" in file) digests[path] = { digest: file.digest };
      else {
        const bytes = typeof file === "string" ? encoder.encode(file) : file;
        if (fitsForm(path)) sent.push({ path, bytes });
        else digests[path] = { digest: (await this.#connection.putBlob(bytes, call)).digest };
      }
    }
    const name = typeof tool === "string" ? tool : refText(tool);
    const members = { tool: name, ...rest, ...(Object.keys(digests).length === 0 ? {} : { files: digests }) };
    return taskBody({ members, inputJson: input === undefined ? undefined : inputText(input), files: sent });
  }

  #get(id: string, { signal }: ClientCall): Promise<WireExecution> {
    return this.#again(signal, () => this.#json("GET", pathOf(id), signal));
  }

  /** Ending what has ended changes nothing. */
  #cancel(id: string, signal: AbortSignal): Promise<WireExecution> {
    return this.#again(signal, () => this.#json("DELETE", pathOf(id), signal));
  }

  #json(method: "GET" | "DELETE", path: string, signal: AbortSignal): Promise<WireExecution> {
    const { transport, maxAnswerBytes } = this.#connection;
    return transport.json({ method, path, signal }, executionSchema, maxAnswerBytes);
  }

  #again<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const { retries } = this.#connection;
    return withRetries(work, { retries, signal, remainingMs: () => Number.POSITIVE_INFINITY, mayRunTwice: true });
  }

  async #wait(id: string, call: ClientCall): Promise<WireResult> {
    const { peer } = this.#connection.transport;
    for (let pollMs = firstPollMs; ; pollMs = Math.min(maxPollMs, pollMs * 1.5)) {
      const { status, result, problem } = await this.#get(id, call);
      if (result !== undefined) return result;
      if (problem !== undefined) throw errorOfProblem(problem, { peer, mayHaveStarted: true });
      if (status === "ended") throw answerInvalid({ peer, mayHaveStarted: true }, "an execution has ended without an ending");
      await pause(pollMs, call.signal);
    }
  }

  async *#follow(id: string, from: number, own: AbortSignal | undefined): AsyncGenerator<RunEvent, void, void> {
    const { transport, retries } = this.#connection;
    const left = new AbortController();
    const signal = own === undefined ? left.signal : AbortSignal.any([own, left.signal]);
    let after = from;
    try {
      for (let lost = 0; ; lost++) {
        try {
          const open = (): Promise<Response> =>
            transport.send({ method: "GET", path: `${pathOf(id)}/events?after=${after}`, headers: { accept: mediaTypes.ndjson }, signal });
          for await (const event of this.#read(await this.#again(signal, open), signal, after)) {
            [after, lost] = [event.seq, 0];
            if (event.type === "error") throw new EndedError(event.error);
            yield event;
            if (event.type === "result") return;
          }
        } catch (error) {
          if (error instanceof EndedError) throw error.cause;
          if (!isLost(error) || lost >= retries) throw error;
        }
      }
    } finally {
      left.abort();
    }
  }
}

/** Carries what a run ended with past those who read on when a connection is lost. */
class EndedError extends Error {
  override readonly cause: ToolRuntimeError;

  constructor(cause: ToolRuntimeError) {
    super(cause.message);
    this.cause = cause;
  }
}

function isLost(error: unknown): boolean {
  return error instanceof ToolRuntimeError && error.code === "ERR_CONNECTION_FAILED";
}

function pathOf(id: string): string {
  return `/v1/executions/${encodeURIComponent(id)}`;
}

export function refText({ name, version, digest }: Exclude<RunTask["tool"], string>): string {
  const exact = digest ?? version;
  return exact === undefined ? name : `${name}@${exact}`;
}

/** @throws `ERR_INPUT_INVALID`. */
function inputText(input: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(input);
  } catch (cause) {
    throw new ToolRuntimeError("ERR_INPUT_INVALID", "Cannot send the input: JSON cannot say it", { cause });
  }
  if (text !== undefined) return text;
  throw new ToolRuntimeError("ERR_INPUT_INVALID", `Cannot send the input: it is a ${typeof input}, which JSON cannot say`);
}
