import type { RunState } from "./run-state.ts";

/** `wasi:io`: https://github.com/WebAssembly/wasi-io/tree/v0.2.0/wit. Errors of a result are thrown as plain values. */

const maxChunkBytes = 65_536;
const maxPollables = 4096;

/** A `stream-error`. */
const closed: unknown = Object.freeze({ tag: "closed" });

export class IoError {
  readonly #code: string;

  constructor(code: string) {
    this.#code = code;
  }

  /** The file system's error code behind it. */
  get code(): string {
    return this.#code;
  }

  toDebugString(): string {
    return this.#code;
  }
}

/** The `stream-error` for a failed file operation. */
function failed(code: string): unknown {
  return { tag: "last-operation-failed", val: new IoError(code) };
}

/** Where an input stream gets its bytes: at most so many; none at the end. */
export type Source = (maxBytes: number) => Uint8Array;

export class InputStream {
  readonly #state: RunState;
  readonly #source: Source;

  constructor(state: RunState, source: Source) {
    this.#state = state;
    this.#source = source;
  }

  read(length: bigint): Uint8Array {
    this.#state.assertLive();
    if (length === 0n) return new Uint8Array(0);
    const bytes = this.#source(length < maxChunkBytes ? Number(length) : maxChunkBytes);
    this.#state.move(bytes.length);
    if (bytes.length === 0) throw closed;
    return bytes;
  }

  blockingRead(length: bigint): Uint8Array {
    return this.read(length);
  }

  skip(length: bigint): bigint {
    return BigInt(this.read(length).length);
  }

  blockingSkip(length: bigint): bigint {
    return this.skip(length);
  }

  subscribe(): Pollable {
    return new Pollable(this.#state);
  }
}

export interface Sink {
  /** Gives back a promise only where the guest should wait; throws an error code of the file system. */
  write(bytes: Uint8Array): Promise<void> | void;
}

/** A sink that writes to one of the run's streams. */
export function streamSink(state: RunState, stream: "stdout" | "stderr"): Sink {
  return { write: (bytes) => state.write(stream, bytes) };
}

export class OutputStream {
  readonly #state: RunState;
  readonly #sink: Sink;
  #permit = 0;

  constructor(state: RunState, sink: Sink) {
    this.#state = state;
    this.#sink = sink;
  }

  checkWrite(): bigint {
    this.#state.assertLive();
    this.#permit = maxChunkBytes;
    return BigInt(maxChunkBytes);
  }

  write(bytes: Uint8Array): void {
    this.#state.assertLive();
    if (bytes.length > this.#permit) throw new TypeError("the guest wrote more than check-write permitted");
    this.#permit -= bytes.length;
    this.#state.defer(this.#write(bytes));
  }

  blockingWriteAndFlush(bytes: Uint8Array): Promise<void> | void {
    this.#state.assertLive();
    if (bytes.length > 4096) throw new TypeError("the guest wrote more than 4096 bytes at once");
    const written = this.#write(bytes);
    return written === undefined ? undefined : this.#state.slices.away(written);
  }

  flush(): void {
    this.#state.assertLive();
  }

  /** What was written is with the host already; here the guest waits for whoever reads it. */
  blockingFlush(): Promise<void> {
    this.#state.assertLive();
    return this.#state.slices.away(this.#state.settle());
  }

  writeZeroes(length: bigint): void {
    if (length > BigInt(this.#permit)) throw new TypeError("the guest wrote more than check-write permitted");
    this.write(new Uint8Array(Number(length)));
  }

  blockingWriteZeroesAndFlush(length: bigint): Promise<void> | void {
    if (length > 4096n) throw new TypeError("the guest wrote more than 4096 bytes at once");
    return this.blockingWriteAndFlush(new Uint8Array(Number(length)));
  }

  splice(source: InputStream, length: bigint): bigint {
    const bytes = source.read(length);
    this.#state.defer(this.#write(bytes));
    return BigInt(bytes.length);
  }

  blockingSplice(source: InputStream, length: bigint): bigint {
    return this.splice(source, length);
  }

  subscribe(): Pollable {
    return new Pollable(this.#state);
  }

  #write(bytes: Uint8Array): Promise<void> | void {
    try {
      return this.#sink.write(bytes);
    } catch (error) {
      throw typeof error === "string" ? failed(error) : error;
    }
  }
}

/** Ready at once, or at a moment of the run's monotonic clock. */
export class Pollable {
  readonly #state: RunState;
  readonly #dueNs: bigint;

  constructor(state: RunState, dueNs = 0n) {
    this.#state = state;
    this.#dueNs = dueNs;
  }

  /**
   * jco 1.35 looks here once a function to which the guest lent this has returned. It is where a guest that waits is ended: a
   * function that has no result and is rejected leaves the guest's stack suspended for ever, 300 KB that no garbage
   * collector takes; what is thrown here unwinds it.
   */
  get drop(): undefined {
    this.#state.assertLive();
    return undefined;
  }

  ready(): boolean {
    this.#state.assertLive();
    return this.#isDue;
  }

  /** Never rejected; see {@link Pollable.drop}. */
  async block(): Promise<void> {
    // A timer of the host may fire a little early.
    while (!this.#state.isOver && !this.#isDue) await this.#wait();
  }

  /** The one that is ready first, and the places of all that are ready then. */
  static async poll(list: readonly Pollable[]): Promise<ArrayLike<number>> {
    const [first] = list;
    // Nothing tells whose run it is; a list whose length throws ends the guest as `drop` does.
    if (first === undefined) return emptyPoll;
    if (list.length > maxPollables) first.#state.note({ trap: `polled ${list.length} things at once` });
    const next = list.reduce((soonest, one) => (one.#dueNs < soonest.#dueNs ? one : soonest));
    first.#state.slices.work(list.length);
    await next.block();
    const nowNs = first.#state.clock.monotonicNs();
    return Uint32Array.from(list.flatMap((one, index) => (one.#dueNs <= nowNs ? [index] : [])));
  }

  get #isDue(): boolean {
    return this.#dueNs <= this.#state.clock.monotonicNs();
  }

  async #wait(): Promise<void> {
    const { clock, slices } = this.#state;
    const leftMs = Math.ceil(Number(this.#dueNs - clock.monotonicNs()) / 1e6);
    try {
      if (clock.skip === undefined) await slices.sleep(leftMs);
      else clock.skip(leftMs);
    } catch (reason) {
      this.#state.note({ reason });
    }
  }
}

const emptyPoll: ArrayLike<number> = {
  get length(): number {
    throw new TypeError("the guest polled nothing");
  },
};
