import type { Plan, RunIo, RunReport } from "../../backend.ts";
import { enforcedValue } from "../../backend.ts";
import { ToolRuntimeError, toToolRuntimeError, type ErrorCode } from "../../errors.ts";
import { readEvents, type RunEvent } from "../../internal/client/events.ts";
import { abortedError, answerInvalid, connectionSilent, errorOfProblem, type Asked } from "../../internal/client/failures.ts";
import { fitsForm, taskBody, type SentFile, type TaskBody } from "../../internal/client/task-body.ts";
import { pause } from "../../internal/client/retries.ts";
import { discard, isEventStream } from "../../internal/client/transport.ts";
import type { LimitReceipt } from "../../limits.ts";
import type { WireExecution, WireResult } from "../../wire.ts";
import { assertHeld, delegatedOf } from "./answers.ts";
import type { Catalog, Peer } from "./peer.ts";
import { Diverged } from "./relay.ts";
import { openFile, sendFile } from "./run-files.ts";
import { headersOf, inputOf, membersOf } from "./spec.ts";
import type { Attempt } from "./standing.ts";

export interface DelegationOptions {
  readonly peer: Peer;
  readonly catalog: Catalog;
  readonly plan: Plan;
  readonly io: RunIo;
  readonly settings: DelegationSettings;
  /** The same for the same run on the same node. */
  readonly key: string;
  /** What the node gave when it was full: it keeps a place. */
  readonly ticket: string | undefined;
  /** Whether the node was asked before, under this key. */
  readonly isRepeat: boolean;
  /** How the node behaves is told to this one. */
  readonly attempt: Attempt;
}

export interface DelegationSettings {
  readonly maxOutputBytes: number;
  /** How long nothing may come. The answer's head comes when the tool starts, or half a second after the request. */
  readonly silenceMs: number;
  /** Bytes of output that may be on their way here. */
  readonly windowBytes: number;
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
/** What is taken is acknowledged at least so often, or a slow reader would pass for one that does not read. */
const ackMs = 1000;
const maxAcks = 6;
/** Failures of a node, or of the way to it, whatever the task. */
const faults: ReadonlySet<ErrorCode> = new Set(["ERR_CONNECTION_FAILED", "ERR_UNAUTHORIZED", "ERR_FORBIDDEN"]);
/** Why a connection is let go; without a reason of its own each abort would make an error with a stack. */
const over = new ToolRuntimeError("ERR_ABORTED", "Cannot go on with the connection: the run is over");
const encoder = new TextEncoder();
/** Files that are more than this together are sent ahead, each by itself. */
const maxInlineBytes = 2 ** 20;

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
  #isStarted = false;
  /** Output that was taken, and how much of it the node knows of. */
  #takenBytes = 0;
  #acknowledgedBytes = 0;
  #acknowledgedAt = performance.now();
  #isAcknowledging = false;
  #cancelling: Promise<WireExecution | undefined> | undefined;

  constructor(options: DelegationOptions) {
    this.#options = options;
    this.#asked = { peer: options.peer.transport.peer, mayHaveStarted: true };
  }

  /** Whether the node has said that it took the run. */
  get isAccepted(): boolean {
    return this.#id !== undefined;
  }

  /** Settles when the run is over there, or the node cannot be asked any more. */
  async run(): Promise<RunReport> {
    const { peer } = this.#options;
    const letGo = peer.lease.hold();
    peer.load.outstanding++;
    try {
      return await this.#run();
    } finally {
      peer.load.outstanding--;
      letGo();
    }
  }

