import {
  checkpointName,
  depthName,
  FuelMeter,
  hostNamespace,
  meterModule,
  startName,
  waitName,
  type MeterOptions,
} from "../../../src/wasm/meter/index.ts";
import { requireJspi } from "../../../src/wasm/jspi.ts";
import { trapOfInstance } from "../../../src/wasm/traps.ts";

/** What an engine saw of one module. All of it must be the same on every engine. */
export interface Sight {
  readonly name: string;
  /** The rewritten module, in base64. */
  readonly rewritten: string;
  readonly lines: readonly string[];
  /** Why it was not taken, where it was not. */
  readonly refused?: string;
}

/** Why, of a module that the engine itself does not take: JavaScriptCore wants more of a `delegate` than others. */
export const notTaken = "the engine does not take the original";

/** One module and what is done with it. */
export interface Case {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly options?: MeterOptions;
  /** Makes guests and calls them; what they show is in the sight. */
  readonly play: (open: Opener) => Promise<void> | void;
}

/** Makes an instance. */
export type Opener = (how?: GuestOptions) => Guest;

export interface GuestOptions {
  /** The most fuel. */
  readonly limit?: number;
  /** Whether its calls go through JSPI, on a stack of its own. */
  readonly isSuspending?: boolean;
}

const initialFuel = 1000;

interface Setting extends GuestOptions {
  readonly module: WebAssembly.Module;
  readonly sliceUnits: number;
  readonly write: (line: string) => void;
}

/** An instance of a rewritten module, and all that can be seen of it. */
export class Guest {
  readonly instance: WebAssembly.Instance | undefined;
  readonly #meter: FuelMeter;
  readonly #write: (line: string) => void;
  readonly #isSuspending: boolean;

  constructor({ module, sliceUnits, write, limit, isSuspending = false }: Setting) {
    this.#write = write;
    this.#isSuspending = isSuspending;
    this.#meter = new FuelMeter({ initialFuel, ...(limit === undefined ? {} : { limit }) });
    const grant = (): number => this.#meter.grant(sliceUnits);
    let slices = 0;
    const checkpoint = isSuspending ? () => (slices++ % 3 === 0 ? 0 : grant()) : grant;
    const wait = isSuspending ? new (requireJspi().Suspending)(grant) : grant;
    try {
      this.instance = new WebAssembly.Instance(module, { [hostNamespace]: { [checkpointName]: checkpoint, [waitName]: wait } });
      this.#meter.bind(this.instance);
    } catch (error) {
      write(`instantiation: ${this.#endOf(error)}`);
    }
  }

  get used(): number {
    return this.#meter.used;
  }

  /** Calls an export and writes down what it gives, or how it ends, and the books afterwards. */
  call(name: string, ...values: readonly (number | bigint)[]): void {
    const target = this.#function(name);
    let shown: string;
    try {
      shown = show(target(...values));
    } catch (error) {
      shown = this.#endOf(error);
    }
    this.#write(`${name}(${values.join()}): ${shown}; ${this.#books()}`);
  }

  /** As {@link call}, on a stack of its own where the guest can be suspended. */
  async enter(name: string): Promise<void> {
    if (!this.#isSuspending) return this.call(name);
    const target = this.#function(name);
    let shown: string;
    try {
      shown = show(await requireJspi().promising(target)());
    } catch (error) {
      shown = this.#endOf(error);
    }
    this.#write(`${name}() suspending: ${shown}; ${this.#books()}`);
  }

  /** Writes down the exported memory, globals and tables. */
  look(): void {
    for (const [name, value] of Object.entries(this.instance?.exports ?? {})) {
      if (value instanceof WebAssembly.Memory) this.#write(`${name}: ${value.buffer.byteLength} ${hash(new Uint8Array(value.buffer))}`);
      if (value instanceof WebAssembly.Global && name !== "toolruntime:fuel") this.#write(`${name}: ${show(value.value)}`);
      if (value instanceof WebAssembly.Table) this.#write(`${name}: ${value.length}`);
    }
  }

  /** The export itself: `promising` takes no other function. */
  #function(name: string): (...values: readonly (number | bigint)[]) => unknown {
    const target = this.instance?.exports[name];
    if (typeof target !== "function") throw new TypeError(`the module exports no function ${name}`);
    return target as (...values: readonly (number | bigint)[]) => unknown;
  }

  #books(): string {
    const depth = this.instance?.exports[depthName];
    return `fuel ${this.#meter.used}${this.#meter.isExhausted ? " exhausted" : ""}, depth ${depth instanceof WebAssembly.Global ? depth.value : "not counted"}`;
  }

  #endOf(error: unknown): string {
    return endOf(error, this.instance);
  }
}

/** The kind of end, in words that are the same on every engine. Where an engine's own stack ended it, they say which. */
export function endOf(error: unknown, instance: WebAssembly.Instance | undefined): string {
  if (error instanceof RangeError) return `the engine's own end: ${error.message}`;
  const exit = trapOfInstance(error, instance);
  if (exit?.kind === "trapped") return `trap: ${exit.trap}`;
  return error instanceof Error ? `threw ${error.name}` : `threw ${String(error)}`;
}

export function show(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(show).join()}]`;
  if (typeof value === "bigint") return `${BigInt.asUintN(64, value).toString(16)}n`;
  return Object.is(value, -0) ? "-0" : String(value);
}

/** Two words of 32 bits, each of all bytes. */
export function hash(bytes: Uint8Array): string {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
  let [one, other] = [0x811c9dc5, bytes.length];
  for (const word of words) {
    one = Math.imul(one ^ word, 0x01000193);
    other = (Math.imul(other ^ (word >>> 7), 0x85ebca6b) + word) | 0;
  }
  return `${(one >>> 0).toString(16)}${(other >>> 0).toString(16)}`;
}

export function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

/** Rewrites a module here, runs it here, and says what was seen. */
export async function observe({ name, bytes, options, play }: Case, sliceUnits: number): Promise<Sight> {
  const metered = meterModule(bytes, { deterministic: true, wait: true, initialFuel, ...options });
  const module = new WebAssembly.Module(metered.bytes);
  const lines: string[] = [];
  const write = (line: string): void => void lines.push(line);
  await play((how) => {
    const guest = new Guest({ module, sliceUnits, write, ...how });
    if (metered.hasStart && options?.start === "export" && guest.instance !== undefined) guest.call(startName);
    return guest;
  });
  return { name, rewritten: base64(metered.bytes), lines };
}
