import { enforcedValue, type Plan } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import type { Limit } from "../../limits.ts";
import { frameKinds, ProtocolError, type Frame } from "../wire/frames.ts";
import type { AckMessage } from "../wire/messages.ts";
import type { Done } from "../wire/replies.ts";
import { runRequest, RunReceiver, type RunListener } from "../wire/run-receiver.ts";
import { childError, type ChildHandle, type Ending, type Listener } from "./child-handle.ts";
import { joinReadings, type ReadingParts } from "./readings.ts";
import type { ProcessUsage } from "./usage.ts";
import type { WasmIo, WasmReport } from "../run-types.ts";

/** Between the word that ends a run and SIGKILL: a guest that is metered has ended, and told its figures, long before. */
const endGraceMs = 25;
/** A child that does not begin with the guest within this time never will. */
const startTimeoutMs = 10_000;
/** The runtime ends a run at its wall time; this is for one that does not. */
const overtimeMs = 1000;
const cpuPollMs = 20;
/** A metered guest ends at the limit by itself; this much later so does one that is not, and whatever else runs in the process. */
const cpuOvertimeMs = 50;

/** Why the service killed the child. */
type KillReason = "ended" | "silent" | Extract<Limit, "timeout" | "cpuTime">;

/** One run on one child. Threat: the child may be the guest's own; nothing that it says is taken without a check. */
export class RunSession implements Listener, RunListener {
  /** Whether the child may have another run of the same tool. */
  isClean = false;
  readonly #child: ChildHandle;
  readonly #plan: Plan;
  readonly #io: WasmIo;
  readonly #run: number;
  readonly #before: ProcessUsage;
  readonly #settled = Promise.withResolvers<WasmReport>();
  readonly #receiver: RunReceiver;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #killedFor: KillReason | undefined;
  readonly #onAbort = (): void => this.#end();

  constructor(child: ChildHandle, plan: Plan, io: WasmIo) {
    this.#child = child;
    this.#plan = plan;
    this.#io = io;
    this.#run = child.nextRun();
    this.#before = this.#usage();
    this.#receiver = new RunReceiver(plan, io, this);
  }

  #usage(): ProcessUsage {
    const { limits, usage } = this.#child;
    const cpu = enforcedValue(this.#plan, "cpuTime") !== undefined;
    return usage.read({ cpu, memory: limits.memory !== undefined, throttled: limits.cpu !== undefined, memoryKills: false });
  }

  /**
   * Runs the tool. Where the child cannot be used again it is still to be killed by whoever called.
   *
   * @throws what the engine throws, `ERR_BACKEND_FAILED` where the child fails.
   */
  async perform(): Promise<WasmReport> {
    const { signal } = this.#io;
    signal.throwIfAborted();
    // Nobody waits for it where the message could not be sent.
    this.#settled.promise.catch(() => undefined);
    this.#child.listen(this);
    this.#child.fileBytes = this.#receiver.fileBytes;
    signal.addEventListener("abort", this.#onAbort, { once: true });
    const startTimer = this.#after(startTimeoutMs, () => this.#receiver.hasStarted || this.#kill("silent"));
    const cpuTimer = this.#watchCpuTime();
    try {
      this.#child.send(frameKinds.run, this.#run, runRequest(this.#plan, this.#io));
      return await this.#settled.promise;
    } finally {
      clearInterval(cpuTimer);
      clearTimeout(startTimer);
      for (const timer of this.#timers) clearTimeout(timer);
      signal.removeEventListener("abort", this.#onAbort);
      this.#child.listen(undefined);
    }
  }

  #after(ms: number, work: () => void): ReturnType<typeof setTimeout> {
    const timer = setTimeout(work, Math.min(ms, 2 ** 31 - 1));
    this.#timers.add(timer);
    return timer;
  }

  #kill(reason: KillReason): void {
    this.#killedFor ??= reason;
    void this.#child.kill();
  }

  /** The run was ended from outside: the child may say in a moment how far it came, and is killed. */
  #end(): void {
    const { reason } = this.#io.signal;
    this.#child.send(frameKinds.end, this.#run, { json: { code: reason instanceof ToolRuntimeError ? reason.code : "ERR_ABORTED" } });
    this.#after(endGraceMs, () => this.#kill("ended"));
  }

  #watchCpuTime(): ReturnType<typeof setInterval> | undefined {
    const limitMs = enforcedValue(this.#plan, "cpuTime");
    const before = this.#before.cpu;
    if (limitMs === undefined || before === undefined) return undefined;
    return setInterval(() => {
      const used = this.#child.usage.readCpu();
      if (used !== undefined && used.usedMs - before.usedMs >= limitMs + cpuOvertimeMs) this.#kill("cpuTime");
    }, cpuPollMs);
  }

  take(frame: Frame): void | Promise<void> {
    if (frame.run !== this.#run) throw new ProtocolError("it spoke for another run");
    const taken = this.#receiver.take(frame);
    this.#child.fileBytes = this.#receiver.fileBytes;
    return taken;
  }

  started(): void {
    const timeoutMs = enforcedValue(this.#plan, "timeout");
    if (timeoutMs !== undefined) this.#after(timeoutMs + overtimeMs, () => this.#kill("timeout"));
  }

  acked(json: AckMessage): void {
    this.#child.send(frameKinds.ack, this.#run, { json });
  }

  refused(error: unknown): void {
    this.#settled.reject(error);
  }

  failed(error: ToolRuntimeError): void {
    this.#settled.reject(error);
  }

  done({ exit, readings: told, limitHit, cpuMs = 0 }: Done): void {
    const { aborted } = this.#io.signal;
    this.isClean = !aborted && exit.kind === "exited" && limitHit === undefined;
    const files = this.isClean ? this.#receiver.files : [];
    const readings = this.#readings({ told, toldCpuMs: cpuMs, isKilled: false }, this.#usage());
    this.#settled.resolve({ exit, readings, files, ...(limitHit === undefined ? {} : { limitHit }) });
  }

  #readings(parts: Pick<ReadingParts, "told" | "toldCpuMs" | "isKilled">, after: ProcessUsage): WasmReport["readings"] {
    return joinReadings({ ...parts, plan: this.#plan, limits: this.#child.limits, before: this.#before, after });
  }

  lost(ending: Ending): void {
    const killedFor = this.#killedFor;
    const { usage } = ending;
    const readings = this.#readings({ told: [], isKilled: killedFor !== undefined }, usage);
    const limitHit = this.#limitHit(usage);
    if (killedFor !== "ended" && limitHit === undefined) {
      this.#settled.reject(childError("run the tool", ending, this.#receiver.hasStarted));
      return;
    }
    const exit = { kind: "signalled", signal: "SIGKILL", number: 9 } as const;
    this.#settled.resolve({ exit, readings, files: [], ...(limitHit === undefined ? {} : { limitHit }) });
  }

  /** The limit that ended the process, where one did. */
  #limitHit({ cpu, peakBytes, memoryKills }: ProcessUsage): WasmReport["limitHit"] {
    const killedFor = this.#killedFor;
    if (killedFor === "cpuTime") return { limit: "cpuTime", observed: (cpu?.usedMs ?? 0) - (this.#before.cpu?.usedMs ?? 0) };
    if (killedFor === "timeout") return { limit: "timeout" };
    if (killedFor !== undefined || memoryKills === 0 || enforcedValue(this.#plan, "memory") === undefined) return undefined;
    return { limit: "memory", ...(peakBytes === undefined ? {} : { observed: peakBytes }) };
  }
}
