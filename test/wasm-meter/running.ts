import { Bytes, moduleHeader, writeType, type FunctionType, type ValueType } from "./encoding.ts";
import type { Generated } from "./generate.ts";
import { stepsOfCall } from "./plan.ts";
import { hostName } from "./sections.ts";

/** Where the host looks: after a call, or in a function of its own. */
export type Place = "returned" | "threw" | "inside" | "may throw";

/** What is given to a module besides what the generator had it ask for. */
export interface Surroundings {
  readonly imports?: Readonly<Record<string, Readonly<Record<string, WebAssembly.ImportValue>>>>;
  /** Called whenever the module has left to the host: for good, or in the middle of a call. */
  readonly look?: (instance: WebAssembly.Instance | undefined, place: Place) => void;
  /** Called first, where the instance has an export of this name. */
  readonly startName?: string;
  /** Whether the run is over and no more is to be called. */
  readonly isOver?: () => boolean;
}

/** All of a run that can be seen from outside. */
export interface Run {
  /** Each host call, each outcome of a call. */
  readonly events: readonly string[];
  readonly memory: Uint8Array | undefined;
  readonly globals: readonly string[];
  /** Whether the engine's stack did not suffice. Where that is depends on more than the module. */
  readonly isExhausted: boolean;
  /** Absent where none could be made. */
  readonly instance: WebAssembly.Instance | undefined;
}

/** Makes an instance, calls what is to be called, and writes down what happens. */
export function run(module: WebAssembly.Module, generated: Generated, surroundings: Surroundings = {}): Run {
  const host = begin(module, generated, surroundings);
  for (const { name, values } of host.hasBegun ? generated.calls : []) {
    if (surroundings.isOver?.() === true) break;
    host.call(name, values);
  }
  return host.seen();
}

/** The same where the module's stack may wait for the host. */
export async function runAsync(
  module: WebAssembly.Module,
  generated: Generated,
  surroundings: Surroundings,
  promising: Promising,
): Promise<Run> {
  const host = begin(module, generated, surroundings);
  for (const { name, values } of host.hasBegun ? generated.calls : []) {
    if (surroundings.isOver?.() === true) break;
    await host.callAsync(name, values, promising);
  }
  return host.seen();
}

type ExportedFunction = Extract<WebAssembly.ExportValue, { readonly call: unknown }>;
/** `WebAssembly.promising`. */
export type Promising = (guest: ExportedFunction) => (...values: (number | bigint)[]) => Promise<unknown>;

function begin(module: WebAssembly.Module, { plan }: Generated, { imports = {}, look, startName }: Surroundings): Host {
  const host = new Host(plan.functions, look);
  try {
    const instance = new WebAssembly.Instance(module, { ...imports, [hostName]: hostImports(plan, host) });
    host.instance = instance;
    const start = startName === undefined ? undefined : instance.exports[startName];
    if (typeof start === "function") start();
    look?.(instance, "returned");
    host.hasBegun = true;
  } catch (error) {
    // Without its instance: where the start section threw there is none to compare with.
    host.write(`instantiation threw ${describe(error, undefined)}`);
  }
  return host;
}

function hostImports({ functions, globals, tags, importsTag }: Generated["plan"], host: Host): Record<string, WebAssembly.ImportValue> {
  const given: Record<string, WebAssembly.ImportValue> = {};
  for (const [index, type] of functions.filter(({ host }) => host !== undefined).entries()) given[`f${index}`] = host.function(index, type);
  for (const [index, { type, isMutable }] of globals.filter(({ isImported }) => isImported).entries()) {
    given[`g${index}`] = new WebAssembly.Global({ value: jsType(type), mutable: isMutable }, type === "i64" ? 77n : 77);
  }
  const tag = importsTag ? makeTag(tags[0] ?? []) : undefined;
  if (tag !== undefined) given["tag"] = tag;
  return given;
}

/** A tag of another module's. */
function makeTag(params: readonly ValueType[]): WebAssembly.ExportValue | undefined {
  const type = new Bytes()
    .raw(1, 0x60)
    .list(params, (one, _, into) => writeType(into, one))
    .raw(0);
  const exported = new Bytes().raw(1).name("tag").raw(4, 0);
  const bytes = new Bytes()
    .raw(...moduleHeader, 1)
    .sized(type)
    .raw(13, 3, 1, 0, 0, 7)
    .sized(exported);
  return new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(bytes.out))).exports["tag"];
}

function jsType(type: ValueType): "i32" | "i64" | "f32" | "f64" {
  if (type === "i32" || type === "i64" || type === "f32" || type === "f64") return type;
  throw new TypeError(`the host has no ${type}`);
}

const mostReentries = 3;

class Host {
  readonly events: string[] = [];
  instance: WebAssembly.Instance | undefined;
  hasBegun = false;
  readonly #look: Surroundings["look"];
  readonly #functions: Generated["plan"]["functions"];
  #reentries = 0;

