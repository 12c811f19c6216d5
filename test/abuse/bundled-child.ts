import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";

export interface BundledChild {
  readonly entry: URL;
  remove(): void;
}

/**
 * A program of processes for tools as one file. Of the sources each process would first strip the types of sixty files, which takes
 * five times as long as all the rest of its start.
 */
export async function bundleChild(program = new URL("../../src/wasm/process/child.ts", import.meta.url)): Promise<BundledChild> {
  const folder = mkdtempSync(join(tmpdir(), "toolruntime-child-"));
  // The processes may have users of their own.
  chmodSync(folder, 0o755);
  const outfile = join(folder, "child.mjs");
  await build({ entryPoints: [program.pathname], bundle: true, platform: "node", format: "esm", outfile, logLevel: "silent" });
  return { entry: pathToFileURL(outfile), remove: () => rmSync(folder, { recursive: true }) };
}
