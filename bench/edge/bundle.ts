import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { buildTool } from "../../src/cli/build/build-tool.ts";
import { indexFiles } from "../../src/cli/build/index-files.ts";
import type { Tool } from "../../src/index.ts";
import { jcoTranspiler } from "../../src/wasm/component/jco/index.ts";
import { quickJs } from "../../src/wasm/javascript/node.ts";

const abis = fileURLToPath(new URL("../../src/wasm/abi/index.ts", import.meta.url));

export const noDynamic: string = fileURLToPath(new URL("../../src/edge/cloudflare/no-dynamic.ts", import.meta.url));

/** Writes what `toolruntime build` writes, and gives the path of its index. */
export async function writeTools(tools: readonly Tool[], folder: string): Promise<string> {
  const options = { components: jcoTranspiler(), javascript: quickJs(), variants: ["plain", "deterministic"] } as const;
  const builds = await Promise.all(tools.map((tool) => buildTool(tool, options)));
  for (const { path, content } of [...builds.flatMap(({ files }) => files), ...indexFiles(builds)]) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return join(folder, "index.js");
}

/** By which names a worker imports what `writeTools` wrote, and its engine what that is made of. */
export function builtAliases(index: string): Record<string, string> {
  return { "toolruntime:tools": index, "toolruntime:engine": join(dirname(index), "engine.js"), "toolruntime/wasm/abi": abis };
}

export interface BundleOptions {
  /** A program whose default export is a worker. */
  readonly main: string;
  /** Where its imports are resolved from. */
  readonly folder: string;
  /** Built, and compiled while the worker starts. */
  readonly tools?: readonly Tool[];
  /** Further modules, as text, by the names that they are imported by. */
  readonly virtual?: Readonly<Record<string, string>>;
  readonly minify?: boolean;
}

/** Makes a worker one file of JavaScript, for a workerd that runs alone. */
export async function bundleWorker({ main, folder, tools = [], virtual = {}, minify = false }: BundleOptions): Promise<string> {
  const out = await mkdtemp(join(tmpdir(), "toolruntime-bundle-"));
  try {
    const index = await writeTools(tools, out);
    await writeFile(index, await compileInside(index));
    const alias: Record<string, string> = { ...builtAliases(index), "toolruntime:dynamic": noDynamic };
    for (const [number, [name, text]] of Object.entries(virtual).entries()) {
      alias[name] = join(out, `virtual${number}.js`);
      await writeFile(join(out, `virtual${number}.js`), text);
    }
    const { outputFiles } = await build({
      stdin: { contents: main, resolveDir: folder, loader: "ts" },
      bundle: true,
      format: "esm",
      target: "es2024",
      platform: "neutral",
      mainFields: ["module", "main"],
      conditions: ["workerd", "worker", "browser", "import"],
      external: ["node:*", "cloudflare:*"],
      alias,
      minify,
      logLevel: "error",
      write: false,
    });
    return outputFiles[0]?.text ?? "";
  } finally {
    await rm(out, { recursive: true });
  }
}

/** An expression for a module that is compiled while the worker starts. */
export function compiledText(bytes: Uint8Array): string {
  const base64 = Buffer.from(bytes).toString("base64");
  return `new WebAssembly.Module(Uint8Array.from(atob("${base64}"), (char) => char.charCodeAt(0)))`;
}

/** The index of a build with its modules inside: workerd takes only what its configuration names. */
async function compileInside(index: string): Promise<string> {
  let text = await readFile(index, "utf8");
  for (const [line, name, path] of text.matchAll(/^import (\w+) from "(.+\.wasm)";$/gm)) {
    text = text.replace(line, `const ${name} = ${compiledText(await readFile(join(dirname(index), path ?? "")))};`);
  }
  return text;
}
