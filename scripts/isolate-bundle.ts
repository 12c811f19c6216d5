// Bundles the engine that runs in isolates of its own, as a module that exports its text: every bundler takes that as it is.
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** The text of the bundle. */
export async function bundleIsolate(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("../src/wasm/loader/isolate.ts", import.meta.url))],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2024",
    platform: "neutral",
    mainFields: ["module", "main"],
    conditions: ["workerd", "worker", "browser", "import"],
    minify: true,
    logLevel: "warning",
  });
  return outputFiles[0]?.text ?? "";
}

/** Writes the module into a folder that has its declarations. */
export async function writeIsolateBundle(folder: URL): Promise<void> {
  writeFileSync(new URL("isolate-bundle.js", folder), `export const isolateBundle = ${JSON.stringify(await bundleIsolate())};\n`);
}

if (import.meta.main) await writeIsolateBundle(new URL("../src/wasm/loader/", import.meta.url));
