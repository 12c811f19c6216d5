import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { buildTool, isReproducible } from "../../examples/tools/build/kinds.ts";
import { readLock, toolsFolder } from "../../examples/tools/build/lock.ts";
import { recipes } from "../../examples/tools/build/recipes.ts";
import { sha256, sourceDigest } from "../../examples/tools/build/sources.ts";
import { parseManifest } from "../../src/tool.ts";
import { toolNames } from "./support.ts";

const lock = await readLock();
const rebuilds = process.env["TOOLRUNTIME_REBUILD"] === "1";
if (!rebuilds) console.info("The modules of examples/tools are not rebuilt: set TOOLRUNTIME_REBUILD=1 where the compilers are");

test("each module that a manifest names has a recipe and a lock entry, and no others are there", async () => {
  const withModule: string[] = [];
  for (const name of toolNames) {
    const manifest = parseManifest(JSON.parse(await readFile(join(toolsFolder, name, "tool.json"), "utf8")));
    expect(manifest.name).toBe(name);
    if (manifest.artifacts.wasm !== undefined) withModule.push(name);
  }
  expect(Object.keys(recipes).toSorted()).toEqual(withModule.toSorted());
  expect(Object.keys(lock).toSorted()).toEqual(withModule.toSorted());
});

describe.each(Object.entries(recipes))("%s", (name, recipe) => {
  const folder = join(toolsFolder, name);

  test("was built from the sources that are here; else run: npm run tools", async () => {
    expect(lock[name]?.sources).toBe(await sourceDigest(folder, recipe));
  });

  test("its module is the one that lock and manifest name", async () => {
    const manifest = parseManifest(JSON.parse(await readFile(join(folder, "tool.json"), "utf8")));
    const digest = sha256(await readFile(join(folder, `${name}.wasm`)));
    expect(manifest.artifacts.wasm?.file).toBe(`${name}.wasm`);
    expect(manifest.artifacts.wasm?.digest).toBe(digest);
    expect(lock[name]?.wasm).toBe(digest);
  });

  test("names no folder of the machine that built it", async () => {
    const bytes = await readFile(join(folder, `${name}.wasm`));
    expect(["toolruntime-tools", "examples/tools"].filter((path) => bytes.includes(path))).toEqual([]);
  });

  test.runIf(rebuilds && isReproducible(recipe))("builds again to the same bytes", { timeout: 900_000 }, async () => {
    const { wasm } = await buildTool(name, folder, recipe);
    expect(sha256(wasm)).toBe(lock[name]?.wasm);
  });

  test.runIf(rebuilds && !isReproducible(recipe))("builds again", { timeout: 900_000 }, async () => {
    const { wasm } = await buildTool(name, folder, recipe);
    expect(WebAssembly.validate(Buffer.from(wasm))).toBe(false); // a component is no core module
    expect(Buffer.from(wasm).subarray(0, 8).toString("hex")).toBe("0061736d0d000100");
  });
});