  async #run(): Promise<RunReport> {
    const { plan, io, peer, attempt } = this.#options;
    const end = (): void => {
      this.#cancelling ??= this.#cancel();
    };
    io.signal.addEventListener("abort", end, { once: true });
    try {
      if (io.signal.aborted) throw abortedError(io.signal, false);
      const result = await this.#follow(await peer.tools.with(plan.tool, io.signal, () => this.#post()));
      assertHeld(plan, result, peer);
      await this.#fetchFiles(result);
      attempt.succeeded();
      peer.noteRun(plan);
      return { exit: result.exit, readings: [], delegated: delegatedOf(plan, result, peer) };
    } catch (error) {
      this.#accepted.resolve(undefined);
      if (error instanceof Diverged) {
        attempt.ended();
        await this.#abandon();
        throw error;
      }
      const failure = toToolRuntimeError(error);
      this.#judge(failure);
      const ended = this.#cancelling === undefined && !this.#isOver ? await this.#abandon() : undefined;
      throw ended === undefined ? await this.#outcome(failure) : unlessStarted(failure, ended);
    } finally {
      io.signal.removeEventListener("abort", end);
      this.#link.abort(over);
    }
  }

  /** Of a run that was ended here, what the node says of its end has the receipts. */
  async #outcome(error: ToolRuntimeError): Promise<ToolRuntimeError> {
    const ended = await this.#cancelling;
    if (ended?.problem === undefined) return error;
    return errorOfProblem(ended.problem, this.#asked);
  }

  /** Tells what the failure says of the node. */
  #judge(error: ToolRuntimeError): void {
    const { attempt, io, peer } = this.#options;
    if (isBreach(error) && (this.isAccepted || this.#isOver)) return attempt.failed(error, true);
    if (io.signal.aborted) {
      // The runtime counts output by itself: more than the limit cannot come of a node that holds it.
      const isFlood = io.signal.reason instanceof ToolRuntimeError && io.signal.reason.code === "ERR_LIMIT_OUTPUT";
      return isFlood ? attempt.failed(floodOf(peer.name), true) : attempt.ended();
    }
    // A refusal that was understood is the answer of a node that is well, unless nobody is let in.
    if (isBreach(error) || faults.has(error.code)) return attempt.failed(error, false);
    return this.#isOver || !error.started ? attempt.succeeded() : attempt.ended();
  }

  /** Ends a run whose node is no longer understood, where it still takes a request; else it ends it when it sees that nobody reads. */
  async #abandon(): Promise<WireExecution | undefined> {
    this.#link.abort(over);
    if (this.#id === undefined) return undefined;
    return this.#options.peer.cancel(this.#id, AbortSignal.timeout(abandonMs)).catch(() => undefined);
  }

  async #post(): Promise<Response> {
    const { peer, catalog, plan, io, settings, key, ticket, isRepeat } = this.#options;
    const { silenceMs } = settings;
    const { body, headers } = await this.#body(membersOf(plan, io, catalog));
    const { signal } = this.#link;
    const instance = isRepeat ? catalog.instance : undefined;
    const heading = { key, ticket, instance, lease: peer.lease.id, windowBytes: this.#windowBytes };
    const late = setTimeout(() => this.#link.abort(connectionSilent(this.#asked, silenceMs)), silenceMs);
    try {
      const all = { ...headers, ...headersOf(io, heading) };
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
    const isSmall = io.files.reduce((sum, { size }) => sum + size, 0) <= maxInlineBytes;
    for (const file of io.files) {
      if (isSmall && fitsForm(file.path)) files.push({ path: file.path, bytes: await file.bytes() });
      else digests[file.path] = { digest: await sendFile(peer.transport, file, this.#link.signal) };
    }
    const all = Object.keys(digests).length === 0 ? members : { ...members, files: digests };
    return taskBody({ members: all, inputJson: inputOf(io), files });
  }

  /** Passes on what the tool does, and gives its result. */
  async #follow({ body }: Response): Promise<WireResult> {
    const { peer, catalog, plan, settings } = this.#options;
    if (body === null) throw answerInvalid(this.#asked, "it has no body");
    const output = plan.limits.find(({ limit }) => limit === "output")?.value ?? 0;
    // What the events have brought is not said once more.
    const maxLineBytes = maxResultBytes + (catalog.features.has("brief") ? 0 : maxEscape * output);
    const idleMs = settings.silenceMs;
    const events = readEvents(body, { peer: peer.transport.peer, signal: this.#link.signal, maxLineBytes, idleMs, after: -1 });
    let result: WireResult | undefined;
    let failure: ToolRuntimeError | undefined;
    try {
      for await (const event of events) {
        this.#isOver = event.type === "result" || event.type === "error";
        if (event.type === "accepted") this.#accept(event);
        else if (event.type === "result") result = event.result;
        else if (event.type === "error") failure = event.error;
        else await this.#pass(event);
      }
    } catch (error) {
      // The first ending is the one that counts; what comes behind it says something of the node alone.
      if (failure === undefined) throw error;
      if (error instanceof ToolRuntimeError) this.#judge(error);
    }
    if (failure !== undefined) throw failure;
    if (result === undefined || result.id !== this.#id) throw answerInvalid(this.#asked, "its result is another run's");
    if (!this.#isStarted) await this.#replay(result);
    return result;
  }

  /** Of a run that was asked for twice, the node says only how it ended: what it wrote is in the result, if it is short. */
  async #replay({ stdout, stderr, truncated, replaced, brief }: WireResult): Promise<void> {
    const { io, peer } = this.#options;
    if (brief === true || truncated.stdout || truncated.stderr || replaced.stdout || replaced.stderr) {
      const message = `Cannot get the answer of ${peer.transport.peer}: what the tool wrote was lost with the connection that broke`;
      throw new ToolRuntimeError("ERR_CONNECTION_FAILED", message, { started: true });
    }
    io.started();
    if (stdout !== "") await io.stdout(encoder.encode(stdout));
    if (stderr !== "") await io.stderr(encoder.encode(stderr));
  }

  #accept({ id, tool }: RunEvent & { readonly type: "accepted" }): void {
    this.#id = id;
    this.#accepted.resolve(id);
    this.#options.attempt.accepted();
    if (tool.digest !== this.#options.plan.tool.digest) throw answerInvalid(this.#asked, "it accepted another tool");
  }

  /** A run that was ended is read on to its end: the node says what it came to. */
  async #pass(event: Exclude<RunEvent, { type: "accepted" | "result" }>): Promise<void> {
    const { io } = this.#options;
    if (event.type === "started") this.#isStarted = true;
    else this.#takenBytes += event.bytes.length;
    if (io.signal.aborted) return this.#acknowledge();
    try {
      if (event.type === "started") io.started();
      else await io[event.type](event.bytes);
    } catch (error) {
      if (!io.signal.aborted) throw error;
    }
    this.#acknowledge();
  }

  get #windowBytes(): number | undefined {
    return this.#options.peer.knows("window") ? this.#options.settings.windowBytes : undefined;
  }

  /** Tells the node twice in each window what was taken, and each second. Not awaited: the next output is on its way meanwhile. */
  #acknowledge(): void {
    const windowBytes = this.#windowBytes;
    const now = performance.now();
    const isDue = this.#takenBytes - this.#acknowledgedBytes >= (windowBytes ?? 0) / 2 || now - this.#acknowledgedAt >= ackMs;
    if (windowBytes === undefined || this.#isAcknowledging || this.#takenBytes === this.#acknowledgedBytes || !isDue) return;
    this.#isAcknowledging = true;
    void this.#sendAcknowledgement().finally(() => {
      this.#isAcknowledging = false;
      // What has come meanwhile.
      if (!this.#link.signal.aborted && !this.#isOver) this.#acknowledge();
    });
  }

  /** One that is lost is sent again: the node may wait for it, and then nothing would come that another one could follow. */
  async #sendAcknowledgement(): Promise<void> {
    const { peer } = this.#options;
    const { signal } = this.#link;
    for (let attempt = 0; this.#id !== undefined && !signal.aborted && attempt < maxAcks; attempt++) {
      const bytes = this.#takenBytes;
      try {
        await peer.acknowledge(this.#id, bytes, signal);
        this.#acknowledgedBytes = bytes;
        this.#acknowledgedAt = performance.now();
        return;
      } catch {
        await pause(100 * 2 ** attempt, signal).catch(() => undefined);
      }
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
    this.#link.abort(over);
    return ended;
  }

  /** @throws `ERR_LIMIT_DISK` for more than this side takes. */
  async #fetchFiles({ files, limits }: WireResult): Promise<void> {
    const { plan, io, settings } = this.#options;
    const maxBytes = Math.min(settings.maxOutputBytes, enforcedValue(plan, "disk") ?? Number.POSITIVE_INFINITY);
    const total = files.reduce((sum, { size }) => sum + size, 0);
    if (files.length > io.maxOutputFiles) {
      throw tooMuch(`there are more than ${io.maxOutputFiles}`, { maxOutputFiles: io.maxOutputFiles }, limits);
    }
    if (total > maxBytes) throw tooMuch(`they are over ${maxBytes} bytes`, { limit: "disk", value: maxBytes }, limits);
    for (const { path, size } of files) {
      if (!isInside(path)) throw answerInvalid(this.#asked, "a file's path leads out of its folder");
      // One of less than nothing would make room for another.
      if (size < 0) throw answerInvalid(this.#asked, "a file has less than no bytes");
    }
    for (const file of files) await this.#fetchFile(file);
  }

  async #fetchFile(file: WireResult["files"][number]): Promise<void> {
    const { peer, io, settings } = this.#options;
    const { path, digest, size } = file;
    const content = await openFile(peer.transport, file, { signal: this.#link.signal, silenceMs: settings.silenceMs });
    try {
      await io.file({ path, content, expected: { digest, size } });
    } catch (error) {
      if (!(error instanceof ToolRuntimeError) || error.code !== "ERR_DIGEST_MISMATCH") throw error;
      throw answerInvalid(this.#asked, "a file is not the one that was announced", { digest });
    }
  }
}

/** Whether the node, or who answers in its place, did not keep to the protocol. */
function isBreach({ code }: ToolRuntimeError): boolean {
  return code === "ERR_ANSWER_INVALID";
}

function floodOf(name: string): ToolRuntimeError {
  const message = `Cannot read the answer of the node "${name}": it sent more output than the tool may write`;
  return new ToolRuntimeError("ERR_ANSWER_INVALID", message, { started: true });
}

/** The node was asked to end the run, and says that it had not started: nothing is lost then. */
function unlessStarted(error: ToolRuntimeError, { problem }: WireExecution): ToolRuntimeError {
  if (problem === undefined || problem.started || error.code !== "ERR_CONNECTION_FAILED") return error;
  return new ToolRuntimeError(error.code, error.message, { started: false, details: error.details, cause: error.cause });
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
