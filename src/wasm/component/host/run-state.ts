import type { RunIo } from "../../../backend.ts";
import type { FileSystem } from "../../wasi/index.ts";
import type { Yielder } from "../../yielder.ts";

/**
 * Ends the guest from a host call. An `Error`, because jco hands what is thrown otherwise to the guest as the error case of
 * the function's result.
 */
export class GuestEnd extends WebAssembly.RuntimeError {
  override readonly name = "GuestEnd";
  readonly why: { readonly exitCode: number } | { readonly reason: unknown };

  constructor(why: { readonly exitCode: number } | { readonly reason: unknown }) {
    super("the guest was ended");
    this.why = why;
  }
}

/** What one run's host functions share. */
export class RunState {
  readonly io: RunIo;
  readonly fs: FileSystem;
  readonly yielder: Yielder;
  /** The most bytes that one host call may allocate for the guest. */
  readonly maxBytes: number;
  readonly #signal: AbortSignal;
  readonly #pending = new Set<Promise<void>>();
  readonly #whenEnded = Promise.withResolvers<void>();
  #ended: GuestEnd | undefined;

  constructor(io: RunIo, fs: FileSystem, yielder: Yielder, maxBytes: number) {
    this.io = io;
    this.fs = fs;
    this.yielder = yielder;
    this.maxBytes = maxBytes;
    this.#signal = io.signal;
  }

  /** Why the host ended the guest, if it did; also where the guest caught the throw and went on. */
  get ended(): GuestEnd | undefined {
    return this.#ended;
  }

  /**
   * Settles once the host has ended the guest. What waits for the guest waits for this too: jco 1.35 leaves the call open for
   * ever where a host function in which the guest waits is rejected. Every further host call of that guest throws.
   */
  get whenEnded(): Promise<void> {
    return this.#whenEnded.promise;
  }

  /**
   * To be called first in each host call. Once the guest was ended it throws the same again: a guest can catch what the
   * host throws (threat: `catch_all` around a limit).
   */
  assertLive(): void {
    if (this.#ended !== undefined) throw this.#ended;
    if (this.#signal.aborted) this.end({ reason: this.#signal.reason });
  }

  end(why: GuestEnd["why"]): never {
    if (this.#ended === undefined) {
      this.#ended = new GuestEnd(why);
      this.#whenEnded.resolve();
    }
    throw this.#ended;
  }

  /** Writes to the run's stdout or stderr. What it gives back must be waited for, now or by {@link settle}. */
  write(stream: "stdout" | "stderr", bytes: Uint8Array): Promise<void> | void {
    this.assertLive();
    if (bytes.length === 0) return;
    try {
      const written = this.yielder.after(this.io[stream](bytes.slice()));
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
