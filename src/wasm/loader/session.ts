import { enforcedValue, type Plan } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { frameKinds, ProtocolError, type Frame } from "../wire/frames.ts";
import { FrameStream, readFrames } from "../wire/frame-stream.ts";
import { replyBounds, type AckMessage } from "../wire/messages.ts";
import type { Done } from "../wire/replies.ts";
import { RunReceiver, runRequest, type RunListener } from "../wire/run-receiver.ts";
import { platformEndOf, type WorkerEntrypoint } from "./client.ts";
import { cpuMsOf } from "./spec.ts";
import type { WasmIo, WasmReport } from "../run-types.ts";

/** An isolate that does not begin with the guest within this time never will. */
const startTimeoutMs = 10_000;
/** Between the word that ends a run and the end of its request: a guest that is metered has told its figures long before. */
const endGraceMs = 500;
/** What was on its way when a run was ended: the window, and the writes of one slice. */
const maxLateBytes = 4 * 2 ** 20;
/** Each run has a channel of its own. */
const onlyRun = 1;
/** Nothing resolves it. */
const runUrl = "http://isolate.invalid/run";

/** What became of an isolate that failed: `unanswered` means that the guest has not begun. */
type IsolateState = "unanswered" | "lost";

/** Whether an isolate could not be had, or had not taken the run. */
export function isUnanswered(error: unknown): boolean {
  return error instanceof ToolRuntimeError && error.details["isolate"] === ("unanswered" satisfies IsolateState);
}

/** One run in an isolate. Threat: the isolate may be the guest's own; nothing that it says is taken without a check. */
export class IsolateSession implements RunListener {
  readonly #plan: Plan;
  readonly #io: WasmIo;
  readonly #receiver: RunReceiver;
  readonly #requests = new FrameStream(() => undefined);
  readonly #settled = Promise.withResolvers<WasmReport>();
  /** Aborted when nothing more is expected of the isolate. */
  readonly #left = new AbortController();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  /** What came since the run was ended. */
  #lateBytes = 0;
  readonly #onAbort = (): void => this.#end();

  constructor(plan: Plan, io: WasmIo) {
    this.#plan = plan;
    this.#io = io;
    this.#receiver = new RunReceiver(plan, io, this);
  }

  /** @throws what the engine throws, `ERR_BACKEND_FAILED` where the isolate fails. */
  async perform(isolate: WorkerEntrypoint): Promise<WasmReport> {
    const { signal } = this.#io;
    signal.throwIfAborted();
    signal.addEventListener("abort", this.#onAbort, { once: true });
    this.#after(startTimeoutMs, () => {
      if (!this.#receiver.hasStarted) this.#settled.reject(this.#error(`it did not begin within ${startTimeoutMs} ms`));
    });
    try {
      this.#requests.send(frameKinds.run, onlyRun, runRequest(this.#plan, this.#io));
      void this.#converse(isolate);
      return await this.#settled.promise;
    } finally {
      for (const timer of this.#timers) clearTimeout(timer);
      signal.removeEventListener("abort", this.#onAbort);
      // The isolate ends a run whose requests have ended, wherever it is.
      this.#requests.close();
      this.#left.abort();
    }
  }

  async #converse(isolate: WorkerEntrypoint): Promise<void> {
    let response: Response;
    try {
      const init = { method: "POST", body: this.#requests.readable, signal: this.#left.signal, duplex: "half" };
      response = await isolate.fetch(runUrl, init);
    } catch (error) {
      this.#settled.reject(this.#error("it does not answer", { isolate: "unanswered", cause: error }));
      return;
    }
    try {
      const { status, body } = response;
      if (status !== 200 || body === null) throw new ProtocolError(`it answered with status ${status}`);
      await readFrames(body, {
        boundsOf: (kind) => replyBounds(kind, this.#receiver.fileBytes),
        take: (frame) => {
          const taken = this.#take(frame);
          return taken === undefined ? this.#receiver.isOver : taken.then(() => false);
        },
      });
      if (!this.#receiver.isOver) throw new ProtocolError("it ended before it had reported");
    } catch (error) {
      this.#lost(error);
    }
  }

  #take(frame: Frame): void | Promise<void> {
    if (frame.run !== onlyRun) throw new ProtocolError("it spoke for another run");
    if (this.#io.signal.aborted && (this.#lateBytes += frame.payload.length) > maxLateBytes)
      throw new ProtocolError("it writes on after the run was ended");
    return this.#receiver.take(frame);
  }

  #after(ms: number, work: () => void): void {
    this.#timers.add(setTimeout(work, ms));
  }

  /** The run was ended from outside: the isolate may say in a moment how far it came. */
  #end(): void {
    const { reason } = this.#io.signal;
    const code = reason instanceof ToolRuntimeError ? reason.code : "ERR_ABORTED";
    this.#requests.send(frameKinds.end, onlyRun, { json: { code } });
    this.#after(endGraceMs, () => this.#settled.reject(this.#error(`it did not end within ${endGraceMs} ms`)));
  }

  started(): void {
    // The runtime's own clock and the guest's checkpoints look at its time from here on.
  }

  acked(json: AckMessage): void {
    this.#requests.send(frameKinds.ack, onlyRun, { json });
  }

  refused(error: unknown): void {
    this.#settled.reject(error);
  }

  failed(error: ToolRuntimeError): void {
    this.#settled.reject(error);
  }

  done({ exit, readings, limitHit }: Done): void {
    const isClean = !this.#io.signal.aborted && limitHit === undefined;
    const files = isClean ? this.#receiver.files : [];
    this.#settled.resolve({ exit, readings, files, ...(limitHit === undefined ? {} : { limitHit }) });
  }

  /** The isolate is gone, or what it says makes no sense. */
  #lost(error: unknown): void {
    const limit = this.#limitOf(error);
    if (limit === undefined) {
      const why = platformEndOf(error) === "memory" ? "it had more memory than the platform gives it" : "it failed";
      this.#settled.reject(this.#error(error instanceof ProtocolError ? error.message : why, { cause: error }));
      return;
    }
    const exit = { kind: "signalled", signal: "SIGKILL", number: 9 } as const;
    const applied = cpuMsOf(this.#plan);
    const reading = { limit, applied, enforcedBy: "platform", source: "limits.cpuMs of the isolate", hit: "yes" } as const;
    this.#settled.resolve({ exit, readings: [reading], files: [], limitHit: { limit } });
  }

  /** The platform's own limit is one of the plan's with an allowance. */
  #limitOf(error: unknown): "cpuTime" | "timeout" | undefined {
    if (!this.#receiver.hasStarted || platformEndOf(error) !== "cpu") return undefined;
    return (["cpuTime", "timeout"] as const).find((limit) => enforcedValue(this.#plan, limit) !== undefined);
  }

  #error(why: string, { isolate = "lost", cause }: { readonly isolate?: IsolateState; readonly cause?: unknown } = {}): ToolRuntimeError {
    const { name } = this.#plan.tool.manifest;
    const ended = cause === undefined ? undefined : platformEndOf(cause);
    return new ToolRuntimeError("ERR_BACKEND_FAILED", `Cannot run the tool "${name}" in an isolate on backend "wasm": ${why}`, {
      started: this.#receiver.hasStarted,
      details: { tool: name, isolate, ...(ended === undefined ? {} : { platform: ended }) },
      ...(cause === undefined ? {} : { cause }),
    });
  }
}
