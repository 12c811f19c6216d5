import type { RunIo } from "../../backend.ts";
import type { Channel } from "./channel.ts";
import { frameKinds, type Frame } from "./frames.ts";
import { maxPieceBytes, outputWindow, type AckMessage, type RunMessage } from "./protocol.ts";

/** The child's side of one run: a {@link RunIo} at the other end of the channel. */
export class ChildIo implements RunIo {
  readonly id: string;
  readonly stdin: Uint8Array;
  readonly files: RunIo["files"];
  readonly env: RunIo["env"];
  readonly maxOutputFiles: number;
  readonly #run: number;
  readonly #channel: Channel;
  readonly #controller = new AbortController();
  #unackedBytes = 0;
  #unackedFrames = 0;
  /** Settles when the window has room. Absent while nobody waits for that. */
  #room: PromiseWithResolvers<void> | undefined;

  constructor(channel: Channel, { run, payload }: Frame, message: RunMessage) {
    this.#channel = channel;
    this.#run = run;
    this.id = message.id;
    this.env = message.env;
    this.maxOutputFiles = message.maxOutputFiles;
    this.stdin = payload.subarray(0, message.stdinBytes);
    let at = message.stdinBytes;
    this.files = message.files.map(({ path, bytes }) => ({ path, bytes: payload.subarray(at, (at += bytes)) }));
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  stdout(bytes: Uint8Array): void | Promise<void> {
    return this.#write(frameKinds.stdout, bytes);
  }

  stderr(bytes: Uint8Array): void | Promise<void> {
    return this.#write(frameKinds.stderr, bytes);
  }

  started(): void {
    this.#channel.send(frameKinds.started, this.#run);
  }

  end(reason: Error): void {
    this.#controller.abort(reason);
    this.#room?.reject(reason);
    this.#room = undefined;
  }

  acked({ bytes, frames }: AckMessage): void {
    this.#unackedBytes -= bytes;
    this.#unackedFrames -= frames;
    if (!this.#hasRoom) return;
    this.#room?.resolve();
    this.#room = undefined;
  }

  /** Sends all of it at once, so that what is written next comes after it; whoever writes is to wait until the window has room. */
  #write(kind: typeof frameKinds.stdout | typeof frameKinds.stderr, bytes: Uint8Array): void | Promise<void> {
    this.signal.throwIfAborted();
    for (let at = 0; at < bytes.length; at += maxPieceBytes) {
      const payload = bytes.subarray(at, at + maxPieceBytes);
      this.#unackedBytes += payload.length;
      this.#unackedFrames++;
      this.#channel.send(kind, this.#run, { payload });
    }
    if (this.#hasRoom) return;
    if (this.#room === undefined) {
      this.#room = Promise.withResolvers();
      // A guest that has ended waits for nothing any more.
      this.#room.promise.catch(() => undefined);
    }
    return this.#room.promise;
  }

  get #hasRoom(): boolean {
    return this.#unackedBytes < outputWindow.bytes && this.#unackedFrames < outputWindow.frames;
  }
}
