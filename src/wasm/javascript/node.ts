import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { javaScriptEngine, type JavaScriptEngine } from "./engine.ts";

/** QuickJS of the package `@jitl/quickjs-wasmfile-release-sync`, for Node: read when the first snippet needs it. */
export function quickJs(): JavaScriptEngine {
  return javaScriptEngine(() => readFile(fileURLToPath(import.meta.resolve("@jitl/quickjs-wasmfile-release-sync/wasm"))));
}
