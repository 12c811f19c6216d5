import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { meterModule } from "../src/wasm/meter/index.ts";
import { median } from "./measure.ts";

export interface RewriteFigures {
  readonly module: string;
  readonly bytes: number;
  /** `new WebAssembly.Module` of the same bytes. */
  readonly compileMs: number;
  /** `meterModule` in a process that has rewritten nothing before, and once its own code is optimised. */
  readonly firstMs: number;
  readonly meterMs: number;
  /** Of `meterMs` to `compileMs`, pair by pair. */
  readonly ratio: number;
  /** Of the whole metered module to the original. */
  readonly sizeRatio: number;
}

const require = createRequire(import.meta.url);

function example(name: string): string {
  return fileURLToPath(new URL(`../examples/tools/${name}/${name}.wasm`, import.meta.url));
}

/** SpiderMonkey as a module, which the development dependencies bring: of the size of what the largest tools are. */
function findLargeModule(): string {
  const path = "@bytecodealliance/componentize-js/lib/starlingmonkey_embedding.wasm";
  const folders = createRequire(require.resolve("@bytecodealliance/jco")).resolve.paths(path) ?? [];
  const file = folders.map((folder) => join(folder, path)).find((candidate) => existsSync(candidate));
  if (file === undefined) throw new Error(`Cannot measure rewriting: "${path}" is not installed; npm install brings it`);
  return file;
}

/** The module with a custom section whose content is `mark`: V8 keeps the code of bytes that it compiled before. */
function marked(bytes: Uint8Array, mark: number): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes.length + 6);
  copy.set(bytes);
  copy.set([0, 4, 1, 0x6d, mark & 0xff, mark >> 8], bytes.length);
  return copy;
}

function time(action: () => unknown): number {
  const start = performance.now();
  action();
  return performance.now() - start;
}

async function measureHere(file: string, rounds: number): Promise<RewriteFigures> {
  const bytes = new Uint8Array(await readFile(file));
  const firstMs = time(() => meterModule(marked(bytes, 0)));
  const pairs = Array.from({ length: 2 * rounds }, (_, round) => {
    const fresh = marked(bytes, round + 1);
    return { compileMs: time(() => new WebAssembly.Module(fresh)), meterMs: time(() => meterModule(fresh)) };
  }).slice(rounds);
  return {
    module: file.slice(file.lastIndexOf("/") + 1),
    bytes: bytes.length,
    compileMs: median(pairs.map(({ compileMs }) => compileMs)),
    firstMs,
    meterMs: median(pairs.map(({ meterMs }) => meterMs)),
    ratio: median(pairs.map(({ compileMs, meterMs }) => meterMs / compileMs)),
    sizeRatio: meterModule(bytes).bytes.length / bytes.length,
  };
}

/** What rewriting costs against compiling, each module in a process of its own. */
export async function measureRewriting(rounds: number): Promise<RewriteFigures[]> {
  const figures: RewriteFigures[] = [];
  for (const file of [example("text-diff"), example("sqlite-query"), findLargeModule()]) {
    const { stdout } = await promisify(execFile)(process.execPath, [fileURLToPath(import.meta.url), file, String(rounds)]);
    figures.push(JSON.parse(stdout));
  }
  return figures;
}

if (import.meta.main) {
  const [, , file = "", rounds = ""] = process.argv;
  console.log(JSON.stringify(await measureHere(file, Number(rounds))));
}
