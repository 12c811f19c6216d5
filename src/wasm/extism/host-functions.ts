import type { WasmRun } from "../artifact.ts";
import type { Slices } from "../slices.ts";
import type { FunctionType } from "../types.ts";
import { AbiTrap } from "../wasi/index.ts";
import { HostMemory, HostMemoryLimit } from "./host-memory.ts";
import type { WasmIo } from "../run-types.ts";

/** The namespace of Extism's host functions (https://extism.org/docs/concepts/host-functions). */
export const extismNamespace = "extism:host/env";

/** A function that a plug-in imports. */
export type HostFunction = (...parameters: never[]) => unknown;

const levels = ["trace", "debug", "info", "warn", "error"] as const;
type Level = (typeof levels)[number];
/** Logs below this are dropped, and a plug-in that asks does not even make them. */
const lowestLevel = levels.indexOf("info");
/** Beyond this many variables each new one is refused. */
const maxVariables = 4096;
/** What a call costs in fuel, besides what it moves: these do less than those of WASI. */
const callUnits = 100;
/** So many bytes are moved for a unit. */
const bytesPerUnit = 16;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Ends the plug-in for a reason that is not its own: the run was ended, or nobody takes its logs. */
export class HostEnd {
  readonly reason: unknown;

  constructor(reason: unknown) {
    this.reason = reason;
  }
}

type Ended = AbiTrap | HostMemoryLimit | HostEnd;

/** What one call of a plug-in has in common with its host functions. */
export class PluginCall {
  readonly memory: HostMemory;
  readonly io: WasmIo;
  readonly slices: Slices;
  readonly variables = new Map<string, Uint8Array>();
  output: Uint8Array = new Uint8Array(0);
  error: Uint8Array | undefined;
  readonly #input: DataView;
  readonly #signal: AbortSignal;
  #inputAddress: bigint | undefined;
  #ended: Ended | undefined;

  constructor({ io, slices }: Pick<WasmRun, "io" | "slices">, hostBytes: number) {
    this.io = io;
    this.slices = slices;
    this.memory = new HostMemory(hostBytes, (error) => this.end(error));
    this.#input = new DataView(io.stdin.buffer, io.stdin.byteOffset, io.stdin.byteLength);
    this.#signal = io.signal;
  }

  /** Why the host ended the plug-in, if it did; also where the plug-in caught the throw and went on. */
  get ended(): Ended | undefined {
    return this.#ended;
  }