  constructor(functions: Generated["plan"]["functions"], look: Surroundings["look"]) {
    this.#functions = functions;
    this.#look = look;
  }

  write(event: string): void {
    this.events.push(event);
  }

  /** A function that depends on nothing but its arguments and what was called before, and throws now and then. */
  function(index: number, type: FunctionType & { readonly host?: string }): (...values: unknown[]) => unknown {
    return (...values) => {
      this.write(`f${index}(${values.map(show).join()})`);
      const count = this.events.length;
      const throws = count % 16 === 15;
      this.#look?.(this.instance, throws || type.host === "reenter" ? "may throw" : "inside");
      if (type.host === "reenter") this.#reenter();
      if (throws) throw new Error(`host ${count}`);
      const results = type.results.map((one) => (one === "i64" ? BigInt(count * 3) : count * 3));
      return results.length > 1 ? results : results[0];
    };
  }

  #reenter(): void {
    if (this.instance === undefined || !this.hasBegun || this.#reentries >= mostReentries) return;
    this.#reentries++;
    try {
      const name = `call${this.events.length % this.#functions.length}`;
      const target = this.instance.exports[name];
      // Arguments that are not given are zero, but for an i64, which throws a TypeError.
      if (typeof target === "function") this.write(`${name} in the host: ${show(target())}`);
    } finally {
      this.#reentries--;
    }
  }

  call(name: string, values: readonly (number | bigint)[]): void {
    const target = this.#prepare(name);
    try {
      this.#returned(name, values, target(...values));
    } catch (error) {
      this.#threw(name, values, error);
    }
  }

  async callAsync(name: string, values: readonly (number | bigint)[], promising: Promising): Promise<void> {
    const target = promising(this.#prepare(name));
    try {
      this.#returned(name, values, await target(...values));
    } catch (error) {
      this.#threw(name, values, error);
    }
  }

  #returned(name: string, values: readonly (number | bigint)[], result: unknown): void {
    this.write(`${name}(${values.join()}): ${show(result)}`);
    this.#look?.(this.instance, "returned");
  }

  #threw(name: string, values: readonly (number | bigint)[], error: unknown): void {
    this.write(`${name}(${values.join()}) threw ${describe(error, this.instance)}`);
    this.#look?.(this.instance, "threw");
  }

  /** Gives the module all its steps again. */
  #prepare(name: string): ExportedFunction {
    const target = this.instance?.exports[name];
    const steps = this.instance?.exports["steps"];
    if (typeof target !== "function" || !(steps instanceof WebAssembly.Global)) throw new TypeError(`the module has no ${name}`);
    steps.value = stepsOfCall;
    return target;
  }

  /** What an instance that could not begin has changed is not looked at: a start section leaves none. */
  seen(): Run {
    const { instance } = this;
    const state = this.hasBegun ? (instance?.exports ?? {}) : {};
    const { memory } = state;
    return {
      events: this.events,
      memory: memory instanceof WebAssembly.Memory ? new Uint8Array(memory.buffer) : undefined,
      globals: Object.entries(state).flatMap(([name, value]) => showState(name, value)),
      isExhausted: this.events.some((event) => event.includes("call stack size")),
      instance,
    };
  }
}

function show(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(show).join()}]`;
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : `${value}`;
  if (typeof value === "bigint") return `${value}n`;
  return value === null ? "null" : typeof value;
}

function describe(error: unknown, instance: WebAssembly.Instance | undefined): string {
  if (error instanceof WebAssembly.Exception) return describeException(error, instance);
  return error instanceof Error ? `${error.name}: ${error.message.replace(/WebAssembly\.Instance\(\): /, "")}` : `${typeof error}`;
}

function describeException(error: WebAssembly.Exception, instance: WebAssembly.Instance | undefined): string {
  for (const [name, tag] of Object.entries(instance?.exports ?? {})) {
    if (!(tag instanceof WebAssembly.Tag) || !error.is(tag)) continue;
    const values: string[] = [];
    for (let index = 0; index < 2; index++) {
      try {
        values.push(show(error.getArg(tag, index)));
      } catch {
        break;
      }
    }
    return `${name}(${values.join()})`;
  }
  return "an exception of no known tag";
}

/** What an export is at the end. What the rewriter exports for itself is left out. */
function showState(name: string, value: unknown): string[] {
  if (name.startsWith("toolruntime:")) return [];
  if (value instanceof WebAssembly.Table) {
    const entries = Array.from({ length: Math.min(value.length, 100) }, (_, index) => (value.get(index) === null ? "-" : "x"));
    return [`${name}: ${value.length} ${entries.join("")}`];
  }
  if (!(value instanceof WebAssembly.Global)) return [];
  try {
    return [`${name}: ${show(value.value)}`];
  } catch {
    // A vector cannot be looked at from JavaScript.
    return [];
  }
}
