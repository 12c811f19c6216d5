import { requireJspi } from "../jspi.ts";
import { startName } from "../meter/names.ts";
import type { GuestMemory } from "../wasi/guest-memory.ts";
import { quickJsExports, type QuickJsExport } from "./quickjs.ts";

type Exported = (...parameters: number[]) => unknown;

/** What a value of QuickJS's is known by outside: an address in its memory. 0 is none. */
export type Address = number;

const encoder = new TextEncoder();

/** How QuickJS evaluates: the flags of its `JS_Eval`. */
const evalFlags = { script: 0, module: 1 } as const;
export const promiseStates = { pending: 0, fulfilled: 1, rejected: 2 } as const;

/** What QuickJS has no memory left for. */
export class OutOfMemory {
  toString(): string {
    return "QuickJS has no memory left";
  }
}

export interface GuestSide {
  readonly memory: GuestMemory;
  /** Hears of work that the host does for the guest, in units of fuel. */
  readonly charge: (units: number) => void;
  /** Whether the guest can be suspended; otherwise none of its checkpoints may want that. */
  readonly canWait: boolean;
}

/**
 * One instance of QuickJS, by its C interface. Each call can be suspended wherever the guest then is: it goes from the event
 * loop straight into WebAssembly, and no frame of JavaScript is on the way.
 *
 * Nothing is given back: the instance ends with the run.
 */
export class QuickJsClient {
  readonly #exports: WebAssembly.Exports;
  readonly #memory: GuestMemory;
  readonly #charge: (units: number) => void;
  readonly #canWait: boolean;

  constructor({ exports }: WebAssembly.Instance, { memory, charge, canWait }: GuestSide) {
    this.#exports = exports;
    this.#memory = memory;
    this.#charge = charge;
    this.#canWait = canWait;
  }

  /** Calls from the event loop. */
  async enter(name: QuickJsExport, ...parameters: number[]): Promise<number> {
    return Number(await this.#enter(quickJsExports[name][0], parameters));
  }

  #enter(name: string, parameters: readonly number[]): unknown {
    const callee = this.#export(name);
    return this.#canWait ? requireJspi().promising(callee)(...parameters) : callee(...parameters);
  }

  /** Calls from a host function, in the middle of the guest: here nothing can suspend it. */
  enterNested(name: QuickJsExport, ...parameters: number[]): number {
    return Number(this.#export(quickJsExports[name][0])(...parameters));
  }

  #export(name: string): Exported {
    const found = this.#exports[name];
    if (typeof found !== "function") throw new TypeError(`the instance lost its export ${name}`);
    return found as Exported;
  }

  /** What the module does before anything else. */
  async initialize(): Promise<void> {
    await this.#enter(startName, []);
    await this.enter("callConstructors");
  }

  /** As {@link enter}, where 0 says that there was no memory for the result. */
  async make(name: QuickJsExport, ...parameters: number[]): Promise<Address> {
    const address = (await this.enter(name, ...parameters)) >>> 0;
    return address === 0 ? this.fail() : address;
  }

  /** Ends the guest, which has no memory for what it must have. */
  fail(): never {
    return this.#memory.end(new OutOfMemory());
  }

  /** Copies text into the guest, with the NUL behind it that C wants. */
  async place(text: Uint8Array | string): Promise<{ readonly address: Address; readonly length: number }> {
    const bytes = typeof text === "string" ? encoder.encode(text) : text;
    const address = await this.make("malloc", bytes.length + 1);
    this.#charge(Math.ceil(bytes.length / 16));
    this.#memory.refresh();
    this.#memory.copyIn(address, bytes);
    this.#memory.copyIn(address + bytes.length, Uint8Array.of(0));
    return { address, length: bytes.length };
  }

  async newString(context: Address, text: Uint8Array | string): Promise<Address> {
    const { address } = await this.place(text);
    const made = await this.make("newString", context, address);
    await this.enter("free", address);
    return made;
  }

  /** A function of the host's, which it is called for by its number. */
  async newFunction(context: Address, number: number): Promise<Address> {
    const name = await this.place("");
    return this.make("newFunction", context, name.address, 0, 0, number);
  }

  async evaluate(
    context: Address,
    code: Uint8Array | string,
    { file, kind }: { file: string; kind: keyof typeof evalFlags },
  ): Promise<Address> {
    const placed = await this.place(code);
    const name = await this.place(file);
    const value = await this.make("evaluate", context, placed.address, placed.length, name.address, 0, evalFlags[kind]);
    await this.enter("free", placed.address);
    return value;
  }

  async call(context: Address, callee: Address, values: readonly Address[]): Promise<Address> {
    const list = await this.make("malloc", 4 * Math.max(1, values.length));
    this.#memory.refresh();
    for (const [index, value] of values.entries()) this.#memory.setU32(list + 4 * index, value);
    return this.make("call", context, callee, (await this.enter("getUndefined")) >>> 0, values.length, list);
  }

  /** What was thrown, where a value says that something was. */
  async thrown(context: Address, value: Address): Promise<Address | undefined> {
    const error = (await this.enter("resolveException", context, value)) >>> 0;
    return error === 0 ? undefined : error;
  }

  /** Runs the jobs of promises until there is none left. */
  async runJobs(runtime: Address): Promise<void> {
    const lastContext = await this.make("malloc", 4);
    while ((await this.enter("isJobPending", runtime)) === 1) await this.make("executePendingJob", runtime, -1, lastContext);
  }
}
