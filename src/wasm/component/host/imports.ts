import { IoError, InputStream, OutputStream, Pollable } from "./io.ts";
import { makeFileSystem } from "./file-system.ts";
import { makeCli, makeClocks, makeRandom, type CliOptions } from "./process.ts";
import type { RunState } from "./run-state.ts";

/**
 * The interfaces of WASI 0.2 that a component may import. `wasi:sockets` and `wasi:http` are not among them: nothing grants
 * a network, and a component that asks for one is refused before it runs.
 */
export const grantedInterfaces: ReadonlySet<string> = new Set([
  "wasi:cli/environment",
  "wasi:cli/exit",
  "wasi:cli/stdin",
  "wasi:cli/stdout",
  "wasi:cli/stderr",
  "wasi:cli/terminal-input",
  "wasi:cli/terminal-output",
  "wasi:cli/terminal-stdin",
  "wasi:cli/terminal-stdout",
  "wasi:cli/terminal-stderr",
  "wasi:clocks/monotonic-clock",
  "wasi:clocks/wall-clock",
  "wasi:filesystem/preopens",
  "wasi:filesystem/types",
  "wasi:io/error",
  "wasi:io/poll",
  "wasi:io/streams",
  "wasi:random/insecure",
  "wasi:random/insecure-seed",
  "wasi:random/random",
]);

/** Functions in which the guest may wait, as jco names them. */
export const waitingImports: readonly string[] = [
  "wasi:io/poll#poll",
  "wasi:io/poll#[method]pollable.block",
  "wasi:io/streams#[method]output-stream.blocking-flush",
  "wasi:io/streams#[method]output-stream.blocking-write-and-flush",
  "wasi:io/streams#[method]output-stream.blocking-write-zeroes-and-flush",
];

const ioInterfaces: Record<string, object> = {
  "wasi:io/error": Object.freeze({ Error: IoError }),
  "wasi:io/poll": Object.freeze({ Pollable, poll: Pollable.poll }),
  "wasi:io/streams": Object.freeze({ InputStream, OutputStream }),
};

/** One run's interfaces, by name, on records without prototype; the functions of an interface have their names of jco's. */
export function makeImports(state: RunState, options: CliOptions): Record<string, object> {
  const imports: Record<string, object> = Object.create(null);
  const all = { ...ioInterfaces, ...makeCli(state, options), ...makeClocks(state), ...makeRandom(state), ...makeFileSystem(state) };
  for (const [name, functions] of Object.entries(all)) imports[name] = charged(functions, state);
  return imports;
}

/** The interface with each call of its functions charged; methods of its classes charge where they look whether the run goes on. */
function charged(functions: object, { slices }: RunState): object {
  const interfaceOf: Record<string, unknown> = Object.create(null);
  for (const [name, value] of Object.entries(functions)) {
    const isFunction = typeof value === "function" && !isClass(name);
    interfaceOf[name] = isFunction ? chargedCall(value as AnyFunction, slices) : value;
  }
  return interfaceOf;
}

type AnyFunction = (...parameters: never[]) => unknown;

/** jco's names for resources begin with a capital, those of functions do not. */
function isClass(name: string): boolean {
  return /^[A-Z]/.test(name);
}

function chargedCall(call: AnyFunction, slices: RunState["slices"]): AnyFunction {
  return (...parameters) => {
    slices.called();
    return call(...parameters);
  };
}
