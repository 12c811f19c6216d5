import type { BatchAnswer, BatchInput, BatchOptions, BatchWork } from "../../client.ts";
import { ToolRuntimeError } from "../../errors.ts";
import type { FileInput } from "../../runtime.ts";
import { mediaTypes, wireHeaders } from "../../wire.ts";
import { encodeBase64 } from "../base64.ts";
import { Budget, fuelOf } from "../batch/budget.ts";
import { returnQuietly } from "../batch/fan-out.ts";
import { batchEventSchema, batchSchema, type BatchEvent } from "../batch/messages.ts";
import { ClientCall } from "./call.ts";
import { refText, type Connection } from "./executions.ts";
import { abortedError, answerInvalid, connectionFailed, errorOfProblem, type Asked } from "./failures.ts";
import { readLines } from "./lines.ts";
import { pause, pauseBefore } from "./retries.ts";
import { discard, isEventStream, type Schema } from "./transport.ts";

/** What is sent in one request: so many inputs, of so many characters. One request's inputs are kept until all are answered. */
const maxInputs = 2000;
const maxCharacters = 2 * 2 ** 20;
/** How long further inputs are waited for once there is one. */
const gatherMs = 50;
/** How often in a row a request may be lost without an answer that is new. */
const maxLost = 10;
/** How long whoever leaves waits for what runs to be ended. */
const cancelMs = 5000;
/** Larger files go ahead as blobs. */
const maxInlineBytes = 64 * 1024;
const schema: Schema<BatchEvent> = batchEventSchema;
const encoder = new TextEncoder();

type Item = Extract<BatchEvent, { type: "item" }>;

/** Sends a batch in parts, one after the other, each again under the same key where its connection is lost. */
export class BatchSender {
  readonly #connection: Connection;
  readonly #work: BatchWork;
  readonly #options: BatchOptions;
  readonly #key: string;
  readonly #budget: Budget;
  readonly #left = new AbortController();
  readonly #signal: AbortSignal;
  readonly #asked: Asked;
  /** The batch at the service that has not ended. */
  #open: string | undefined;
  #first = 0;

  /** @throws `ERR_ARGUMENT_INVALID`. */
  constructor(connection: Connection, work: BatchWork, options: BatchOptions) {
    this.#connection = connection;
    this.#work = work;
    this.#options = options;
    this.#key = options.idempotencyKey ?? crypto.randomUUID();
    this.#budget = new Budget(work.budget ?? {}, () => undefined);
    this.#signal = options.signal === undefined ? this.#left.signal : AbortSignal.any([options.signal, this.#left.signal]);
    this.#asked = { peer: connection.transport.peer, mayHaveStarted: true };
  }

