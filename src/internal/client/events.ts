import { ToolRuntimeError } from "../../errors.ts";
import { eventSchema, type WireEvent, type WireResult } from "../../wire.ts";
import { decodeBase64 } from "../base64.ts";
import { answerInvalid, connectionFailed, errorOfProblem, type Asked } from "./failures.ts";
import { readLines } from "./lines.ts";
import type { Schema } from "./transport.ts";

/** What a run tells of itself, in order. */
export type RunEvent =
  | {
      readonly type: "accepted";
      readonly seq: number;
      /** The execution's. */
      readonly id: string;
      readonly tool: { readonly name: string; readonly version: string; readonly digest: string };
    }
  | { readonly type: "started"; readonly seq: number }
  | { readonly type: "stdout" | "stderr"; readonly seq: number; readonly bytes: Uint8Array }
  | { readonly type: "result"; readonly seq: number; readonly result: WireResult };

/** How a run that gave no result ended. */
export interface Failure {
  readonly type: "error";
  readonly seq: number;
  readonly error: ToolRuntimeError;
}

export interface EventOptions {
  readonly peer: string;
  readonly signal: AbortSignal;
  readonly maxLineBytes: number;
  readonly idleMs: number;
  /** The events begin after this one; -1: with the first. */
  readonly after: number;
}

type Known = Exclude<WireEvent, { type: "heartbeat" }>;

/** How long the connection's end is waited for once all has been said. */
const closingMs = 250;
const encoder = new TextEncoder();
const schema: Schema<WireEvent> = eventSchema;
const knownTypes: ReadonlySet<string> = new Set(["accepted", "started", "stdout", "stderr", "result", "error", "end", "heartbeat"]);

/**
 * Reads a stream of events and holds it to the protocol: numbers that rise, the start before what the tool writes, one
 * ending and nothing behind it.
 *
 * @throws `ERR_CONNECTION_FAILED` for a stream without an ending, `ERR_ANSWER_INVALID`, `ERR_ABORTED`.
 */
export async function* readEvents(body: ReadableStream<Uint8Array>, options: EventOptions): AsyncGenerator<RunEvent | Failure, void, void> {
  const { peer, signal, maxLineBytes, idleMs, after } = options;
  // What runs may start at any time from here on.
  const asked: Asked = { peer, mayHaveStarted: true };
  const order = new Order(asked, after);
  const lines = readLines(body, { asked, maxLineBytes, idleMs: () => (order.isOver ? closingMs : idleMs), signal });
  try {
    for await (const line of lines) {
      const event = parseEvent(line, asked);
      if (event === undefined) continue;
      order.check(event);
      // What is read to its end leaves a connection that can be used again.
      if (event.type !== "end") yield eventOf(event, asked);
    }
  } catch (error) {
    // The ending says all; what is lost behind it says nothing.
    if (order.hasEnded && isLost(error)) return;
    throw error;
  }
  if (!order.hasEnded) throw connectionFailed(asked);
}

function isLost(error: unknown): boolean {
  return error instanceof ToolRuntimeError && error.code === "ERR_CONNECTION_FAILED";
}

function parseEvent(line: string, asked: Asked): Known | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw answerInvalid(asked, "an event is broken JSON");
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data.type === "heartbeat" ? undefined : parsed.data;
  // A later version may have events that this one does not know.
  if (typeof value === "object" && value !== null && "type" in value && typeof value.type === "string" && !knownTypes.has(value.type))
    return undefined;
  throw answerInvalid(asked, "an event is not what the protocol has there");
}

function eventOf(event: Exclude<Known, { type: "end" }>, asked: Asked): RunEvent | Failure {
  if (event.type === "error") return { type: "error", seq: event.seq, error: errorOfProblem(event.problem, asked) };
  if (event.type === "accepted" || event.type === "started" || event.type === "result") return event;
  const { type, seq, text, base64 } = event;
  const bytes = text !== undefined ? encoder.encode(text) : base64 === undefined ? undefined : decodeBase64(base64);
  if (bytes === undefined) throw answerInvalid(asked, "an event has no bytes");
  return { type, seq, bytes };
}

/** The order in which events may come. */
class Order {
  readonly #asked: Asked;
  #last: number;
  #isAccepted: boolean;
  #isStarted: boolean;
  /** It is known how the run ended. */
  hasEnded = false;
  /** Nothing more is to come. */
  isOver = false;

  constructor(asked: Asked, after: number) {
    this.#asked = asked;
    this.#last = after;
    // Whoever reads on from the middle has seen what came before.
    this.#isAccepted = after >= 0;
    this.#isStarted = after >= 0;
  }

  check({ type, seq }: Known): void {
    if (seq <= this.#last) this.#fail("its events are out of order");
    this.#last = seq;
    if (this.isOver || (this.hasEnded && type !== "end")) this.#fail("something comes after its ending");
    if (!this.hasEnded && type === "end") this.#fail("it ends without an ending");
    if ((type === "accepted") === this.#isAccepted) this.#fail("it does not begin with what was accepted");
    this.#isAccepted = true;
    if (type === "started") this.#isStarted = true;
    if ((type === "stdout" || type === "stderr") && !this.#isStarted) this.#fail("a tool writes before it has started");
    if (type === "result" || type === "error") this.hasEnded = true;
    if (type === "end") this.isOver = true;
  }

  #fail(problem: string): never {
    throw answerInvalid(this.#asked, problem);
  }
}