  /**
   * To be called first in each host call. Once the plug-in was ended it throws the same again: a guest can catch what the
   * host throws (threat: `catch_all` around a limit).
   */
  get live(): this {
    this.slices.work(callUnits);
    if (this.#ended !== undefined) throw this.#ended;
    if (this.#signal.aborted) this.end(new HostEnd(this.#signal.reason));
    return this;
  }

  end(error: Ended): never {
    this.#ended ??= error;
    this.slices.poison();
    throw this.#ended;
  }

  /** A new block of zeros. */
  allocate(size: bigint): bigint {
    const address = this.memory.allocate(size);
    this.#move(Number(size));
    return address;
  }

  #move(bytes: number): void {
    this.slices.work(Math.floor(bytes / bytesPerUnit));
  }

  /** The input as a block; it counts as host memory from here on. */
  inputAddress(): bigint {
    this.#inputAddress ??= this.memory.store(this.io.stdin);
    return this.#inputAddress;
  }

  loadInputU8(address: bigint): number {
    return this.#input.getUint8(this.#inputOffset(address, 1));
  }

  loadInputU64(address: bigint): bigint {
    return this.#input.getBigUint64(this.#inputOffset(address, 8), true);
  }

  #inputOffset(address: bigint, length: number): number {
    const at = Number(address);
    if (at >= 0 && at + length <= this.#input.byteLength) return at;
    return this.end(new AbiTrap(`Cannot read the input at ${address}`));
  }

  log(level: Level, address: bigint): void {
    const text = this.memory.block(address);
    this.memory.free(address);
    if (levels.indexOf(level) < lowestLevel) return;
    const head = encoder.encode(`${level}: `);
    const line = new Uint8Array(head.length + text.length + 1);
    line.set(head);
    line.set(text, head.length);
    line[line.length - 1] = 0x0a;
    this.#move(line.length);
    // Nothing tells a plug-in to write later, and what it writes is bounded: the run's limit of output counts it here.
    try {
      this.slices.hold(this.io.stderr(line), line.length);
    } catch (error) {
      this.end(new HostEnd(error));
    }
  }

  setVariable(key: bigint, value: bigint): void {
    const name = decoder.decode(this.memory.block(key));
    const old = this.variables.get(name);
    const keptBytes = (bytes: Uint8Array | undefined): number => (bytes === undefined ? 0 : bytes.length + 2 * name.length + 128);
    if (value === 0n) {
      this.variables.delete(name);
      this.memory.charge(-keptBytes(old));
      return;
    }
    const content = this.memory.block(value);
    if (old === undefined && this.variables.size === maxVariables) this.end(new HostMemoryLimit());
    this.memory.charge(keptBytes(content) - keptBytes(old));
    this.#move(content.length + name.length);
    this.variables.set(name, content.slice());
  }

  variable(key: bigint): bigint {
    const name = decoder.decode(this.memory.block(key));
    this.memory.free(key);
    const value = this.variables.get(name);
    if (value === undefined) return 0n;
    this.#move(value.length);
    return this.memory.store(value);
  }

  /** No plug-in is given configuration, so no key has a value: not even one that every JavaScript object inherits. */
  configuration(key: bigint): bigint {
    this.memory.free(key);
    return 0n;
  }

  setError(address: bigint): void {
    this.error = address === 0n ? undefined : this.memory.block(address);
  }

  setOutput(address: bigint, length: bigint): void {
    if (length === 0n) {
      this.output = new Uint8Array(0);
      return;
    }
    const block = this.memory.block(address);
    if (length < 0n || length > BigInt(block.length)) this.end(new AbiTrap("Cannot set the output: it is not inside its block"));
    this.output = block.subarray(0, Number(length));
  }
}

/**
 * All functions of Extism's host that a plug-in may import. Those that reach the network (`http_request`,
 * `http_status_code`, `http_headers`) are not among them: nothing grants them, so ingest refuses them by name.
 */
const functions = {
  __proto__: null,

  alloc: (c: PluginCall) => (size: bigint) => c.live.allocate(size),
  free: (c: PluginCall) => (address: bigint) => c.live.memory.free(address),
  length: (c: PluginCall) => (address: bigint) => c.live.memory.length(address),
  length_unsafe: (c: PluginCall) => (address: bigint) => c.live.memory.length(address),
  load_u8: (c: PluginCall) => (address: bigint) => c.live.memory.loadU8(address),
  load_u64: (c: PluginCall) => (address: bigint) => c.live.memory.loadU64(address),
  store_u8: (c: PluginCall) => (address: bigint, value: number) => c.live.memory.storeU8(address, value),
  store_u64: (c: PluginCall) => (address: bigint, value: bigint) => c.live.memory.storeU64(address, value),

  input_offset: (c: PluginCall) => () => c.live.inputAddress(),
  input_length: (c: PluginCall) => () => BigInt(c.live.io.stdin.length),
  input_load_u8: (c: PluginCall) => (at: bigint) => c.live.loadInputU8(at),
  input_load_u64: (c: PluginCall) => (at: bigint) => c.live.loadInputU64(at),
  output_set: (c: PluginCall) => (address: bigint, length: bigint) => c.live.setOutput(address, length),
  error_set: (c: PluginCall) => (address: bigint) => c.live.setError(address),

  config_get: (c: PluginCall) => (key: bigint) => c.live.configuration(key),
  var_get: (c: PluginCall) => (key: bigint) => c.live.variable(key),
  var_set: (c: PluginCall) => (key: bigint, value: bigint) => c.live.setVariable(key, value),

  get_log_level: (c: PluginCall) => () => (c.live, lowestLevel),
  log_trace: (c: PluginCall) => (address: bigint) => c.live.log("trace", address),
  log_debug: (c: PluginCall) => (address: bigint) => c.live.log("debug", address),
  log_info: (c: PluginCall) => (address: bigint) => c.live.log("info", address),
  log_warn: (c: PluginCall) => (address: bigint) => c.live.log("warn", address),
  log_error: (c: PluginCall) => (address: bigint) => c.live.log("error", address),
};

type FunctionName = Exclude<keyof typeof functions, "__proto__">;

/** Whether a plug-in may import this function of Extism's host. */
export function isHostFunction(name: string): name is FunctionName {
  // The table has no prototype, so nothing but its functions is found in it.
  return name in functions;
}

/** The functions by type (https://github.com/extism/extism/blob/main/kernel/src/lib.rs); every one of the table above. */
const types: Readonly<Record<FunctionName, FunctionType>> = {
  alloc: "i64 -> i64",
  free: "i64 ->",
  length: "i64 -> i64",
  length_unsafe: "i64 -> i64",
  load_u8: "i64 -> i32",
  load_u64: "i64 -> i64",
  store_u8: "i64 i32 ->",
  store_u64: "i64 i64 ->",
  input_offset: "-> i64",
  input_length: "-> i64",
  input_load_u8: "i64 -> i32",
  input_load_u64: "i64 -> i64",
  output_set: "i64 i64 ->",
  error_set: "i64 ->",
  config_get: "i64 -> i64",
  var_get: "i64 -> i64",
  var_set: "i64 i64 ->",
  get_log_level: "-> i32",
  log_trace: "i64 ->",
  log_debug: "i64 ->",
  log_info: "i64 ->",
  log_warn: "i64 ->",
  log_error: "i64 ->",
};

/** The type that a plug-in must import this function as. The engine itself would link a host function as any. */
export function hostFunctionType(name: FunctionName): FunctionType {
  return types[name];
}

export function hostFunction(name: FunctionName, call: PluginCall): HostFunction {
  return functions[name](call);
}
