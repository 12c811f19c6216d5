import { once } from "node:events";
import type { Socket } from "node:net";
import { encodeFrame, FrameDecoder, type Frame, type FrameBounds, type FrameKind } from "../wire/frames.ts";

/** One end of the channel. */
export class Channel {
  readonly #socket: Socket;
  readonly #decoder: FrameDecoder;

  constructor(socket: Socket, boundsOf: (kind: number) => FrameBounds | undefined) {
    this.#socket = socket;
    this.#decoder = new FrameDecoder(boundsOf);
    // An end that breaks shows itself to whoever reads.
    socket.on("error", () => undefined);
  }

  /** Whether it was all taken by the kernel; otherwise what else is sent waits in memory. */
  send(kind: FrameKind, run: number, parts: { readonly json?: object; readonly payload?: Uint8Array } = {}): boolean {
    let isTaken = true;
    for (const piece of encodeFrame(kind, run, parts)) isTaken = this.#socket.write(piece);
    return isTaken;
  }

  /** Waits until what was sent has gone, or the channel is closed. */
  async drained(): Promise<void> {
    if (!this.#socket.writableNeedDrain || this.#socket.destroyed) return;
    const stop = new AbortController();
    this.#socket.once("close", () => stop.abort());
    await once(this.#socket, "drain", { signal: stop.signal }).catch(() => undefined);
  }

  /**
   * Hands on frame by frame until the channel is closed. While `take` is busy nothing more is read, so that the other side
   * has to wait.
   *
   * @throws ProtocolError, and what `take` throws.
   */
  async read(take: (frame: Frame) => void | Promise<void>): Promise<void> {
    for await (const chunk of this.#socket as AsyncIterable<Uint8Array>) {
      this.#decoder.push(chunk);
      for (let frame = this.#decoder.next(); frame !== undefined; frame = this.#decoder.next()) {
        const taken = take(frame);
        if (taken !== undefined) await taken;
      }
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}
