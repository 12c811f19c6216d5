import type { Limit, LimitReading } from "../limits.ts";
import { FuelMeter } from "./meter/fuel-meter.ts";
import { stretchMs, type Turns } from "./turns.ts";
import type { WasmIo, WasmReport } from "./run-types.ts";

/**
 * What a module begins with, in units, and each slice until it is known how fast the guest is. The slowest code that there is,
 * which touches a fresh page of memory with every other instruction, takes some milliseconds for it, what is usual as many
 * microseconds.
 */
export const firstSliceUnits = 25_000;
/** Bounds of a slice. Between them it is as long as {@link stretchMs} by what the last one took. */
const minSliceUnits = 10_000;
/** Looking at the clock once in so many units costs about a hundredth. */
const maxSliceUnits = 100_000;
/** The most that a slice grows, or shrinks, from one to the next. */
const sliceFactor = 4;
/** What a host call costs in fuel, besides what it moves and looks at: about the time that it takes. */
const hostCallUnits = 1000;
/** So much of host work is done between two looks at the clock. */
const lookEveryUnits = 16 * hostCallUnits;
/** So many slices are as good as a stretch where the clock does not move between two turns of the event loop. */
const looksPerStretch = 8;
/** So many bytes may wait for a slow reader before the guest is told to write no more; a single write may be as large. */
const maxPendingBytes = 2 ** 20;
/** What a service that shares its event loop gives a guest that nothing can suspend, in ms. */
export const inlineBudgetMs = 20;

export interface SliceLimits {
  readonly timeoutMs?: number | undefined;
  readonly cpuMs?: number | undefined;
  readonly fuel?: number | undefined;
  /** The longest that a guest may hold the event loop where nothing can suspend it, in ms. Default {@link inlineBudgetMs}. */
  readonly inlineMs?: number | undefined;
}

/** What the checkpoints ended a run by. */
export interface SliceEnd {
  readonly limit: Limit | "inline";
  readonly observed: number;
}

/**
 * One run's slices: what its guest calls when fuel has run out, and the three limits that are held there. `timeout` by the
 * clock, `cpuTime` by the time that the guest, and the host for it, kept the event loop, `fuel` by count.
 *
 * A guest is ended by the answer -1 and never by a throw, which it could catch.
 */
export class Slices {
  readonly meter: FuelMeter;
  readonly #io: WasmIo;
  readonly #turns: Turns;
  readonly #limits: SliceLimits;
  #startedAt = 0;
  /** Since when the guest runs. Meaningless while it waits. */
  #resumedAt = 0;
  /** When the guest was last let in from the event loop. */
  #enteredAt = 0;
  /** Whether the event loop's turns know of the guest since then. */
  #isNoted = false;
  /** How often it has looked at a clock that had not moved. */
  #looks = 0;
  #cpuMs = 0;
  #sliceUnits = firstSliceUnits;
  #workLeft = lookEveryUnits;
  #end: SliceEnd | undefined;
  #isEnded = false;
  #pending: Promise<unknown> | undefined;
  #pendingBytes = 0;
  #wake: (() => void) | undefined;
  #isListening = false;

  constructor(io: WasmIo, turns: Turns, limits: SliceLimits) {
    this.#io = io;
    this.#turns = turns;
    this.#limits = limits;
    this.meter = new FuelMeter({ initialFuel: firstSliceUnits, ...(limits.fuel === undefined ? {} : { limit: limits.fuel }) });
  }

  /** What a limit ended the run by, if one did. */
  get end(): SliceEnd | undefined {
    return this.#end;
  }

  /** Whether the guest may not go on: nothing of what it has is handed out or used again. */
  get isOver(): boolean {
    return this.#end !== undefined || this.#io.signal.aborted;
  }

