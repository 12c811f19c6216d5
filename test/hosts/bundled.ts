import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(import.meta.url);
const esbuild = join(dirname(require.resolve("esbuild/package.json")), "bin", "esbuild");

/** Builds an example by the command that its own package.json says. */
export function buildExample(folder: string): void {
  const { scripts }: { readonly scripts: { readonly build: string } } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const [program, ...args] = scripts.build.split(" ");
  if (program !== "esbuild") throw new Error(`the example is not built by esbuild: ${scripts.build}`);
  runEsbuild(folder, args);
}

/** As a platform does that compiles TypeScript, and takes packages along as they are. */
export function compileFile(folder: string, file: string): void {
  runEsbuild(folder, [
    file,
    "--bundle",
    "--packages=external",
    "--platform=node",
    "--format=esm",
    "--outdir=dist",
    "--out-extension:.js=.mjs",
  ]);
}

function runEsbuild(folder: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(esbuild, [...args, "--log-level=error"], { cwd: folder, encoding: "utf8" });
  if (status !== 0) throw new Error(`the example was not built: ${stderr}`);
}

export async function importBuilt<T>(folder: string, file: string): Promise<T> {
  const url = pathToFileURL(join(folder, "dist", file)).href;
  return (await import(/* @vite-ignore */ url)) as T;
}
