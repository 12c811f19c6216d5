import { mediaTypes } from "../internal/wire-names.ts";

export type StreamFormat = "ndjson" | "sse";

export const streamTypes: Readonly<Record<StreamFormat, string>> = { ndjson: mediaTypes.ndjson, sse: mediaTypes.sse };

export interface EventStreamOptions {
  readonly format: StreamFormat;
  readonly heartbeatMs: number;
  /** How long what is ready may stay unread. */
  readonly stalledMs: number;
  /** Called once, when the reader has gone or does not read. */
  readonly onLost: (why: "gone" | "stalled") => void;
}

/** What may wait for the reader before writers are held back, in bytes. */
const highWaterMark = 64 * 1024;
const encoder = new TextEncoder();

/** The body of a streamed answer. A writer waits while the reader does not read. */
export class EventStream {
  readonly body: ReadableStream<Uint8Array>;
  readonly #options: EventStreamOptions;
  readonly #heartbeat: ReturnType<typeof setInterval>;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #room: PromiseWithResolvers<void> | undefined;
  #stalled: ReturnType<typeof setTimeout> | undefined;
  #isOver = false;

  constructor(options: EventStreamOptions) {
    this.#options = options;
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => this.#release(),
        cancel: () => this.#lose("gone"),
      },
      { highWaterMark, size: (chunk) => chunk?.length ?? 0 },
    );
    this.#heartbeat = setInterval(() => this.#beat(), options.heartbeatMs);
  }

  /** Settles when the reader has room for more; at once where it has gone. */
  write(event: { readonly seq: number; readonly type: string }, json: string): Promise<void> | void {
    if (this.#isOver) return;
    const text = this.#options.format === "ndjson" ? `${json}\n` : `id: ${event.seq}\nevent: ${event.type}\ndata: ${json}\n\n`;
    this.#controller?.enqueue(encoder.encode(text));
    if ((this.#controller?.desiredSize ?? 1) > 0) return;
    this.#stalled ??= setTimeout(() => this.#lose("stalled"), this.#options.stalledMs);
    this.#room ??= Promise.withResolvers<void>();
    return this.#room.promise;
  }

  /** The reader gets what is still queued, and then the end. */
  end(): void {
    if (this.#isOver) return;
    this.#stop();
    this.#controller?.close();
  }

  #beat(): void {
    // A reader that does not read needs no sign of life, and none may pile up.
    if (this.#isOver || (this.#controller?.desiredSize ?? 0) < highWaterMark) return;
    this.#controller?.enqueue(encoder.encode(this.#options.format === "ndjson" ? '{"type":"heartbeat"}\n' : ": heartbeat\n\n"));
  }

  #release(): void {
    clearTimeout(this.#stalled);
    this.#stalled = undefined;
    this.#room?.resolve();
    this.#room = undefined;
  }

  #lose(why: "gone" | "stalled"): void {
    if (this.#isOver) return;
    this.#stop();
    if (why === "stalled") this.#controller?.close();
    this.#options.onLost(why);
  }

  #stop(): void {
    this.#isOver = true;
    clearInterval(this.#heartbeat);
    this.#release();
  }
}