  /** To be awaited before the guest starts; gives nothing where it may start at once. */
  ready(): Promise<void> | void {
    if (this.#turns.isFull) return this.#turn();
  }

  /** The guest is entered for the first time; the clocks run from here. */
  start(): void {
    this.#startedAt = this.#resumedAt = this.#enteredAt = performance.now();
  }

  /** The guest has come back for good. */
  stop(): void {
    this.#pause(performance.now());
    const { fuel } = this.#limits;
    const { used } = this.meter;
    // What the host did last for the guest may have passed the limit without a checkpoint after it.
    if (this.#end === undefined && fuel !== undefined && used > fuel) this.#end = { limit: "fuel", observed: used };
  }

  /** The checkpoint: a grant, -1 for the end, or 0 where the guest must {@link Slices.wait} for one. */
  look(): number {
    const nowMs = performance.now();
    this.#pause(nowMs);
    if (this.#mustEnd(nowMs)) return -1;
    return this.#pending !== undefined || this.#turns.isDue(nowMs) ? 0 : this.#grant(nowMs);
  }

  /** Lets the event loop have its turn, and a slow reader its time; gives a grant, or -1 for the end. */
  async wait(): Promise<number> {
    if (this.#pending !== undefined) await this.#written(this.#pending);
    const dueMs = performance.now();
    if (this.#turns.isDue(dueMs)) await this.#turn();
    const nowMs = performance.now();
    // Where the clock stands still while code runs, it shows what the guest took when the event loop has had its turn; what others
    // took there counts too, so the limit comes rather too soon than never.
    if (dueMs === this.#enteredAt) this.#cpuMs += nowMs - dueMs;
    this.#enter(nowMs);
    return this.#mustEnd(nowMs) ? -1 : this.#grant(nowMs);
  }

  /** The checkpoint of a guest that cannot be suspended where it is. */
  lookInline(): number {
    const nowMs = performance.now();
    this.#pause(nowMs);
    if (this.#mustEnd(nowMs)) return -1;
    return nowMs - this.#enteredAt < (this.#limits.inlineMs ?? inlineBudgetMs) ? this.#grant(nowMs) : this.endInline();
  }

  /** The checkpoint of a guest in the middle of a short call, for which nothing can suspend it: what is due waits for the next one. */
  lookBriefly(): number {
    const nowMs = performance.now();
    this.#pause(nowMs);
    return this.#mustEnd(nowMs) ? -1 : this.#grant(nowMs);
  }

  /** Ends the guest because nothing can suspend it where it is. */
  endInline(): number {
    this.#end ??= { limit: "inline", observed: performance.now() - this.#enteredAt };
    return -1;
  }

  /** A host call begins. */
  called(): void {
    this.work(hostCallUnits);
  }

  /** Counts what the host did for the guest. */
  work(units: number): void {
    this.meter.charge(units);
    this.#workLeft -= units;
    if (this.#workLeft > 0) return;
    this.#workLeft = lookEveryUnits;
    // Fuel says nothing of how long a host call takes: a call for each region could hold the event loop for its whole slice.
    // Where the clock stands still until the guest suspends, it says nothing either.
    const tookMs = performance.now() - this.#resumedAt;
    if (tookMs >= stretchMs || tookMs === 0) this.meter.interrupt();
  }

  /** Takes what a write of the guest gave back: it waits for a slow reader at its next checkpoint, which comes at once. */
  hold(written: void | Promise<void>, bytes: number): void {
    if (written === undefined) return;
    this.#pendingBytes += bytes;
    const taken = written.catch((reason: unknown) => {
      if (!this.#io.signal.aborted) throw reason;
    });
    this.#pending = this.#pending === undefined ? taken : Promise.all([this.#pending, taken]);
    // Nobody may ever look at it: the guest may end first.
    this.#pending.catch(() => undefined);
    this.meter.interrupt();
  }

  /** Whether so much waits for a slow reader that the guest may write no more in this slice. */
  get isCongested(): boolean {
    return this.#pendingBytes >= maxPendingBytes;
  }

  /** Waits until everything that the guest wrote was taken. */
  async settle(): Promise<void> {
    await this.#pending;
  }

  /** The guest was ended by a host call; wherever it goes on, it ends at its next checkpoint, which comes at once. */
  poison(): void {
    this.#isEnded = true;
    this.meter.interrupt();
  }

  /** Lets others run in the middle of a host call for which the guest is suspended. Rejects when the guest must end. */
  async pause(): Promise<void> {
    const nowMs = performance.now();
    this.#pause(nowMs);
    if (this.#turns.isDue(nowMs)) {
      await this.#turn();
      this.#enter(performance.now());
    }
    if (this.#mustEnd(performance.now())) throw new Error("the guest was ended");
  }

  /** Lets the guest wait. Rejects when the run is ended. */
  async sleep(milliseconds: number): Promise<void> {
    await this.away(this.#sleep(milliseconds));
    this.#io.signal.throwIfAborted();
  }

  async #sleep(milliseconds: number): Promise<void> {
    await this.#timer(milliseconds);
    if (this.#turns.isFull) await this.#turn();
  }

  /** Waits for work of the host's during which the guest is suspended. */
  async away<T>(work: Promise<T> | T): Promise<T> {
    this.#pause(performance.now());
    try {
      return await work;
    } finally {
      this.#enter(performance.now());
    }
  }

  #timer(milliseconds: number): Promise<void> {
    return this.#untilWoken((wake) => {
      const timer = setTimeout(wake, Math.min(milliseconds, 2 ** 31 - 1));
      return () => clearTimeout(timer);
    });
  }

  /** Waits for the event loop, or for the end of the run. */
  #turn(): Promise<void> {
    return this.#untilWoken((wake) => this.#turns.wait(wake));
  }

  /** Waits for something that can be called off: the end of the run wakes the guest too. */
  #untilWoken(begin: (wake: () => void) => () => void): Promise<void> {
    const { signal } = this.#io;
    if (signal.aborted) return Promise.resolve();
    if (!this.#isListening) {
      this.#isListening = true;
      signal.addEventListener("abort", () => this.#wake?.(), { once: true });
    }
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#wake = undefined;
        callOff();
        resolve();
      };
      const callOff = begin(wake);
      this.#wake = wake;
    });
  }

  async #written(pending: Promise<unknown>): Promise<void> {
    try {
      await pending;
      this.#pending = undefined;
    } catch {
      // Whoever settles the run's writing hears of it.
      this.#isEnded = true;
    }
    this.#pendingBytes = 0;
  }

  #enter(nowMs: number): void {
    this.#resumedAt = this.#enteredAt = nowMs;
    this.#isNoted = false;
  }

  #pause(nowMs: number): void {
    const tookMs = nowMs - this.#resumedAt;
    this.#cpuMs += tookMs;
    this.#measure(tookMs);
    // Where the clock stands still so many slices count, or the guest would never come to its turn's end.
    const isDue = nowMs === this.#enteredAt ? ++this.#looks % looksPerStretch === 0 : !this.#isNoted;
    if (isDue) this.#isNoted = this.#turns.note(this.#enteredAt, nowMs);
    this.#resumedAt = nowMs;
  }

  #mustEnd(nowMs: number): boolean {
    if (this.#isEnded || this.#end !== undefined || this.#io.signal.aborted) return true;
    const { timeoutMs, cpuMs } = this.#limits;
    if (timeoutMs !== undefined && nowMs - this.#startedAt >= timeoutMs) {
      this.#end = { limit: "timeout", observed: nowMs - this.#startedAt };
    } else if (cpuMs !== undefined && this.#cpuMs >= cpuMs) {
      this.#end = { limit: "cpuTime", observed: this.#cpuMs };
    }
    return this.#end !== undefined;
  }

  #grant(nowMs: number): number {
    this.#resumedAt = nowMs;
    const units = this.meter.grant(this.#sliceUnits);
    if (units < 0) this.#end = { limit: "fuel", observed: this.meter.used };
    return units;
  }

  /**
   * Makes slices as long as they should be; what they are does not change what a run uses. Where the clock stands still
   * between turns they become as long as they may.
   */
  #measure(tookMs: number): void {
    const factor = tookMs * sliceFactor > stretchMs ? stretchMs / tookMs : sliceFactor;
    const next = this.#sliceUnits * Math.max(factor, 1 / sliceFactor);
    this.#sliceUnits = Math.min(Math.max(next, minSliceUnits), maxSliceUnits);
  }

