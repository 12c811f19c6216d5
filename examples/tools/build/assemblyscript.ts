import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { AssemblyScriptRecipe } from "./recipes.ts";
import { run, scratch, withBin } from "./toolchain.ts";
import type { Build } from "./kinds.ts";

/** Compiles by asc of the repository's own dependencies. */
export async function buildAssemblyScript(name: string, folder: string, recipe: AssemblyScriptRecipe): Promise<Build> {
  const tools = resolve(folder, "..");
  const repository = resolve(tools, "..", "..");
  const output = join(await scratch(name), `${name}.wasm`);
  const packages = join(repository, "node_modules");
  // The folder of all tools is asc's base, so that no path of this machine gets into the module.
  await run("asc", [recipe.entry, ...recipe.flags, "--path", packages, "--outFile", output], { cwd: tools, env: withBin(repository) });
  return { wasm: await readFile(output), toolchain: await npmVersions(packages, ["assemblyscript", "@extism/as-pdk"]) };
}

/** Of the packages as they are installed. */
export async function npmVersions(folder: string, names: readonly string[]): Promise<Record<string, string>> {
  const versions: Record<string, string> = {};
  for (const name of names) {
    const manifest: unknown = JSON.parse(await readFile(join(folder, name, "package.json"), "utf8"));
    const isNamed = typeof manifest === "object" && manifest !== null && "version" in manifest;
    versions[name] = isNamed ? String(manifest.version) : "unknown";
  }
  return versions;
}
