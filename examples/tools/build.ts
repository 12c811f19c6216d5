/**
 * Rebuilds the sample tools' modules: `npm run tools` for all, `npm run tools -- hash json-query` for some, `--check` to
 * compare with what is checked in and to write nothing.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildTool, isReproducible } from "./build/kinds.ts";
import { readLock, toolsFolder, writeLock, writeManifestDigest, type Lock } from "./build/lock.ts";
import { recipes, type Recipe } from "./build/recipes.ts";
import { sha256, sourceDigest } from "./build/sources.ts";
import { MissingToolchain } from "./build/toolchain.ts";

async function rebuild(name: string, recipe: Recipe, lock: Lock, isCheck: boolean): Promise<string> {
  const folder = join(toolsFolder, name);
  const sources = await sourceDigest(folder, recipe);
  const known = lock[name];
  const { wasm, toolchain } = await buildTool(name, folder, recipe);
  const digest = sha256(wasm);
  const size = `${Math.ceil(wasm.length / 1024)} KiB`;
  if (isCheck) {
    if (digest === known?.wasm) return `${size}, the same bytes`;
    if (!isReproducible(recipe)) return `${size}, builds (its bytes differ each time)`;
    throw new Error(
      `the module differs from the checked-in one; built by ${JSON.stringify(toolchain)}, before by ${JSON.stringify(known?.toolchain)}`,
    );
  }
  // A module that cannot be built twice alike would change in the repository with every run.
  if (!isReproducible(recipe) && known?.sources === sources) return `${size}, its sources are unchanged: left as it is`;
  await writeFile(join(folder, `${name}.wasm`), wasm);
  await writeManifestDigest(name, digest);
  lock[name] = { sources, wasm: digest, toolchain: { ...toolchain } };
  await writeLock(lock);
  return `${size}${known?.wasm === digest ? ", unchanged" : ""}`;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { check: { type: "boolean", default: false } } });
  const unknown = positionals.filter((name) => recipes[name] === undefined);
  if (unknown.length > 0) {
    console.error(`Cannot build ${unknown.join(", ")}: the tools are ${Object.keys(recipes).join(", ")}`);
    return 1;
  }
  const lock = await readLock();
  let failed = 0;
  for (const [name, recipe] of Object.entries(recipes)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    try {
      console.log(`${name}: ${await rebuild(name, recipe, lock, values.check)}`);
    } catch (error) {
      failed += 1;
      const why = error instanceof Error ? error.message : String(error);
      console.error(`${name}: ${error instanceof MissingToolchain ? `cannot be built, ${why}` : `failed: ${why}`}`);
    }
  }
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main();
