import type { Clock } from "./clock.ts";
import { systemClock } from "./clock.ts";
import { DescriptorTable, type Descriptor } from "./descriptors.ts";
import type { FileSystem } from "./file-system.ts";
import { GuestMemory } from "./guest-memory.ts";
import { PathLookup } from "./lookup.ts";
import { takeMoved } from "./nodes.ts";

export interface WasiOptions {
  /** `args[0]` is the program's name. Each entry ends at its first NUL. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** This run's files. With no preopens the guest has no files at all. */
  readonly fs: FileSystem;
  /** The whole input. Never changed. */
  readonly stdin: Uint8Array;
  /**
   * Takes what the guest writes: at most 1 MiB at a time, always a fresh copy that the callee may keep.
   *
   * Where it returns a promise, so does `fd_write`, and the engine must have wrapped that with
   * `WebAssembly.Suspending`. What it throws, or rejects with, unwinds and ends the guest.
   */
  readonly stdout: (bytes: Uint8Array<ArrayBuffer>) => void | Promise<void>;
  /** As `stdout`. */
  readonly stderr: (bytes: Uint8Array<ArrayBuffer>) => void | Promise<void>;
  /** The host's clocks unless given. */
  readonly clock?: Clock;
  /** Fills the target, at most 65,536 bytes long, with random bytes. `crypto.getRandomValues` unless given. */
  readonly random?: ((target: Uint8Array<ArrayBuffer>) => void) | undefined;
  /**
   * Waits, for `poll_oneoff`. Where it is absent a poll that would have to wait answers ENOTSUP; one
   * that has an event at once works all the same. What it rejects with unwinds the guest.
   */
  readonly sleep?: (milliseconds: number) => Promise<void>;
  /**
   * Hears of host work that grows with what the guest asked for, in the middle of a call: one unit for
   * each 16 bytes moved and for each directory entry, path component or subscription looked at, and eight
   * for each random byte. May
   * throw: the throw unwinds the guest. Not called for work below one unit.
   */
  readonly charge?: (units: number) => void;
  /**
   * Waits, in the middle of a call that takes long, for as long as others want to run. Where it is given, `random_get` of
   * much returns a promise. What it rejects with unwinds and ends the guest.
   */
  readonly pause?: () => Promise<void>;
  /** Hears of each call, before it does anything. */
  readonly called?: () => void;
  /**
   * Whether stdout and stderr take nothing more at the moment: `fd_write` then answers EAGAIN, or the number of bytes that
   * it has handed over so far.
   */
  readonly isCongested?: (() => boolean) | undefined;
  /** Hears once that the guest was ended, whether the guest catches the throw or not. */
  readonly ended?: () => void;
  /**
   * "enforced": a descriptor can do what its rights say, as the specification has it. "ignored": a
   * descriptor opened for reading or writing can do all that its node can, whatever rights were asked
   * for, as recent wasmtime has it; a preopen's own rights still bound everything below it. "enforced" unless given.
   */
  readonly rights?: "enforced" | "ignored";
}

/** Strings as the guest gets them: UTF-8, each with a NUL behind it. */
export interface EncodedStrings {
  readonly count: number;
  readonly bytes: Uint8Array;
}

/** All that one run's WASI functions share. */
export class WasiState {
  readonly options: WasiOptions;
  readonly memory: GuestMemory;
  readonly descriptors: DescriptorTable;
  readonly lookup: PathLookup;
  readonly clock: Clock;
  stdinOffset = 0;
  /** Encoded on first use. */
  args: EncodedStrings | undefined;
  environment: EncodedStrings | undefined;

  constructor(options: WasiOptions) {
    this.options = options;
    this.memory = new GuestMemory(options);
    this.clock = options.clock ?? systemClock;
    this.descriptors = new DescriptorTable(options.fs);
    this.lookup = new PathLookup(this.memory, options.fs.root);
  }

  descriptor(fd: number): Descriptor | undefined {
    return this.descriptors.get(fd);
  }

  /** For what the host did to make a file larger or smaller. */
  chargeMoved(): void {
    this.charge(takeMoved(this.options.fs.quota) / 16);
  }

  charge(units: number): void {
    const { charge } = this.options;
    if (charge === undefined || units < 1) return;
    try {
      charge(Math.floor(units));
    } catch (error) {
      this.memory.end(error);
    }
  }

  nowNs(): bigint {
    return this.clock.realtimeNs();
  }
}
