import type { Exit, InputFile, OutputFile, Plan, RunIo } from "../backend.ts";
import { ToolRuntimeError, type Partial } from "../errors.ts";
import { countOf, formatLimit, receiptOf, type Limit, type LimitReading, type LimitReceipt } from "../limits.ts";
import type { Call, ExecutionEvent, ResultFile } from "../runtime.ts";
import { Capture, decodeText, type Text } from "./capture.ts";
import { storeOutput, type OutputShelf } from "./outputs.ts";

const limitErrors = {
  timeout: "ERR_LIMIT_TIMEOUT",
  cpuTime: "ERR_LIMIT_CPU_TIME",
  cpu: "ERR_LIMIT_CPU_TIME",
  fuel: "ERR_LIMIT_FUEL",
  memory: "ERR_LIMIT_MEMORY",
  output: "ERR_LIMIT_OUTPUT",
  disk: "ERR_LIMIT_DISK",
  processes: "ERR_LIMIT_PROCESSES",
} as const satisfies Record<Limit, string>;

/** Node fires a timer above this at once. */
const maxTimerMs = 2 ** 31 - 1;
/** How much longer than its timeout a run elsewhere is waited for: it is ended there, and the answer takes its time. */
const delegatedSlackMs = 2000;

/** What one run is given. */
export interface RunInputs {
  readonly stdin: Uint8Array;
  readonly files: readonly InputFile[];
  readonly env: Readonly<Record<string, string>>;
  readonly secretNames?: Readonly<Record<string, string>>;
  readonly outputs: OutputShelf;
  /** Whether another runtime holds the limits. */
  readonly isDelegated: boolean;
}

/** An event without its sequence number. */
type EventBody = ExecutionEvent extends infer E ? (E extends ExecutionEvent ? Omit<E, "seq"> : never) : never;

/** The clocks, counters and captured bytes of one run: the runtime's side of {@link RunIo}. */
export class Execution {
  readonly id: string;
  readonly startedAt = performance.now();
  /** The backend did not end the run in time and is not waited for any more. */
  isAbandoned = false;
  readonly #call: Call;
  readonly #captureBytes: number;
  #controller: AbortController | undefined;
  #ended: ToolRuntimeError | undefined;
  #onEnded: ((error: ToolRuntimeError) => void) | undefined;
  #plan: Plan | undefined;
  #stdout: Capture | undefined;
  #stderr: Capture | undefined;
  #outputLimit = 0;
  #outputBytes = 0;
  /** Whether the runtime that ran the tool has cut its output. */
  #isCutElsewhere = false;
  #toolStartedAt: number | undefined;
  #toolEndedAt: number | undefined;
  #timeoutSlackMs = 0;
  #until: number | undefined;
  #timeout: { readonly timer: ReturnType<typeof setTimeout>; readonly ms: number } | undefined;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #seq = 0;
  readonly #files: ResultFile[] = [];
  /** Settles when the listener has settled all that it was given. Absent while nobody waits for it. */
  #listening: Promise<void> | undefined;
  readonly #onAbort = (): void => this.end(abortError(this.#call.signal?.reason));

  constructor(id: string, call: Call, captureBytes: number) {
    this.id = id;
    this.#call = call;
    this.#captureBytes = captureBytes;
  }

  /** Starts what covers everything: the caller's signal and the deadline. */
  open(deadlineMs: number | undefined): void {
    const { signal } = this.#call;
    if (signal !== undefined) {
      if (signal.aborted) this.#onAbort();
      else signal.addEventListener("abort", this.#onAbort, { once: true });
    }
    if (deadlineMs === undefined) return;
    this.#until = this.startedAt + deadlineMs;
    this.#deadline = setTimeout(() => this.#passDeadline(deadlineMs), Math.min(deadlineMs, maxTimerMs));
  }

  #passDeadline(deadlineMs: number): void {
    const message = `Cannot finish the task: its deadline of ${formatLimit("timeout", deadlineMs)} has passed`;
    this.end(new ToolRuntimeError("ERR_DEADLINE", message, { details: { deadlineMs } }));
  }

