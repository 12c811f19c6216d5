import type { WasmRun } from "../artifact.ts";
import { pageBytes } from "../binary.ts";
import { requireJspi } from "../jspi.ts";
import type { Lease } from "../memory-pool.ts";
import { checkpointName, hostNamespace, waitName } from "../meter/names.ts";
import { GuestMemory } from "../wasi/guest-memory.ts";
import { AbiTrap } from "../wasi/signals.ts";
import { OutOfMemory, type Address, type QuickJsClient } from "./client.ts";
import type { QuickJsImage } from "./image.ts";
import { quickJsImports, quickJsMemory, quickJsNamespace, type QuickJsImport } from "./quickjs.ts";

/** WASI's and emscripten's numbers for what is not there. */
const errno = { badf: 8, spipe: 70 } as const;

/** The functions that the guest gets, by the number that it calls them with. */
export const streams = { stdout: 1, stderr: 2 } as const;

/** A text that the guest writes at once is at most so long in UTF-8; see the harness. */
const maxPieceBytes = 64 * 1024;

/** What growing the memory is charged, and each page of it: as much as where a guest does it by itself. */
const growUnits = 20_000;
const grownPageUnits = 64;
/** More checkpoints than a piece of text, which the harness keeps short, can take. */
const maxNestedLooks = 256;

/** Thrown where QuickJS gives itself up; unwinds the guest. */
export class Aborted {
  toString(): string {
    return "QuickJS gave itself up";
  }
}

type Implemented = { readonly [N in QuickJsImport]: (...parameters: never[]) => unknown };

/**
 * What one run of QuickJS gets of its host: a clock in whole milliseconds of UTC, memory up to the run's cap, and a way for text
 * out. Nothing else: no file, no timer, no module, no environment.
 */
export class JavaScriptHost {
  readonly memory: GuestMemory;
  readonly #run: WasmRun;
  readonly #lease: Lease;
  #client: QuickJsClient | undefined;
  /** How many checkpoints there were while a text is taken from the guest; nothing where none is. */
  #nestedLooks: number | undefined;
  #wasRefusedMemory = false;

  constructor(run: WasmRun, lease: Lease) {
    this.#run = run;
    this.#lease = lease;
    this.memory = new GuestMemory({ ended: () => run.slices.poison() });
    this.memory.bind(lease.memory);
  }

  /** Whether the cap refused the guest memory that it asked for. */
  get wasRefusedMemory(): boolean {
    return this.#wasRefusedMemory;
  }

  bind(client: QuickJsClient): void {
    this.#client = client;
  }

  /** Puts the image into the fresh memory, with random numbers of the run's own. */
  restore({ pieces, size, seedAt }: QuickJsImage): void {
    const { slices, surroundings } = this.#run;
    slices.work(Math.ceil(size / 16));
    this.memory.refresh();
    for (const { at, bytes } of pieces) this.memory.copyIn(at, bytes);
    const seed = new Uint8Array(8);
    if (surroundings.random === undefined) crypto.getRandomValues(seed);
    else surroundings.random(seed);
    // Of all zeros nothing but zeros would come.
    seed[0] = (seed[0] ?? 0) | 1;
    this.memory.copyIn(seedAt, seed);
  }

  imports(): WebAssembly.Imports {
    const { slices } = this.#run;
    const own: WebAssembly.ModuleImports = Object.create(null);
    for (const [what, implementation] of Object.entries(this.#functions())) {
      own[quickJsImports[what as QuickJsImport][0]] = implementation;
    }
    own[quickJsMemory] = this.#lease.memory;
    const engine: WebAssembly.ModuleImports = Object.create(null);
    engine[checkpointName] = () => (this.#nestedLooks === undefined ? slices.look() : this.#lookNested(this.#nestedLooks));
    engine[waitName] = new (requireJspi().Suspending)(() => slices.wait());
    const imports: WebAssembly.Imports = Object.create(null);
    imports[quickJsNamespace] = own;
    imports[hostNamespace] = engine;
    return imports;
  }

  /** Threat: a guest that broke QuickJS, and would stay for ever where nothing can suspend it. */
  #lookNested(looks: number): number {
    const { slices } = this.#run;
    this.#nestedLooks = looks + 1;
    return looks < maxNestedLooks ? slices.lookBriefly() : slices.endInline();
  }

  #functions(): Implemented {
    const giveUp = (): never => this.memory.end(new Aborted());
    return {
      assertFailed: giveUp,
      abort: giveUp,
      exit: giveUp,
      normalizeModule: giveUp,
      loadModule: giveUp,
      setTimer: giveUp,
      shouldInterrupt: () => 0,
      clearKeepAlive: () => undefined,
      freeHostRef: () => undefined,
      fdWrite: () => errno.badf,
      fdClose: () => errno.badf,
      fdSeek: () => errno.spipe,
      environ: () => 0,
      environSizes: (count: number, size: number) => this.#writeEach(0, count, size),
      dateNow: () => this.#nowMs(),
      localTime: (seconds: bigint, to: number) => this.#localTime(seconds, to >>> 0),
      setTimeZone: (...addresses: number[]) => this.#setTimeZone(addresses),
      resizeHeap: (bytes: number) => this.#resize(bytes >>> 0),
      callFunction: (context: number, _self: number, count: number, values: number, stream: number) =>
        this.#write(context, count === 0 ? undefined : values, stream),
    };
  }

