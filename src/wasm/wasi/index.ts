import { functions } from "./functions.ts";
import { WasiState, type WasiOptions } from "./state.ts";

export { Right } from "./abi.ts";
export { FileSystem } from "./file-system.ts";
export { AbiTrap, ProcExit } from "./signals.ts";
export type { WasiOptions } from "./state.ts";

type Binders = Omit<typeof functions, "__proto__">;

/** The name of a function of `wasi_snapshot_preview1`. */
export type WasiFunctionName = keyof Binders;

/** All functions of `wasi_snapshot_preview1`, with WebAssembly's `i32` as number and `i64` as bigint. */
export type WasiFunctions = { readonly [Name in WasiFunctionName]: ReturnType<Binders[Name]> };

/** The names of all functions of `wasi_snapshot_preview1`. */
export const wasiFunctionNames: readonly string[] = Object.freeze(Object.keys(functions));

/**
 * The functions that may return a promise. They do so only where a callback of {@link WasiOptions} does:
 * `fd_write` where `stdout` or `stderr` returns one, `poll_oneoff` where `sleep` is given and must wait,
 * `random_get` of more than 64 KiB where `pause` is given.
 */
export const suspendingFunctionNames: readonly WasiFunctionName[] = Object.freeze(["fd_write", "poll_oneoff", "random_get"] as const);

/** One run's WASI. Not to be used for a second run. */
export interface Wasi {
  /** All functions, bound to this run, on a record without prototype. Made on first use; see `link`. */
  readonly imports: WasiFunctions;
  /**
   * Only the functions named, on a record without prototype: what a module imports, and much cheaper than
   * `imports`. Names that WASI does not have are left out.
   */
  link(names: Iterable<string>): Record<string, WasiFunctions[WasiFunctionName]>;
  /** Gives the guest's memory. Called after instantiation, before the guest's first call. */
  bind(memory: WebAssembly.Memory): void;
  /**
   * What the guest was ended with, if it was: a {@link ProcExit}, an {@link AbiTrap}, or what a callback
   * threw. Also where the guest caught the throw and went on, so to be looked at after every run. Every
   * later call throws the same once more.
   */
  readonly ended: unknown;
}

/**
 * Makes one run's WASI preview 1 over an in-memory file system. The guest gets the arguments, variables,
 * files and streams of the options, clocks and random bytes, and nothing else: no host file, no socket.
 *
 * A pointer outside the guest's memory throws {@link AbiTrap}, `proc_exit` throws {@link ProcExit}; what a
 * callback throws goes through. Each of them ends the guest for good. All else is an errno.
 */
export function createWasi(options: WasiOptions): Wasi {
  return new WasiRun(options);
}

class WasiRun implements Wasi {
  readonly #state: WasiState;
  #imports: WasiFunctions | undefined;

  constructor(options: WasiOptions) {
    this.#state = new WasiState(options);
  }

  get imports(): WasiFunctions {
    if (this.#imports === undefined) {
      const linked = this.link(wasiFunctionNames);
      if (!isComplete(linked)) throw new TypeError("Cannot bind WASI: a function is missing");
      this.#imports = linked;
    }
    return this.#imports;
  }

  get ended(): unknown {
    return this.#state.memory.ended;
  }

  link(names: Iterable<string>): Record<string, WasiFunctions[WasiFunctionName]> {
    const linked: Record<string, WasiFunctions[WasiFunctionName]> = Object.create(null);
    for (const name of names) {
      if (isFunctionName(name)) linked[name] = functions[name](this.#state);
    }
    return linked;
  }

  bind(memory: WebAssembly.Memory): void {
    this.#state.memory.bind(memory);
  }
}

function isFunctionName(name: string): name is WasiFunctionName {
  // The table has no prototype, so nothing but its functions is found in it.
  return name in functions;
}

function isComplete(linked: Record<string, WasiFunctions[WasiFunctionName]>): linked is WasiFunctions {
  return wasiFunctionNames.every((name) => name in linked);
}