  close(): void {
    clearTimeout(this.#deadline);
    clearTimeout(this.#timeout?.timer);
    this.#call.signal?.removeEventListener("abort", this.#onAbort);
  }

  /** Lets the caller note that the tool may start from here on. */
  beforeStart(): Promise<void> | undefined {
    return this.#call.beforeStart?.() ?? undefined;
  }

  get started(): boolean {
    return this.#toolStartedAt !== undefined;
  }

  /** Why the run was ended from outside the tool, once it was. */
  get ended(): ToolRuntimeError | undefined {
    return this.#ended;
  }

  get call(): Call {
    return this.#call;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#ended !== undefined) this.#controller.abort(this.#ended);
    }
    return this.#controller.signal;
  }

  /** Ends the run; the first reason stays. */
  end(error: ToolRuntimeError): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    this.#controller?.abort(error);
    this.#onEnded?.(error);
  }

  /** One listener at a time. Called at once where the run has been ended already. */
  whenEnded(listener: ((error: ToolRuntimeError) => void) | undefined): void {
    this.#onEnded = listener;
    if (this.#ended !== undefined) listener?.(this.#ended);
  }

  /** Waits for work that may have no end of its own, such as a caller's stream, but not beyond the end of the run. */
  orEnded<T>(work: Promise<T>): Promise<T> {
    const { signal } = this;
    return new Promise((resolve, reject) => {
      const stop = (): void => reject(signal.reason);
      signal.addEventListener("abort", stop, { once: true });
      if (signal.aborted) stop();
      void work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
    });
  }

  throwIfEnded(): void {
    if (this.#ended !== undefined) throw this.#ended;
  }

  /** Gives the listener one event at a time: what comes while it is busy waits for it, and so does who sent it. */
  emit(event: EventBody): void | Promise<void> {
    if (this.#call.onEvent === undefined) return;
    const delivered =
      this.#listening === undefined
        ? this.#deliver(event)
        : this.#listening.then(() => (this.#ended === undefined ? this.#deliver(event) : undefined));
    if (delivered === undefined) return;
    const settled = delivered.finally(() => {
      if (this.#listening === settled) this.#listening = undefined;
    });
    this.#listening = settled;
    return settled;
  }

  #deliver(event: EventBody): void | Promise<void> {
    const { onEvent } = this.#call;
    if (onEvent === undefined) return;
    try {
      const handled = onEvent({ ...event, seq: this.#seq++ } as ExecutionEvent);
      // A listener in JavaScript may give back anything, such as the length that `push` returns.
      if (typeof handled !== "object") return;
      // An async listener that is never slow still gives a promise each time; the sandbox waits for it, by contract.
      return Promise.resolve(handled).catch((error: unknown) => this.#failListener(error));
    } catch (error) {
      this.#failListener(error);
    }
  }

  #failListener(error: unknown): void {
    this.end(new ToolRuntimeError("ERR_ABORTED", "Cannot go on with the task: its event listener threw", { cause: error }));
  }

  /** The `RunIo` for one run under a plan. */
  ioFor(plan: Plan, { isDelegated, outputs, ...inputs }: RunInputs): RunIo {
    this.#plan = plan;
    if (isDelegated) this.#timeoutSlackMs = delegatedSlackMs;
    this.#outputLimit = plan.limits.find(({ limit }) => limit === "output")?.value ?? Number.POSITIVE_INFINITY;
    const stdout = (this.#stdout = new Capture(this.#outputLimit));
    const stderr = (this.#stderr = new Capture(Math.min(this.#captureBytes, this.#outputLimit)));
    const execution = this;
    const { tenant, ticket } = this.#call;
    return {
      id: this.id,
      ...(tenant === undefined ? undefined : { tenant }),
      ...(ticket === undefined ? undefined : { ticket }),
      ...inputs,
      maxOutputFiles: outputs.maxFiles,
      stdout: (bytes) => execution.#take("stdout", stdout, bytes),
      stderr: (bytes) => execution.#take("stderr", stderr, bytes),
      started: () => execution.#start(),
      file: (file) => execution.#takeFile(file, outputs),
      remainingMs: () => (execution.#until === undefined ? undefined : execution.#until - performance.now()),
      get signal() {
        return execution.signal;
      },
    };
  }

  #start(): void {
    if (this.#toolStartedAt !== undefined) return;
    this.#toolStartedAt = performance.now();
    const planned = this.#plan?.limits.find(({ limit }) => limit === "timeout");
    if (planned !== undefined && planned.mechanism !== "none") {
      const ms = Math.min(planned.value + this.#timeoutSlackMs, maxTimerMs);
      const timer = setTimeout(() => this.end(limitError("timeout", planned.value, this.toolMs)), ms);
      this.#timeout = { timer, ms };
    }
    void this.emit({ type: "started" });
  }

  #take(stream: "stdout" | "stderr", capture: Capture, bytes: Uint8Array): void | Promise<void> {
    this.throwIfEnded();
    const room = this.#outputLimit - this.#outputBytes;
    this.#outputBytes += bytes.length;
    const taken = bytes.length <= room ? bytes : bytes.subarray(0, room);
    if (taken.length > 0) capture.add(taken);
    const emitted = taken.length > 0 ? this.emit({ type: stream, bytes: taken }) : undefined;
    if (bytes.length <= room) return emitted === undefined ? undefined : this.orEnded(emitted);
    const error = limitError("output", this.#outputLimit, this.#outputBytes);
    this.end(error);
    throw error;
  }

  /** What the tool has handed back. */
  get files(): readonly ResultFile[] {
    return this.#files;
  }

  async #takeFile(file: OutputFile, { blobs, maxFiles }: OutputShelf): Promise<void> {
    this.throwIfEnded();
    this.stop();
    if (this.#files.length >= maxFiles) {
      throw new ToolRuntimeError("ERR_LIMIT_DISK", `Cannot hand back the files of the tool: there are more than ${maxFiles}`, {
        started: true,
        details: { limit: "disk", maxOutputFiles: maxFiles },
      });
    }
    this.#files.push(await this.orEnded(storeOutput(file, blobs, this.signal)));
  }

  /** The tool has ended; its own time stops here. */
  stop(): void {
    this.#toolEndedAt ??= performance.now();
    clearTimeout(this.#timeout?.timer);
  }

  /** From the tool's start to its end, in ms; 0 where it never started. */
  get toolMs(): number {
    if (this.#toolStartedAt === undefined) return 0;
    return (this.#toolEndedAt ?? performance.now()) - this.#toolStartedAt;
  }

  stdoutBytes(): Uint8Array {
    return this.#stdout?.bytes() ?? new Uint8Array(0);
  }

  stdoutText(bytes: Uint8Array): Text & { readonly truncated: boolean } {
    const isCut = (this.#stdout?.total ?? 0) > bytes.length;
    return {
      ...decodeText(bytes, { limit: this.#captureBytes, isCut }),
      truncated: (this.#stdout?.total ?? 0) > Math.min(this.#captureBytes, this.#outputLimit) || this.#isCut,
    };
  }

  stderrText(): Text & { readonly truncated: boolean } {
    const bytes = this.#stderr?.bytes() ?? new Uint8Array(0);
    const isCut = (this.#stderr?.total ?? 0) > bytes.length;
    return { ...decodeText(bytes, { isCut }), truncated: isCut || this.#isCut };
  }

  get #isCut(): boolean {
    return this.#isOverOutput || this.#isCutElsewhere;
  }

  get #isOverOutput(): boolean {
    return this.#outputBytes > this.#outputLimit;
  }

  /**
   * What held. Of a run elsewhere, what its runtime says stands as it came; from here is only what was cut before it was
   * sent, and the limit that ended the run on this side.
   */
  receipts(readings: readonly LimitReading[], delegated?: readonly LimitReceipt[]): LimitReceipt[] {
    const own = this.#ownReceipts(readings);
    return delegated === undefined ? own : delegated.map((receipt) => joinReceipt(receipt, own));
  }

  #ownReceipts(readings: readonly LimitReading[]): LimitReceipt[] {
    const plan = this.#plan;
    if (plan === undefined) return [];
    const receipts = plan.limits.map((planned) => {
      if (planned.limit === "output") return receiptOf(planned, this.#readOutput());
      const reading = readings.find(({ limit }) => limit === planned.limit);
      if (planned.limit === "timeout" && planned.mechanism !== "none") return receiptOf(planned, { ...this.#readTimeout(), ...reading });
      return receiptOf(planned, reading);
    });
    const counted = readings.find(({ limit }) => limit === "fuel");
    if (counted !== undefined && !receipts.some(({ limit }) => limit === "fuel")) receipts.push(countOf(counted));
    return receipts;
  }

  #readOutput(): LimitReading {
    const hit = this.#isOverOutput ? "yes" : "no";
    return { limit: "output", applied: this.#outputLimit, source: "counter", peak: this.#outputBytes, hit };
  }

  #readTimeout(): LimitReading {
    const hit = this.#ended?.code === "ERR_LIMIT_TIMEOUT" ? "yes" : "no";
    return {
      limit: "timeout",
      ...(this.#timeout === undefined ? {} : { applied: this.#timeout.ms, source: "timer" }),
      peak: this.toolMs,
      hit,
    };
  }

  /** What there is to show of a run that was ended. */
  partial(readings: readonly LimitReading[], delegated?: readonly LimitReceipt[]): Partial {
    this.#isCutElsewhere = delegated?.some(({ limit, hit }) => limit === "output" && hit === "yes") ?? false;
    const stdout = this.stdoutText(this.stdoutBytes());
    const stderr = this.stderrText();
    return {
      stdout: stdout.text,
      stderr: stderr.text,
      truncated: { stdout: stdout.truncated, stderr: stderr.truncated },
      limits: this.receipts(readings, delegated),
    };
  }
}

function joinReceipt(receipt: LimitReceipt, own: readonly LimitReceipt[]): LimitReceipt {
  const here = own.find(({ limit }) => limit === receipt.limit);
  if (here?.hit === "yes") return here;
  if (here?.clampedFrom === undefined || receipt.clampedFrom !== undefined) return receipt;
  return { ...receipt, clampedFrom: here.clampedFrom };
}

function abortError(reason: unknown): ToolRuntimeError {
  if (reason instanceof ToolRuntimeError) return reason;
  return new ToolRuntimeError("ERR_ABORTED", "Cannot finish the task: the caller ended it", { cause: reason });
}

/** The error for a limit that ended a run: it names the limit, its value and what was observed. */
export function limitError(limit: Limit, value: number, observed?: number): ToolRuntimeError {
  const seen = observed === undefined ? "" : `, observed ${formatLimit(limit, observed)}`;
  return new ToolRuntimeError(
    limitErrors[limit],
    `Cannot go on: the tool reached its limit "${limit}" of ${formatLimit(limit, value)}${seen}`,
    {
      started: true,
      details: { limit, value, ...(observed === undefined ? {} : { observed }) },
    },
  );
}

/** The exit code that a shell would show: 134 for a trap, 128 + n for a signal. */
export function exitCodeOf(exit: Exit): number {
  if (exit.kind === "exited") return exit.code;
  return exit.kind === "trapped" ? 134 : 128 + exit.number;
}
