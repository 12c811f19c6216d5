import { ToolRuntimeError } from "../../errors.ts";

/** A function that the SDK links; the SDK binds its own call context as the first argument. */
export type SdkFunction = (context: unknown, ...parameters: never[]) => unknown;

/** A plug-in as the SDK makes it: as much of it as is used here. */
export interface SdkPlugin {
  getInstance(): Promise<WebAssembly.Instance>;
  close(): Promise<void>;
}

/** The shape of `@extism/extism` that is used here. */
export interface ExtismSdk {
  createPlugin(
    manifest: { readonly wasm: { readonly module: WebAssembly.Module; readonly name: string }[] },
    options: { readonly functions: Record<string, Record<string, SdkFunction>>; readonly useWasi: boolean },
  ): Promise<SdkPlugin>;
}

function isSdk(module: object): module is ExtismSdk {
  return "createPlugin" in module && typeof module.createPlugin === "function";
}

/**
 * Loads the SDK on first use.
 *
 * On Node the package's main build imports `node:wasi` (an ExperimentalWarning at import; crashes under load, see
 * https://github.com/nodejs/node/issues/52402) and `node:fs`. Its portable build has neither, and a bundler for workerd
 * takes that one by itself, so on every platform the plug-in meets the same code.
 *
 * @throws `ERR_BACKEND_UNAVAILABLE`.
 */
export async function loadExtism(load: () => Promise<object> = loadPackage): Promise<ExtismSdk> {
  try {
    const module = await load();
    if (isSdk(module)) return module;
    throw new TypeError("it exports no createPlugin");
  } catch (error) {
    throw new ToolRuntimeError(
      "ERR_BACKEND_UNAVAILABLE",
      'Cannot run Extism plug-ins on backend "wasm": the package @extism/extism did not load; run npm install @extism/extism',
      { cause: error },
    );
  }
}

function loadPackage(): Promise<object> {
  const portable = portableBuild();
  return portable === undefined ? import("@extism/extism") : import(portable);
}

/** Where the portable build is on disk; nothing where a bundler has put the package in its place. */
function portableBuild(): string | undefined {
  try {
    const main = import.meta.resolve("@extism/extism");
    return main.startsWith("file:") ? new URL("../browser/mod.js", main).href : undefined;
  } catch {
    return undefined;
  }
}
