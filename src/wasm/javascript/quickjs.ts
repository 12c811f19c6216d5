import type { FunctionType } from "../types.ts";

/**
 * `@jitl/quickjs-wasmfile-release-sync` 0.32.0, `dist/emscripten-module.wasm`: QuickJS 2025 with the C interface of
 * quickjs-emscripten. The names of its imports and exports are those that emscripten's minifier gave; another build has others.
 */
export const quickJsDigest = "sha256:105c3bed22d457e43e3d1c3c1c6959fda62a8fe06f0fc8a985303c3a2be72232";

export const quickJsNamespace = "a";
export const quickJsMemory = "a";

/** What it imports: by what each is for, its name and type. */
export const quickJsImports = {
  assertFailed: ["b", "i32 i32 i32 i32 ->"],
  fdWrite: ["c", "i32 i32 i32 i32 -> i32"],
  fdClose: ["d", "i32 -> i32"],
  environ: ["e", "i32 i32 -> i32"],
  environSizes: ["f", "i32 i32 -> i32"],
  normalizeModule: ["g", "i32 i32 i32 i32 -> i32"],
  loadModule: ["h", "i32 i32 i32 -> i32"],
  shouldInterrupt: ["i", "i32 -> i32"],
  setTimer: ["j", "i32 f64 -> i32"],
  resizeHeap: ["k", "i32 -> i32"],
  clearKeepAlive: ["l", "->"],
  localTime: ["m", "i64 i32 ->"],
  setTimeZone: ["n", "i32 i32 i32 i32 ->"],
  fdSeek: ["o", "i32 i64 i32 i32 -> i32"],
  dateNow: ["p", "-> f64"],
  abort: ["q", "->"],
  exit: ["r", "i32 ->"],
  callFunction: ["s", "i32 i32 i32 i32 i32 -> i32"],
  freeHostRef: ["t", "i32 i32 ->"],
} as const satisfies Readonly<Record<string, readonly [name: string, type: FunctionType]>>;

/** What of it is called. Contexts, runtimes, values and texts are addresses in its memory. */
export const quickJsExports = {
  callConstructors: ["u", "->"],
  malloc: ["v", "i32 -> i32"],
  free: ["M", "i32 ->"],
  setMaxStackSize: ["D", "i32 i32 ->"],
  getUndefined: ["E", "-> i32"],
  getFalse: ["G", "-> i32"],
  getTrue: ["H", "-> i32"],
  newRuntime: ["K", "-> i32"],
  newContext: ["N", "i32 i32 -> i32"],
  freeCString: ["S", "i32 i32 ->"],
  getFloat64: ["Z", "i32 i32 -> f64"],
  newString: ["_", "i32 i32 -> i32"],
  getString: ["$", "i32 i32 -> i32"],
  isJobPending: ["fa", "i32 -> i32"],
  executePendingJob: ["ga", "i32 i32 i32 -> i32"],
  call: ["ma", "i32 i32 i32 i32 i32 -> i32"],
  resolveException: ["na", "i32 i32 -> i32"],
  evaluate: ["pa", "i32 i32 i32 i32 i32 i32 -> i32"],
  promiseState: ["wa", "i32 i32 -> i32"],
  promiseResult: ["xa", "i32 i32 -> i32"],
  newFunction: ["Da", "i32 i32 i32 i32 i32 -> i32"],
} as const satisfies Readonly<Record<string, readonly [name: string, type: FunctionType]>>;

export type QuickJsImport = keyof typeof quickJsImports;
export type QuickJsExport = keyof typeof quickJsExports;

/** Between its data and its heap lies the stack, which grows downwards from the heap. */
export const quickJsStackAt = 90_208;
export const quickJsHeapAt = 5_333_088;

/** What a run begins with, in pages: its data, a stack of 5 MiB, and what a context and a small snippet take. */
export const quickJsMinPages = 96;
/** What the module was built for; a memory that can grow further is refused by the engine. */
export const quickJsMaxPages = 32_768;
