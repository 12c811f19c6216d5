import type { OutputFile, Plan, RunIo, RunReport } from "../../backend.ts";
import { enforcedValue } from "../../backend.ts";
import { ToolRuntimeError, toToolRuntimeError } from "../../errors.ts";
import { readEvents, type Failure, type RunEvent } from "../../internal/client/events.ts";
import { abortedError, answerInvalid, connectionSilent, errorOfProblem, type Asked } from "../../internal/client/failures.ts";
import { fitsForm, taskBody, type SentFile, type TaskBody } from "../../internal/client/task-body.ts";
import { discard, isEventStream } from "../../internal/client/transport.ts";
import type { LimitReceipt } from "../../limits.ts";
import type { WireExecution, WireResult } from "../../wire.ts";
import { assertHeld, delegatedOf } from "./answers.ts";
import type { Catalog, Peer } from "./peer.ts";
import { headersOf, inputOf, membersOf } from "./spec.ts";

export interface DelegationOptions {
  readonly peer: Peer;
  readonly catalog: Catalog;
  readonly plan: Plan;
  readonly io: RunIo;
  readonly settings: DelegationSettings;
}

export interface DelegationSettings {
  readonly maxOutputBytes: number;
  /** How long nothing may come. The answer's head comes when the tool starts, or half a second after the request. */
  readonly silenceMs: number;
}

/** How long the id of a run that has just been sent is waited for, to end it by. */
const idMs = 1000;
/** Beyond the plan's grace, for a node to say that a run is over. */
const cancelMs = 3000;
/** For a node that has broken the protocol, or whose connection is gone. */
const abandonMs = 2000;
/** What a result says besides the tool's output. */
const maxResultBytes = 4 * 2 ** 20;
/** JSON says a control character in six. */
const maxEscape = 6;

/** One run on one node, from the request to what it brought back. */
export class Delegation {
  readonly #options: DelegationOptions;
  readonly #asked: Asked;
  /** Ends the connection. */
  readonly #link = new AbortController();
  /** The run's id there; nothing where it will not be known. */
  readonly #accepted = Promise.withResolvers<string | undefined>();
  #id: string | undefined;
  /** The node has said how the run ended. */
  #isOver = false;
  #cancelling: Promise<WireExecution | undefined> | undefined;

  constructor(options: DelegationOptions) {
    this.#options = options;
    this.#asked = { peer: options.peer.transport.peer, mayHaveStarted: true };
  }

