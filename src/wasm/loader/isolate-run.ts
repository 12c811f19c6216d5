import { ToolRuntimeError } from "../../errors.ts";
import type { ReadyArtifact } from "../artifact.ts";
import { runArtifact } from "../run-artifact.ts";
import { inlineBudgetMs } from "../slices.ts";
import type { Turns } from "../turns.ts";
import { frameKinds, type Frame } from "../wire/frames.ts";
import { FrameStream, readFrames } from "../wire/frame-stream.ts";
import { endError, GuestIo, sendFailed, type SendFrame } from "../wire/guest-io.ts";
import { requestBounds, type AckMessage, type EndMessage, type RunMessage } from "../wire/messages.ts";

/** What all runs of an isolate have in common. */
export interface Guest {
  readonly tool: string;
  readonly turns: Turns;
  ready(): ReadyArtifact;
}

/** Each run has a channel of its own. */
const onlyRun = 1;

/** The isolate's side of one run: a request whose body says what to do, and whose answer's body says what comes of it. */
export class IsolateRun {
  readonly #guest: Guest;
  readonly #stream = new FrameStream(() => this.#abandon());
  readonly #send: SendFrame = (kind, parts) => this.#stream.send(kind, onlyRun, parts);
  #io: GuestIo | undefined;
  #isOver = false;

  constructor(guest: Guest) {
    this.#guest = guest;
  }

  get replies(): ReadableStream<Uint8Array> {
    return this.#stream.readable;
  }

  /** Settles when the run is over; never rejects. */
  async answer(requests: ReadableStream<Uint8Array>): Promise<void> {
    const running = Promise.withResolvers<void>();
    const reading = readFrames(requests, {
      boundsOf: requestBounds,
      take: (frame) => {
        if (frame.kind !== frameKinds.run) this.#hear(frame);
        else if (this.#io === undefined) running.resolve(this.#run(frame));
        return this.#isOver;
      },
    });
    // Whoever asked is gone where the requests end before the run does.
    await reading.catch(() => undefined);
    this.#abandon();
    if (this.#io !== undefined) await running.promise;
    this.#stream.close();
  }

  #hear({ kind, json }: Frame): void {
    if (kind === frameKinds.ack) this.#io?.acked(JSON.parse(json) as AckMessage);
    if (kind === frameKinds.end) this.#io?.end(endError(JSON.parse(json) as EndMessage));
  }

  #abandon(): void {
    if (!this.#isOver) this.#io?.end(new ToolRuntimeError("ERR_ABORTED", "Cannot go on: nobody waits for the run", { started: true }));
  }

  async #run(frame: Frame): Promise<void> {
    const message = JSON.parse(frame.json) as RunMessage;
    const io = (this.#io = new GuestIo(this.#send, frame, message));
    const { tool, turns } = this.#guest;
    try {
      const run = { tool, plan: message.plan, io, turns, inlineMs: inlineBudgetMs };
      const { exit, readings, files, limitHit } = await runArtifact(this.#guest.ready(), run);
      for (const { path, bytes } of files) this.#send(frameKinds.file, { json: { path }, payload: bytes });
      this.#send(frameKinds.done, { json: { exit, readings, ...(limitHit === undefined ? {} : { limitHit }) } });
    } catch (error) {
      sendFailed(this.#send, error);
    } finally {
      this.#isOver = true;
      this.#stream.close();
    }
  }
}