  #writeEach(value: number, ...addresses: number[]): number {
    this.memory.refresh();
    for (const address of addresses) this.memory.setU32(address >>> 0, value);
    return 0;
  }

  #nowMs(): number {
    const { slices, clock } = this.#run;
    slices.called();
    return Number(clock.realtimeNs() / 1_000_000n);
  }

  /** The fields of C's `struct tm`, always in UTC: where the host is, is nothing for a guest. */
  #localTime(seconds: bigint, to: number): void {
    this.#run.slices.called();
    const date = new Date(Number(seconds) * 1000);
    const year = date.getUTCFullYear();
    const newYear = new Date(0).setUTCFullYear(year, 0, 1);
    const yearDay = (date.getTime() - newYear) / 86_400_000;
    const day = [date.getUTCSeconds(), date.getUTCMinutes(), date.getUTCHours(), date.getUTCDate(), date.getUTCMonth()];
    this.memory.refresh();
    const fields = [...day, year - 1900, date.getUTCDay(), Math.floor(yearDay), 0, 0];
    for (const [index, field] of fields.entries()) this.memory.setU32(to + 4 * index, field);
  }

  /** Seconds west of Greenwich, whether there is summer time, and the names of both. */
  #setTimeZone(addresses: readonly number[]): void {
    const [seconds = 0, hasSummer = 0, name = 0, summerName = 0] = addresses;
    this.#writeEach(0, seconds, hasSummer);
    // "UTC" and its NUL, as one number.
    this.#writeEach(0x00_43_54_55, name, summerName);
  }

  /** Grows the memory by more than is asked for, where there is room: some engines copy all of it each time. */
  #resize(bytes: number): number {
    const { slices } = this.#run;
    const { memory, maxBytes } = this.#lease;
    const pages = memory.buffer.byteLength / pageBytes;
    const wanted = Math.ceil(bytes / pageBytes);
    const roomy = Math.min(Math.max(wanted, pages + (pages >> 3)), maxBytes / pageBytes);
    if (wanted <= pages) return 1;
    slices.work(growUnits);
    for (const target of wanted <= roomy ? [roomy, wanted] : []) {
      try {
        memory.grow(target - pages);
        slices.work((target - pages) * grownPageUnits);
        return 1;
      } catch {
        // The machine has no room, or not that much.
      }
    }
    this.#wasRefusedMemory = true;
    return 0;
  }

  /** Takes a text of the guest's for a stream, or a NUL, which no text of C's can have in it. */
  #write(context: number, value: Address | undefined, stream: number): number {
    const { slices, io } = this.#run;
    slices.called();
    const bytes = value === undefined ? new Uint8Array(1) : this.#textOf(context, value);
    slices.work(Math.ceil(bytes.length / 16));
    slices.hold(stream === streams.stdout ? io.stdout(bytes) : io.stderr(bytes), bytes.length);
    return 0;
  }

  #textOf(context: number, value: Address): Uint8Array<ArrayBuffer> {
    const client = this.#client;
    if (client === undefined) throw new TypeError("the guest calls before it is bound");
    this.#nestedLooks = 0;
    try {
      const address = client.enterNested("getString", context, value) >>> 0;
      if (address === 0) this.memory.end(new OutOfMemory());
      this.memory.refresh();
      const end = this.memory.bytes.subarray(address, address + maxPieceBytes).indexOf(0);
      if (end === -1) this.memory.end(new AbiTrap(`Cannot read a text at address ${address}: it is longer than what goes at once`));
      const bytes = this.memory.copyOut(address, end);
      client.enterNested("freeCString", context, address);
      return bytes;
    } finally {
      this.#nestedLooks = undefined;
    }
  }
}