  async *answers(): AsyncGenerator<BatchAnswer, void, void> {
    const parts = new Parts(this.#work.inputs, { signal: this.#signal, lineOf: (input) => this.#lineOf(input) });
    this.#budget.start();
    try {
      for (let part = await parts.next(); part.length > 0; part = await parts.next()) {
        const spent = this.#budget.exhaustedBy;
        if (spent === undefined) yield* this.#sendPart(part);
        else for (const index of part.keys()) yield { index: this.#first + index, status: "error", error: this.#budget.error(spent) };
        this.#first += part.length;
      }
    } finally {
      this.#budget.close();
      this.#left.abort();
      parts.leave();
      await this.#leave();
    }
  }

  /** What runs at the service is ended; under a key that the caller has too it is let end, so that the batch can go on. */
  async #leave(): Promise<void> {
    const { transport, maxAnswerBytes } = this.#connection;
    if (this.#open === undefined || this.#options.idempotencyKey !== undefined) return;
    const path = `/v1/batches/${encodeURIComponent(this.#open)}`;
    await transport
      .json({ method: "DELETE", path, signal: AbortSignal.timeout(cancelMs) }, batchSchema, maxAnswerBytes)
      .catch(() => undefined);
  }

  /** Sends inputs until each has its answer: those again whose answer was lost. */
  async *#sendPart(part: readonly string[]): AsyncGenerator<BatchAnswer, void, void> {
    const waiting = new Map(part.map((line, position) => [this.#first + position, line]));
    for (let lost = 0; ; lost++) {
      try {
        for await (const item of this.#sendOnce(waiting)) {
          if (!waiting.delete(item.index)) throw this.#invalid("an item is of no input that waits for one");
          lost = -1;
          yield this.#answerOf(item);
        }
        if (waiting.size === 0) return;
        throw this.#invalid("it ends without an answer for each input");
      } catch (error) {
        const most = this.#connection.retries === 0 ? 0 : maxLost;
        const rules = { retries: most, signal: this.#signal, remainingMs: () => Number.POSITIVE_INFINITY, mayRunTwice: true };
        const pauseMs = lost < most ? pauseBefore(Math.max(0, lost), error, rules) : undefined;
        if (pauseMs === undefined) throw error;
        await pause(pauseMs, this.#signal);
      }
    }
  }

  async *#sendOnce(waiting: ReadonlyMap<number, string>): AsyncGenerator<Item, void, void> {
    const { transport, maxAnswerBytes, idleMs } = this.#connection;
    const { tool, inputs: _inputs, budget: _budget, ...rest } = this.#work;
    const name = typeof tool === "string" ? tool : refText(tool);
    const indexes = [...waiting.keys()];
    const head = JSON.stringify({ ...rest, tool: name, indexes, budget: this.#budget.left() });
    const lines = [...waiting.values()];
    const headers = { accept: mediaTypes.ndjson, "content-type": mediaTypes.ndjson, [wireHeaders.idempotencyKey]: this.#key };
    const body = `${head}\n${lines.join("\n")}\n`;
    const response = await transport.send({ method: "POST", path: "/v1/batches", headers, body, signal: this.#signal, startsTool: true });
    if (response.body === null || !isEventStream(response)) {
      discard(response);
      throw this.#invalid("it is no stream of events");
    }
    const reading = { asked: this.#asked, maxLineBytes: maxAnswerBytes, idleMs: () => idleMs, signal: this.#signal };
    for await (const line of readLines(response.body, reading)) {
      const event = this.#eventOf(line);
      if (event.type === "accepted") this.#open = event.id;
      if (event.type === "item") yield event;
      if (event.type !== "end") continue;
      this.#open = undefined;
      if (event.state === "exhausted") this.#budget.exhaustedBy ??= event.budget;
      if (event.problem !== undefined) throw errorOfProblem(event.problem, this.#asked);
      return;
    }
    throw connectionFailed(this.#asked);
  }

  #eventOf(line: string): BatchEvent {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      throw this.#invalid("an event is broken JSON");
    }
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    throw this.#invalid("an event is not what the protocol has there");
  }

  #answerOf({ index, id, kept, result, problem }: Item): BatchAnswer {
    const about = { index, ...(id === undefined ? {} : { id }), ...(kept === undefined ? {} : { kept }) };
    if (result !== undefined) {
      this.#budget.charge({ fuel: fuelOf(result.limits), isFailure: result.exitCode !== 0 });
      return { ...about, status: "result", result };
    }
    if (problem === undefined) throw this.#invalid("an item has neither result nor problem");
    const error = errorOfProblem(problem, this.#asked);
    if (error.code !== "ERR_BUDGET_EXHAUSTED") this.#budget.charge({ fuel: fuelOf(error.partial?.limits), isFailure: true });
    return { ...about, status: "error", error };
  }

  #invalid(problem: string): ToolRuntimeError {
    return answerInvalid(this.#asked, problem);
  }

  async #lineOf(input: BatchInput): Promise<string> {
    if (this.#work.as !== "items") return jsonOf(input);
    if (typeof input !== "object" || input === null || !("files" in input) || typeof input.files !== "object") return jsonOf(input);
    const files: Record<string, object> = Object.create(null);
    for (const [path, file] of Object.entries(input.files ?? {})) files[path] = await this.#fileOf(file);
    return jsonOf({ ...input, files });
  }

  async #fileOf(file: FileInput): Promise<object> {
    if (typeof file === "object" && "digest" in file) return file;
    const content = typeof file === "string" ? encoder.encode(file) : file;
    if (content instanceof Uint8Array && content.length <= maxInlineBytes) return { base64: encodeBase64(content) };
    const call = new ClientCall({ signal: this.#signal });
    try {
      return { digest: (await this.#connection.putBlob(content, call)).digest };
    } finally {
      call.close();
    }
  }
}

/** @throws `ERR_INPUT_INVALID`. */
function jsonOf(input: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(input);
  } catch (cause) {
    throw new ToolRuntimeError("ERR_INPUT_INVALID", "Cannot send the input: JSON cannot say it", { cause });
  }
  if (text !== undefined) return text;
  throw new ToolRuntimeError("ERR_INPUT_INVALID", `Cannot send the input: it is a ${typeof input}, which JSON cannot say`);
}

interface PartOptions {
  readonly signal: AbortSignal;
  lineOf(input: BatchInput): Promise<string>;
}

/** Gathers inputs into parts. A source that gives them slowly gets smaller ones. */
class Parts {
  readonly #iterator: Iterator<BatchInput> | AsyncIterator<BatchInput>;
  readonly #options: PartOptions;
  #coming: Promise<IteratorResult<BatchInput>> | undefined;
  #isDone = false;

  constructor(inputs: BatchWork["inputs"], options: PartOptions) {
    this.#iterator = Symbol.asyncIterator in inputs ? inputs[Symbol.asyncIterator]() : inputs[Symbol.iterator]();
    this.#options = options;
  }

  /** The next inputs as lines of JSON, at least one; none where there are no more. */
  async next(): Promise<string[]> {
    const { signal, lineOf } = this.#options;
    const part: string[] = [];
    let characters = 0;
    let until = Number.POSITIVE_INFINITY;
    while (!this.#isDone && part.length < maxInputs && characters < maxCharacters) {
      this.#coming ??= this.#ask();
      const next = await within(this.#coming, until - performance.now(), signal);
      if (next === undefined) break;
      this.#coming = undefined;
      if (next.done === true) break;
      const line = await lineOf(next.value);
      characters += line.length;
      if (part.push(line) === 1) until = performance.now() + gatherMs;
    }
    return part;
  }

  async #ask(): Promise<IteratorResult<BatchInput>> {
    try {
      const next = await this.#iterator.next();
      if (next.done === true) this.#isDone = true;
      return next;
    } catch (error) {
      this.#isDone = true;
      throw error;
    }
  }

  /** Not awaited: an iterator that waits for its next value comes to its end after that. */
  leave(): void {
    this.#coming?.catch(() => undefined);
    if (!this.#isDone) void returnQuietly(this.#iterator);
  }
}

/** What comes within the time; nothing where it passes first. @throws `ERR_ABORTED`. */
function within<T>(coming: Promise<T>, ms: number, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const stop = (): void => settle(() => reject(abortedError(signal, false)));
    const timer = ms === Number.POSITIVE_INFINITY ? undefined : setTimeout(() => settle(() => resolve(undefined)), Math.max(0, ms));
    const settle = (how: () => void): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      how();
    };
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    coming.then(
      (value) => settle(() => resolve(value)),
      (error: unknown) => settle(() => reject(error)),
    );
  });
}
