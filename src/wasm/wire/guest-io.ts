import { toToolRuntimeError, ToolRuntimeError, type ErrorCode } from "../../errors.ts";
import { frameKinds, type Frame, type FrameKind } from "./frames.ts";
import { maxPieceBytes, outputWindow, type AckMessage, type EndMessage, type RunMessage } from "./messages.ts";
import type { WasmIo } from "../run-types.ts";

export interface FrameParts {
  readonly json?: object;
  readonly payload?: Uint8Array;
}

/** Sends a frame of the run. */
export type SendFrame = (kind: FrameKind, parts?: FrameParts) => void;

/** The guest's side of one run: a {@link WasmIo} at the other end of the channel. */
export class GuestIo implements WasmIo {
  readonly id: string;
  readonly stdin: Uint8Array;
  readonly files: WasmIo["files"];
  readonly env: WasmIo["env"];
  readonly maxOutputFiles: number;
  readonly #send: SendFrame;
  readonly #controller = new AbortController();
  #unackedBytes = 0;
  #unackedFrames = 0;
  /** Settles when the window has room. Absent while nobody waits for that. */
  #room: PromiseWithResolvers<void> | undefined;

  constructor(send: SendFrame, { payload }: Frame, message: RunMessage) {
    this.#send = send;
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
    this.#send(frameKinds.started);
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
      this.#send(kind, { payload });
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

/** What a run is ended with at the word of whoever asked for it. */
export function endError({ code }: EndMessage): ToolRuntimeError {
  return new ToolRuntimeError(code as ErrorCode, "Cannot go on: the service ended the run", { started: true });
}

/** Answers a run, or what else was asked for, with what went wrong. */
export function sendFailed(send: SendFrame, error: unknown): void {
  const { code, message, details } = toToolRuntimeError(error);
  send(frameKinds.failed, { json: { code, message: message.slice(0, 5000), details: plain(details) } });
}

/** What the details have that JSON has no word for, such as an infinite number, stands as text. */
function plain(details: Readonly<Record<string, unknown>>): object {
  const text = JSON.stringify(details, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value));
  return JSON.parse(text) as object;
}
