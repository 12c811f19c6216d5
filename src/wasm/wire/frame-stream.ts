import { concat } from "../binary.ts";
import { eventLoopTurn } from "../turns.ts";
import { encodeFrame, FrameDecoder, ProtocolError, type Frame, type FrameBounds, type FrameKind } from "./frames.ts";
import type { FrameParts } from "./guest-io.ts";

/** As much as comes in one piece of output, about. */
const readBytes = 32 * 1024;
/** After so much the event loop has a turn; a piece counts as so much, however small. */
const turnBytes = 2 ** 20;
const pieceBytes = 4096;

/** Frames as a stream of bytes. What is sent waits in memory until the other side reads it; small frames of a turn go as one piece. */
export class FrameStream {
  readonly readable: ReadableStream<Uint8Array>;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #pieces: Uint8Array[] = [];

  /** @param cancelled is called when the other side reads no more. */
  constructor(cancelled: () => void) {
    this.readable = new ReadableStream({
      start: (controller) => {
        this.#controller = controller;
      },
      cancel: () => {
        this.#controller = undefined;
        cancelled();
      },
    });
  }

  /** Does nothing once either side has closed the stream. */
  send(kind: FrameKind, run: number, parts?: FrameParts): void {
    if (this.#controller === undefined) return;
    const [head, ...large] = encodeFrame(kind, run, parts);
    // A guest that writes byte by byte goes on until it has to wait: each piece for itself costs more than all else.
    if (this.#pieces.length === 0) queueMicrotask(() => this.#flush());
    if (head !== undefined) this.#pieces.push(head);
    if (large.length === 0) return;
    // What is large goes for itself, and is not copied once more.
    this.#flush();
    for (const piece of large) this.#controller.enqueue(piece);
  }

  #flush(): void {
    const [first, ...others] = this.#pieces;
    if (first === undefined) return;
    this.#controller?.enqueue(others.length === 0 ? first : concat(this.#pieces));
    this.#pieces = [];
  }

  close(): void {
    this.#flush();
    this.#controller?.close();
    this.#controller = undefined;
  }
}

export interface FrameReading {
  readonly boundsOf: (kind: number) => FrameBounds | undefined;
  /** While this is busy nothing more is read, so that the other side has to wait. What is true ends the reading. */
  readonly take: (frame: Frame) => boolean | Promise<boolean>;
}

/**
 * Hands on frame by frame until the stream, one of bytes, ends or somebody has enough of it.
 *
 * @throws ProtocolError, what `take` throws, and what the stream fails with.
 */
export async function readFrames(stream: ReadableStream<Uint8Array>, { boundsOf, take }: FrameReading): Promise<void> {
  const decoder = new FrameDecoder(boundsOf);
  // By itself workerd reads four KiB at a time.
  const reader = stream.getReader({ mode: "byob" });
  const turn = eventLoopTurn();
  let readSinceTurn = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read(new Uint8Array(readBytes));
      if (done) break;
      readSinceTurn += Math.max(value.length, pieceBytes);
      if (readSinceTurn >= turnBytes) {
        readSinceTurn = 0;
        // Threat: a writer that always has more on the same thread lets no timer through, not even that which would end it.
        await new Promise<void>((resolve) => turn(resolve));
      }
      decoder.push(value);
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
        const taken = take(frame);
        if (taken instanceof Promise ? await taken : taken) return;
      }
    }
    if (decoder.isPartial) throw new ProtocolError("it stopped in the middle of a frame");
  } finally {
    reader.cancel().catch(() => undefined);
  }
}
