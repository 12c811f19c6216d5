import type { WasmRun } from "../../artifact.ts";
import type { Slices } from "../../slices.ts";
import type { GuestClock } from "../../surroundings.ts";
import type { FileSystem } from "../../wasi/index.ts";
import { takeMoved } from "../../wasi/nodes.ts";
import type { WasmIo } from "../../run-types.ts";

/** It ended itself, it broke the interface, or its run was ended from outside. */
type EndReason = { readonly exitCode: number } | { readonly trap: string } | { readonly reason: unknown };

/**
 * Ends the guest from a host call. An `Error`, because jco hands what is thrown otherwise to the guest as the error case of
 * the function's result.
 */
export class GuestEnd extends Error {
  override readonly name = "GuestEnd";
  readonly why: EndReason;

  constructor(why: EndReason) {
    super("the guest was ended");
    this.why = why;
  }
}

/** So many bytes are moved for a unit of fuel. */
const bytesPerUnit = 16;

/** What one run's host functions share. */
export class RunState {
  readonly io: WasmIo;
  readonly fs: FileSystem;
  readonly slices: Slices;
  readonly clock: GuestClock;
  /** Fills the target with random bytes. */
  readonly random: (target: Uint8Array<ArrayBuffer>) => void;
  /** The most bytes that one host call may allocate for the guest. */
  readonly maxBytes: number;
  readonly #signal: AbortSignal;
  readonly #pending = new Set<Promise<void>>();
  readonly #whenEnded = Promise.withResolvers<void>();
  #ended: GuestEnd | undefined;

  constructor({ io, slices, clock, surroundings, memoryBytes }: WasmRun, fs: FileSystem) {
    this.io = io;
    this.fs = fs;
    this.slices = slices;
    this.clock = clock;
    this.random = surroundings.random ?? ((target) => void crypto.getRandomValues(target));
    this.maxBytes = memoryBytes;
    this.#signal = io.signal;
  }

  /** Why the host ended the guest, if it did; also where the guest caught the throw and went on. */
  get ended(): GuestEnd | undefined {
    return this.#ended;
  }

  /** Settles once the host has ended the guest: whoever waits for the guest waits for this too. */
  get whenEnded(): Promise<void> {
    return this.#whenEnded.promise;
  }

  /** Whether the guest was ended, or its run was. */
  get isOver(): boolean {
    if (this.#ended === undefined && this.#signal.aborted) this.note({ reason: this.#signal.reason });
    return this.#ended !== undefined;
  }

  /**
   * To be called first in each host call. Once the guest was ended it throws the same again: a guest can catch what the
   * host throws (threat: `catch_all` around a limit).
   */
  assertLive(): void {
    this.slices.called();
    this.move(takeMoved(this.fs.quota));
    if (this.isOver) throw this.#ended;
  }

  /** Counts bytes that the host moves for the guest. */
  move(bytes: number): void {
    this.slices.work(Math.floor(bytes / bytesPerUnit));
  }

  /** Ends the guest at its next host call; the first reason stays. */
  note(why: EndReason): void {
    if (this.#ended !== undefined) return;
    this.#ended = new GuestEnd(why);
    this.slices.poison();
    this.#whenEnded.resolve();
  }

  end(why: EndReason): never {
    this.note(why);
    throw this.#ended;
  }

  /** Writes to the run's stdout or stderr. What it gives back must be waited for, now or by {@link settle}. */
  write(stream: "stdout" | "stderr", bytes: Uint8Array): Promise<void> | void {
    this.assertLive();
    if (bytes.length === 0) return;
    this.move(bytes.length);
    try {
      const written = this.io[stream](bytes.slice());
      return written?.catch((reason: unknown) => this.end({ reason }));
    } catch (reason) {
      this.end({ reason });
    }
  }

  /** Keeps a promise that the guest cannot wait for. */
  defer(work: Promise<void> | void): void {
    if (work === undefined) return;
    this.#pending.add(work);
    const forget = (): void => void this.#pending.delete(work);
    work.then(forget, forget);
  }

  async settle(): Promise<void> {
    await Promise.all(this.#pending);
  }
}