  /** Settles when the run is over there, or the node cannot be asked any more. */
  async run(): Promise<RunReport> {
    const { plan, io, peer } = this.#options;
    const end = (): void => {
      this.#cancelling ??= this.#cancel();
    };
    io.signal.addEventListener("abort", end, { once: true });
    try {
      if (io.signal.aborted) throw abortedError(io.signal, false);
      const result = await this.#follow(await this.#post());
      assertHeld(plan, result, peer);
      const files = await this.#fetchFiles(result);
      return { exit: result.exit, readings: [], files, delegated: delegatedOf(plan, result, peer) };
    } catch (error) {
      this.#accepted.resolve(undefined);
      if (this.#cancelling === undefined && !this.#isOver) await this.#abandon();
      throw await this.#outcome(toToolRuntimeError(error));
    } finally {
      io.signal.removeEventListener("abort", end);
      this.#link.abort();
    }
  }

  /** Of a run that was ended here, what the node says of its end has the receipts. */
  async #outcome(error: ToolRuntimeError): Promise<ToolRuntimeError> {
    const ended = await this.#cancelling;
    if (ended?.problem === undefined) return error;
    return errorOfProblem(ended.problem, this.#asked);
  }

  /** Ends a run whose node is no longer understood, where it still takes a request; else it ends it when it sees that nobody reads. */
  async #abandon(): Promise<void> {
    this.#link.abort();
    if (this.#id !== undefined) await this.#options.peer.cancel(this.#id, AbortSignal.timeout(abandonMs)).catch(() => undefined);
  }

  async #post(): Promise<Response> {
    const { peer, catalog, plan, io, settings } = this.#options;
    const { silenceMs } = settings;
    const { body, headers } = await this.#body(membersOf(plan, io, catalog.security));
    const { signal } = this.#link;
    const late = setTimeout(() => this.#link.abort(connectionSilent(this.#asked, silenceMs)), silenceMs);
    try {
      const all = { ...headers, ...headersOf(io) };
      const response = await peer.transport.send({ method: "POST", path: "/v1/executions", headers: all, body, signal, startsTool: true });
      if (isEventStream(response)) return response;
      discard(response);
      throw answerInvalid(this.#asked, "it is no stream of events", { status: response.status });
    } finally {
      clearTimeout(late);
    }
  }

  async #body(members: ReturnType<typeof membersOf>): Promise<TaskBody> {
    const { io, peer } = this.#options;
    const files: SentFile[] = [];
    const digests: Record<string, { readonly digest: string }> = Object.create(null);
    for (const file of io.files) {
      if (fitsForm(file.path)) files.push(file);
      else digests[file.path] = { digest: await peer.putBlob(file.bytes, this.#link.signal) };
    }
    const all = Object.keys(digests).length === 0 ? members : { ...members, files: digests };
    return taskBody({ members: all, inputJson: inputOf(io), files });
  }

  /** Passes on what the tool does, and gives its result. */
  async #follow({ body }: Response): Promise<WireResult> {
    const { peer, plan, settings } = this.#options;
    if (body === null) throw answerInvalid(this.#asked, "it has no body");
    const output = plan.limits.find(({ limit }) => limit === "output")?.value ?? 0;
    const maxLineBytes = maxResultBytes + maxEscape * output;
    const idleMs = settings.silenceMs;
    const events = readEvents(body, { peer: peer.transport.peer, signal: this.#link.signal, maxLineBytes, idleMs, after: -1 });
    let result: WireResult | undefined;
    for await (const event of events) {
      this.#isOver = event.type === "result" || event.type === "error";
      if (event.type === "accepted") this.#accept(event);
      else if (event.type === "result") result = event.result;
      else await this.#pass(event);
    }
    if (result === undefined || result.id !== this.#id) throw answerInvalid(this.#asked, "its result is another run's");
    return result;
  }

  #accept({ id, tool }: RunEvent & { readonly type: "accepted" }): void {
    this.#id = id;
    this.#accepted.resolve(id);
    if (tool.digest !== this.#options.plan.tool.digest) throw answerInvalid(this.#asked, "it accepted another tool");
  }

  /** A run that was ended is read on to its end: the node says what it came to. */
  async #pass(event: Exclude<RunEvent | Failure, { type: "accepted" | "result" }>): Promise<void> {
    const { io } = this.#options;
    if (event.type === "error") throw event.error;
    if (io.signal.aborted) return;
    try {
      if (event.type === "started") io.started();
      else await io[event.type](event.bytes);
    } catch (error) {
      if (!io.signal.aborted) throw error;
    }
  }

  /** Has the node end the run and waits until it has; then, or where it cannot be asked, lets the connection go. */
  async #cancel(): Promise<WireExecution | undefined> {
    const { peer, plan } = this.#options;
    const late = setTimeout(() => this.#accepted.resolve(undefined), idMs);
    const id = await this.#accepted.promise;
    clearTimeout(late);
    const signal = AbortSignal.timeout(plan.graceMs + cancelMs);
    const ended = id === undefined ? undefined : await peer.cancel(id, signal).catch(() => undefined);
    this.#link.abort();
    return ended;
  }

  /** @throws `ERR_LIMIT_DISK` for more than this side takes. */
  async #fetchFiles({ files, limits }: WireResult): Promise<OutputFile[]> {
    const { peer, plan, io, settings } = this.#options;
    const maxBytes = Math.min(settings.maxOutputBytes, enforcedValue(plan, "disk") ?? Number.POSITIVE_INFINITY);
    const total = files.reduce((sum, { size }) => sum + size, 0);
    if (files.length > io.maxOutputFiles) {
      throw tooMuch(`there are more than ${io.maxOutputFiles}`, { maxOutputFiles: io.maxOutputFiles }, limits);
    }
    if (total > maxBytes) throw tooMuch(`they are over ${maxBytes} bytes`, { limit: "disk", value: maxBytes }, limits);
    const fetched: OutputFile[] = [];
    for (const file of files) {
      if (!isInside(file.path)) throw answerInvalid(this.#asked, "a file's path leads out of its folder");
      // One of less than nothing would make room for another.
      if (file.size < 0) throw answerInvalid(this.#asked, "a file has less than no bytes");
      fetched.push({ path: file.path, bytes: await peer.blob(file, this.#link.signal) });
    }
    return fetched;
  }
}

/** With the receipts of the run, which ended well there; what it wrote is known here. */
function tooMuch(why: string, details: Readonly<Record<string, unknown>>, limits: readonly LimitReceipt[]): ToolRuntimeError {
  const partial = { stdout: "", stderr: "", truncated: { stdout: false, stderr: false }, limits };
  return new ToolRuntimeError("ERR_LIMIT_DISK", `Cannot take the files that the tool left: ${why}`, { started: true, details, partial });
}

/** What a node names may be written to a folder by whoever asked for it. */
function isInside(path: string): boolean {
  return !/[\\\0]/.test(path) && path.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}
