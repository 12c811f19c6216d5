import { ToolRuntimeError } from "./errors.ts";
import { sha256 } from "./internal/digest.ts";
import type { BatchBudget } from "./internal/batch/budget.ts";
import { ClientCall, type CallTimes } from "./internal/client/call.ts";
import { Executions, type Connection } from "./internal/client/executions.ts";
import type { RunEvent } from "./internal/client/events.ts";
import { answerInvalid } from "./internal/client/failures.ts";
import { withRetries, type RetryRules } from "./internal/client/retries.ts";
import { readBytes, Transport, type Fetch, type Schema, type Sending, type Signer, type Token } from "./internal/client/transport.ts";
import type { Quantity } from "./limits.ts";
import type { Task } from "./runtime.ts";
import { parseToolRef, type Digest, type ToolRef } from "./tool.ts";
import {
  backendListSchema,
  blobSchema,
  toolListSchema,
  toolSchema,
  type WireBackendList,
  type WireExecution,
  type WireResult,
  type WireTool,
} from "./wire.ts";

export type { BatchBudget } from "./internal/batch/budget.ts";
export type { RunEvent } from "./internal/client/events.ts";
export type { Fetch, SignedRequest, Signer, Token } from "./internal/client/transport.ts";

export interface ClientOptions {
  /** Where the service is: `https://tools.example`. */
  readonly url: string;
  /** A bearer token, or what gives one for each request. */
  readonly token?: Token;
  /** Makes a token for each request that is good for it alone (`requestSigner`); in place of `token`. */
  readonly signer?: Signer;
  /** Default: the platform's. */
  readonly fetch?: Fetch;
  /** How often at most a request is sent again. Default 2. */
  readonly retries?: number;
  /** Allows a token over plain HTTP to another machine. Default `false`. */
  readonly insecureHttp?: boolean;
  /** The most that one answer or event may take, in bytes. Default 256 MiB. */
  readonly maxAnswerBytes?: number;
}

/** A task for a service: tools by name, `name@1.2.0` or `name@sha256:…`. */
export interface RunTask extends Omit<Task, "tool"> {
  readonly tool: string | ToolRef;
}

export interface CallOptions {
  /** Ends the call, and the run that belongs to it. */
  readonly signal?: AbortSignal;
}

export interface RunOptions extends CallOptions {
  /** For everything, queue and repetitions included, from now: ms, or `"30s"`. */
  readonly deadline?: Quantity;
  /** The same key and task run once, however often they are sent. Default: a random one. */
  readonly idempotencyKey?: string;
  /**
   * Whether the tool may run twice: then a run that failed by the platform's fault is sent again even where the tool may
   * have started. Default `false`.
   */
  readonly idempotent?: boolean;
}

/** An input of a batch: the tool's input, or where the work is `as: "items"` an object with `input` and `files`. */
export type BatchInput = unknown;

/** One tool, many inputs. */
export interface BatchWork extends Omit<RunTask, "input" | "files"> {
  /** Read as far as answers are taken, and at most 2,000 ahead. */
  readonly inputs: Iterable<BatchInput> | AsyncIterable<BatchInput>;
  readonly as?: "inputs" | "items";
  /** How many run at once. Default 8. */
  readonly concurrency?: number;
  /** One for the whole batch. Default: none. */
  readonly budget?: BatchBudget;
  /** Gives the answers in the order of the inputs. Default: in the order in which they come. */
  readonly ordered?: boolean;
  /** How often at most the service tries an input again whose error advises it. Default 3. */
  readonly retries?: number;
  /** For each run, queue included: ms, or `"30s"`. */
  readonly deadline?: Quantity;
}

export interface BatchOptions extends CallOptions {
  /**
   * The same key and inputs run once: a batch that is sent again gets the answers of what had ended and runs the rest.
   * Whoever leaves a batch of such a key leaves what runs to its end. Default: a random one.
   */
  readonly idempotencyKey?: string;
}

/** The terminal answer of one input. `index` counts the inputs from 0; `kept`: an earlier sending had brought it about. */
export type BatchAnswer = { readonly index: number; readonly id?: string; readonly kept?: boolean } & (
  | { readonly status: "result"; readonly result: WireResult }
  | { readonly status: "error"; readonly error: ToolRuntimeError }
);

/** A run that goes on without its caller. */
export interface Execution {
  readonly id: string;
  get(options?: CallOptions): Promise<WireExecution>;
  /** Asks again and again until the run has ended. An abort ends the waiting, not the run. @throws what the run ended with. */
  wait(options?: CallOptions): Promise<WireResult>;
  /**
   * The events after a number, and those to come. Reads on by itself where the connection is lost. Leaving the loop or an
   * abort ends the reading, not the run. @throws what the run ended with.
   */
  events(options?: CallOptions & { readonly after?: number }): AsyncIterable<RunEvent>;
  /** Ends the run, and says how it ended. */
  cancel(options?: CallOptions): Promise<WireExecution>;
}

/**
 * A service over HTTP.
 *
 * Every method throws `ToolRuntimeError`: what the service says in its problem documents, `ERR_CONNECTION_FAILED` where no
 * answer came, `ERR_ANSWER_INVALID` for one that is not the service's, `ERR_ABORTED` for its signal.
 */
