import { constant, noValues, op, type Indices } from "./helpers.ts";
import type { Writer } from "./writer.ts";

/**
 * The instructions that charge, for one function at a time.
 *
 * The global always has what is true, so that nothing is to be written back where a trap, an exception or a call leaves. In
 * loops without calls a local has the same, and spares the load.
 */
export class FuelCode {
  readonly #out: Writer;
  readonly #indices: Indices;
  #local = 0;
  #isCached = true;
  #quietLoops = 0;

  constructor(out: Writer, indices: Indices) {
    this.#out = out;
    this.#indices = indices;
  }

  /**
   * Begins a function. `local`: one of type i32 for this class alone. `hasTry`: exceptions come back at labels, where the local is
   * not known to be true, so each charge loads.
   */
  begin(local: number, hasTry: boolean): void {
    this.#local = local;
    this.#isCached = !hasTry;
    this.#quietLoops = 0;
  }

  get isCached(): boolean {
    return this.#isCached;
  }

  /** Before a loop in which nothing calls. */
  enterQuietLoop(): void {
    if (this.#quietLoops++ === 0) this.reload();
  }

  leaveQuietLoop(): void {
    this.#quietLoops--;
  }

  /** `fuel -= units; if (fuel < 0) refill()`. */
  charge(units: number): void {
    this.subtract(units);
    this.refillIf();
  }

  /** Takes units away, and leaves on the stack whether fuel is below zero. */
  subtract(units: number): void {
    this.#get();
    constant(this.#out, units);
    this.#take();
  }

  /** As {@link subtract}, of units that a local has. */
  subtractLocal(units: number): void {
    this.#get();
    this.#out.put(op.localGet);
    this.#out.u32(units);
    this.#take();
  }

  #take(): void {
    const out = this.#out;
    out.put(op.i32Sub, op.localTee);
    out.u32(this.#local);
    out.put(op.globalSet);
    out.u32(this.#indices.fuel);
    out.put(op.localGet);
    out.u32(this.#local);
    out.put(op.i32Const, 0, op.i32LtS);
  }

  /** Leaves on the stack whether fuel is below zero. */
  test(): void {
    this.#get();
    this.#out.put(op.i32Const, 0, op.i32LtS);
  }

  /** Asks the host for more where the top of the stack says so; `more` is written behind it. */
  refillIf(more?: () => void): void {
    const out = this.#out;
    out.put(op.if, noValues, op.call);
    out.u32(this.#indices.refill);
    this.reload();
    more?.();
    out.put(op.end);
  }

  /** Gives units back, to be charged at once. */
  add(units: number): void {
    const out = this.#out;
    this.#get();
    constant(out, units);
    out.put(op.i32Add, op.localTee);
    out.u32(this.#local);
    out.put(op.globalSet);
    out.u32(this.#indices.fuel);
  }

  /** After what may have charged by itself. */
  reload(): void {
    if (this.#quietLoops === 0 || !this.#isCached) return;
    this.#out.put(op.globalGet);
    this.#out.u32(this.#indices.fuel);
    this.#out.put(op.localSet);
    this.#out.u32(this.#local);
  }

  #get(): void {
    const isLocal = this.#quietLoops > 0 && this.#isCached;
    this.#out.put(isLocal ? op.localGet : op.globalGet);
    this.#out.u32(isLocal ? this.#local : this.#indices.fuel);
  }
}
