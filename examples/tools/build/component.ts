import { cp, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { z } from "zod";
import { npmVersions } from "./assemblyscript.ts";
import type { Build } from "./kinds.ts";
import { flags, type ComponentRecipe } from "./recipes.ts";
import { sourceDigest, sourceFiles } from "./sources.ts";
import { run, scratch, withBin } from "./toolchain.ts";

/** Bundles JavaScript with its locked packages and puts it into a WASI 0.2 component with the QuickJS engine. */
export async function buildComponent(name: string, folder: string, recipe: ComponentRecipe): Promise<Build> {
  const repository = resolve(folder, "..", "..", "..");
  const digest = await sourceDigest(folder, recipe);
  const work = await scratch(name, digest.slice(7, 23));
  for (const file of await sourceFiles(folder, recipe.sources)) await cp(join(folder, file), join(work, file));
  const options = { cwd: work, env: withBin(repository) };
  await run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], options);
  const bundle = "bundle.js";
  await run("esbuild", [recipe.entry, ...flags.component.bundle, `--outfile=${bundle}`], options);
  const jsSource = await readFile(join(work, bundle), "utf8");
  const componentize = await loadComponentizer(repository);
  const { component } = await componentize({ ...flags.component.engine, witPath: join(work, "wit"), world: recipe.world, jsSource });
  const packages = ["@bytecodealliance/jco", "componentize-qjs", "esbuild"];
  return { wasm: component, toolchain: await npmVersions(join(repository, "node_modules"), packages) };
}

type Componentize = (options: Readonly<Record<string, unknown>>) => Promise<{ component: Uint8Array }>;

const moduleSchema = z.object({
  componentize: z.custom<Componentize>((value) => typeof value === "function", "must be a function"),
});

/** The componentizer that jco brings. jco's own command has no switch for the smaller engine. */
async function loadComponentizer(repository: string): Promise<Componentize> {
  const jco = createRequire(join(repository, "node_modules", "@bytecodealliance", "jco", "package.json"));
  const module: unknown = await import(pathToFileURL(jco.resolve("componentize-qjs")).href);
  return moduleSchema.parse(module).componentize;
}