export interface Client {
  /** Runs a tool and waits for its result. An abort ends the run. */
  run(task: RunTask, options?: RunOptions): Promise<WireResult>;
  /**
   * Runs a tool and gives its events as they come, the result last. A reader that is slow holds back the tool. An abort, or
   * leaving the loop, ends the run. @throws what the run ended with.
   */
  stream(task: RunTask, options?: RunOptions): AsyncIterable<RunEvent>;
  /** Starts a run that goes on without its caller. */
  start(task: RunTask, options?: RunOptions): Promise<Execution>;
  /**
   * Runs one tool over many inputs and gives each its one terminal answer. Goes on by itself where the connection is lost.
   * An abort, or leaving the loop, ends what runs. @throws what the service cannot go on for; what `inputs` fails with.
   */
  batch(work: BatchWork, options?: BatchOptions): AsyncIterable<BatchAnswer>;
  /** A run of which only the id is known. Asks nothing. */
  execution(id: string): Execution;
  readonly tools: {
    list(options?: CallOptions): Promise<WireTool[]>;
    get(tool: string | ToolRef, options?: CallOptions): Promise<WireTool>;
  };
  backends(options?: CallOptions): Promise<WireBackendList>;
  readonly blobs: {
    put(content: Uint8Array | Blob | ReadableStream<Uint8Array>, options?: CallOptions): Promise<{ digest: Digest; size: number }>;
    /** The bytes, checked against the digest. */
    get(digest: string, options?: CallOptions): Promise<Uint8Array>;
  };
}

const defaultMaxAnswerBytes = 256 * 2 ** 20;
/** The service says that it lives every 5 s. */
const idleMs = 30_000;

/**
 * Makes a client of a service. Portable: it needs `fetch` alone. It holds no connection and needs no closing.
 *
 * @throws `ERR_ARGUMENT_INVALID` for a url that cannot be used, or a token that would go in the clear to another machine.
 */
export function createClient(options: ClientOptions): Client {
  const { retries = 2, maxAnswerBytes = defaultMaxAnswerBytes } = options;
  if (!Number.isSafeInteger(retries) || retries < 0) {
    throw new ToolRuntimeError("ERR_ARGUMENT_INVALID", `Cannot use ${retries} as "retries": it takes a whole number from 0`);
  }
  const transport = new Transport({ ...options, peer: `the service at "${originOf(options.url)}"` });
  const connection: Connection = {
    transport,
    retries,
    maxAnswerBytes,
    idleMs,
    putBlob: (content, call) => putBlob(connection, content, call),
  };
  const executions = new Executions(connection);
  return {
    run: (task, how) => executions.run(task, how),
    stream: (task, how) => executions.stream(task, how),
    start: (task, how) => executions.start(task, how),
    batch: async function* (work, how = {}) {
      const { BatchSender } = await import("./internal/client/batches.ts");
      yield* new BatchSender(connection, work, how).answers();
    },
    execution: (id) => executions.handle(id),
    tools: {
      list: async (how) => (await ask(connection, { path: "/v1/tools", schema: toolListSchema }, how)).tools,
      get: (tool, how) => ask(connection, { path: toolPath(tool), schema: toolSchema }, how),
    },
    backends: (how) => ask(connection, { path: "/v1/backends", schema: backendListSchema }, how),
    blobs: {
      put: (content, how) => withCall(how, (call) => putBlob(connection, content, call)),
      get: (digest, how) => withCall(how, (call) => getBlob(connection, digest, call)),
    },
  };
}

function originOf(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : "?";
}

function toolPath(tool: string | ToolRef): string {
  const { name, version, digest } = typeof tool === "string" ? parseToolRef(tool) : tool;
  const exact = digest ?? version;
  const path = `/v1/tools/${encodeURIComponent(name)}`;
  return exact === undefined ? path : `${path}/${encodeURIComponent(exact)}`;
}

async function withCall<T>(times: CallTimes | undefined, work: (call: ClientCall) => Promise<T>): Promise<T> {
  const call = new ClientCall(times ?? {});
  try {
    return await work(call);
  } finally {
    call.close();
  }
}

/** Reads something that can be read as often as one likes. */
function ask<T>(
  { transport, retries, maxAnswerBytes }: Connection,
  { path, schema }: { readonly path: string; readonly schema: Schema<T> },
  how: CallOptions | undefined,
): Promise<T> {
  return withCall(how, (call) => {
    const { signal } = call;
    return withRetries(() => transport.json({ method: "GET", path, signal }, schema, maxAnswerBytes), rulesOf(call, retries));
  });
}

/** For what changes nothing, or nothing more the second time. */
function rulesOf(call: ClientCall, retries: number): RetryRules {
  return { retries, signal: call.signal, remainingMs: () => call.remainingMs, mayRunTwice: true };
}

async function putBlob(
  { transport, retries, maxAnswerBytes }: Connection,
  content: Uint8Array | Blob | ReadableStream<Uint8Array>,
  call: ClientCall,
): Promise<{ digest: Digest; size: number }> {
  const { signal } = call;
  const body = content instanceof Blob ? new Uint8Array(await content.arrayBuffer()) : content;
  const sending: Sending = { method: "POST", path: "/v1/blobs", headers: { "content-type": "application/octet-stream" }, body, signal };
  // What came of a stream is gone.
  const rules = rulesOf(call, content instanceof ReadableStream ? 0 : retries);
  const blob = await withRetries(() => transport.json(sending, blobSchema, maxAnswerBytes), rules);
  return { digest: blob.digest as Digest, size: blob.size };
}

async function getBlob({ transport, retries, maxAnswerBytes }: Connection, digest: string, call: ClientCall): Promise<Uint8Array> {
  const { signal } = call;
  const asked = { peer: transport.peer, mayHaveStarted: false };
  const read = async (): Promise<Uint8Array> => {
    const response = await transport.send({ method: "GET", path: `/v1/blobs/${encodeURIComponent(digest)}`, signal });
    const bytes = await readBytes(response, { asked, maxBytes: maxAnswerBytes, signal });
    if ((await sha256(bytes)) === digest) return bytes;
    throw answerInvalid(asked, "its bytes are not those of the digest", { digest });
  };
  return withRetries(read, rulesOf(call, retries));
}
