import { enforcedValue, type Plan } from "../../backend.ts";
import type { ToolRuntimeError } from "../../errors.ts";
import { concat } from "../binary.ts";
import { frameKinds, ProtocolError, type Frame } from "./frames.ts";
import { outputWindow, type AckMessage, type RunMessage } from "./messages.ts";
import { parseDone, parseFailed, parseFilePath, type Done } from "./replies.ts";
import type { MemoryFile, WasmIo } from "../run-types.ts";

/** What a service does with what it is told of a run. */
export interface RunListener {
  /** The guest begins. */
  started(): void;
  /** So much of its output was taken. */
  acked(message: AckMessage): void;
  done(report: Done): void;
  failed(error: ToolRuntimeError): void;
  /** The runtime takes no more output of it. */
  refused(error: unknown): void;
}

/** The message that asks for a run, and its payload. */
export function runRequest({ tool: _tool, ...plan }: Plan, io: WasmIo): { readonly json: RunMessage; readonly payload: Uint8Array } {
  const { id, stdin, files, env, maxOutputFiles } = io;
  const parts = files.map(({ path, bytes }) => ({ path, bytes: bytes.length }));
  const json: RunMessage = { plan, id, stdinBytes: stdin.length, files: parts, env, maxOutputFiles };
  return { json, payload: files.length === 0 ? stdin : concat([stdin, ...files.map(({ bytes }) => bytes)]) };
}

/** The most that the files of a run can have, in bytes. */
function maxFileBytes(plan: Plan): number {
  return Math.max(enforcedValue(plan, "disk") ?? 0, enforcedValue(plan, "memory") ?? 0);
}

/**
 * Takes what is told of one run: hands its output on, keeps its files and answers for what was taken. Threat: who tells it may
 * be the guest's own; nothing is taken without a check.
 */
export class RunReceiver {
  readonly #io: WasmIo;
  readonly #listener: RunListener;
  readonly #files: MemoryFile[] = [];
  #hasStarted = false;
  #isOver = false;
  /** What files may still have, in bytes. */
  #fileBytes: number;
  #takenBytes = 0;
  #takenFrames = 0;

  constructor(plan: Plan, io: WasmIo, listener: RunListener) {
    this.#io = io;
    this.#listener = listener;
    this.#fileBytes = maxFileBytes(plan);
  }

  get hasStarted(): boolean {
    return this.#hasStarted;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get files(): readonly MemoryFile[] {
    return this.#files;
  }

  /** What files may still come, in bytes. */
  get fileBytes(): number {
    return this.#fileBytes;
  }

  /** While this is busy nothing more is to be read. @throws ProtocolError. */
  take(frame: Frame): void | Promise<void> {
    if (this.#isOver) throw new ProtocolError("it went on after it had reported");
    if (frame.kind === frameKinds.started) return this.#start();
    if (frame.kind === frameKinds.failed) return this.#fail(frame);
    if (!this.#hasStarted) throw new ProtocolError("it had output before it started");
    if (frame.kind === frameKinds.stdout || frame.kind === frameKinds.stderr) return this.#takeOutput(frame);
    if (frame.kind === frameKinds.file) return this.#takeFile(frame);
    if (frame.kind !== frameKinds.done) throw new ProtocolError("it did not answer what it was asked");
    const done = parseDone(frame.json);
    this.#isOver = true;
    this.#listener.done(done);
  }

  #start(): void {
    if (this.#hasStarted) throw new ProtocolError("it started twice");
    this.#hasStarted = true;
    this.#listener.started();
    this.#io.started();
  }

  #fail({ json }: Frame): void {
    const error = parseFailed(json);
    this.#isOver = true;
    this.#listener.failed(error.with({ started: this.#hasStarted }));
  }

  #takeOutput({ kind, payload }: Frame): void | Promise<void> {
    // It would cost the reader work that no output limit counts.
    if (payload.length === 0) throw new ProtocolError("it sent output without a byte");
    if (this.#io.signal.aborted) return;
    let taken: void | Promise<void>;
    try {
      taken = kind === frameKinds.stdout ? this.#io.stdout(payload) : this.#io.stderr(payload);
    } catch (error) {
      return this.#refuse(error);
    }
    if (taken === undefined) return this.#ack(payload.length);
    return taken.then(
      () => this.#ack(payload.length),
      (error: unknown) => this.#refuse(error),
    );
  }

  /** The runtime wants no more of it. Once the run is ended that is no news. */
  #refuse(error: unknown): void {
    if (!this.#io.signal.aborted) this.#listener.refused(error);
  }

  #ack(bytes: number): void {
    this.#takenBytes += bytes;
    this.#takenFrames++;
    if (this.#takenBytes < outputWindow.bytes / 4 && this.#takenFrames < outputWindow.frames / 4) return;
    this.#listener.acked({ bytes: this.#takenBytes, frames: this.#takenFrames });
    this.#takenBytes = 0;
    this.#takenFrames = 0;
  }

  #takeFile({ json, payload }: Frame): void {
    if (this.#files.length >= this.#io.maxOutputFiles) throw new ProtocolError("it sent more files than it may");
    const path = parseFilePath(json);
    if (this.#files.some((file) => file.path === path)) throw new ProtocolError("it sent a file twice");
    this.#fileBytes -= payload.length;
    this.#files.push({ path, bytes: payload });
  }
}
