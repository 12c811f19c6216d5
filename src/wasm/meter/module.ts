import { BinaryError, layerOf, type Bounds } from "../binary.ts";
import type { FunctionType } from "../types.ts";
import { defaultBounds, type ModuleBounds } from "./bounds.ts";
import { Original } from "./original.ts";
import { Rewriting } from "./rewriting.ts";
import type { Import } from "./sections.ts";

export type { Import, ImportKind } from "./sections.ts";

export interface MeterOptions {
  /**
   * `"keep"`: as the module has it. `"import"`: the module's own memory becomes an import, so that the host chooses its
   * cap for each run and can use it again. A number: its maximum, in bytes, is written into the module. Default `"keep"`.
   */
  readonly memory?: "keep" | "import" | number;
  /** `"export"`: the start function does not run at instantiation, where nothing can suspend it. Default `"keep"`. */
  readonly start?: "keep" | "export";
  /** Whether the functions' names are kept, for debuggers and stack traces. All other custom sections are dropped. Default `"drop"`. */
  readonly names?: "keep" | "drop";
  /** Canonical NaNs, counted stack depth, no relaxed SIMD: the same results and fuel on every engine. Default `false`. */
  readonly deterministic?: boolean;
  /**
   * Whether the checkpoint may give 0, for the guest to call a second import, {@link waitName}. A function that may suspend
   * the guest does so at each call; so the checkpoint can be a plain one, and only this one is wrapped. Default `false`.
   */
  readonly wait?: boolean;
  /** What the guest has before its first checkpoint, in units. Default 0. */
  readonly initialFuel?: number;
  readonly bounds?: Partial<ModuleBounds>;
}

export interface MeteredModule {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** What the original imports. */
  readonly imports: readonly Import[];
  /** The functions that the original exports, by name. */
  readonly functions: ReadonlyMap<string, FunctionType>;
  /** Whether there is a {@link startName} to be called first. */
  readonly hasStart: boolean;
  /** The module's own memory, in pages; absent where it has none. */
  readonly memory?: Bounds;
}

/**
 * Rewrites a module so that it cannot run, or grow its tables, without end. What is charged where: docs/metering.md.
 *
 * The original is validated first: otherwise it could name, out of range, what is added to it here.
 *
 * @throws BinaryError for what is malformed or refused by policy, BoundError for what is over a bound; the message names it.
 */
export function meterModule(bytes: Uint8Array, options: MeterOptions = {}): MeteredModule {
  const own = ownBytes(bytes);
  if (layerOf(own) !== "module") throw new BinaryError("does not begin as a WebAssembly module");
  if (!WebAssembly.validate(own)) throw new BinaryError("is malformed, or uses what this engine does not know");
  const original = new Original(own, { ...defaultBounds, ...options.bounds });
  const rewritten = new Rewriting(original, options).rewrite();
  if (!WebAssembly.validate(rewritten)) throw new BinaryError("uses a part of the format that cannot be metered");
  const functions = original.exports
    .filter(({ kind }) => kind === 0)
    .map(({ name, index }) => [name, original.signatureOf(index).text] as const);
  return {
    bytes: rewritten,
    imports: original.imported.imports,
    functions: new Map(functions),
    hasStart: original.startIndex !== undefined && options.start === "export",
    ...(original.memory === undefined ? {} : { memory: original.memory }),
  };
}

/** The engine's APIs take no view on shared memory. */
function ownBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer ? new Uint8Array(buffer, bytes.byteOffset, bytes.byteLength) : Uint8Array.from(bytes);
}