  /** The report with what the checkpoints know of the run. */
  complete(report: WasmReport): WasmReport {
    const { timeoutMs, cpuMs, fuel } = this.#limits;
    const own: LimitReading[] = [];
    if (timeoutMs !== undefined) own.push(this.#readTimeout(timeoutMs));
    if (cpuMs !== undefined) own.push(this.#readCpuTime(cpuMs));
    own.push(this.#readFuel(fuel));
    const readings = [...report.readings, ...own];
    const { exit, files } = report;
    const end = this.#end;
    const limitHit = end === undefined || end.limit === "inline" ? report.limitHit : { limit: end.limit, observed: end.observed };
    return limitHit === undefined ? { exit, readings, files } : { exit, readings, files, limitHit };
  }

  #readTimeout(timeoutMs: number): LimitReading {
    const reading = { limit: "timeout", applied: timeoutMs, source: "the deadline that each checkpoint looks at" } as const;
    return this.#end?.limit === "timeout" ? { ...reading, hit: "yes" } : reading;
  }

  #readCpuTime(cpuMs: number): LimitReading {
    const hit = this.#end?.limit === "cpuTime" ? "yes" : "no";
    return { limit: "cpuTime", applied: cpuMs, source: "counter of time on the event loop", peak: this.#cpuMs, hit };
  }

  #readFuel(fuel: number | undefined): LimitReading {
    const reading = { limit: "fuel", source: "fuel counter of the module", peak: this.meter.used } as const;
    return fuel === undefined ? reading : { ...reading, applied: fuel, hit: this.#end?.limit === "fuel" ? "yes" : "no" };
  }
}
