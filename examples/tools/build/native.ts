import { join } from "node:path";
import { buildNativeC } from "./c.ts";
import { toolsFolder } from "./lock.ts";
import { recipes } from "./recipes.ts";
import { buildNativeRust } from "./rust.ts";

/** The tools that can be programs of this machine too: those whose module comes of C or Rust. */
export const nativeTools: readonly string[] = Object.entries(recipes).flatMap(([name, { kind }]) =>
  kind === "c" || kind === "rust" ? [name] : [],
);

/** Builds a tool's program for this machine from the sources of its module: static, so that an image needs nothing else. Gives its path. */
export async function buildNative(name: string): Promise<string> {
  const recipe = recipes[name];
  const folder = join(toolsFolder, name);
  if (recipe?.kind === "c") return buildNativeC(name, folder, recipe);
  if (recipe?.kind === "rust") return buildNativeRust(name, folder, recipe);
  throw new Error(`Cannot build "${name}" for this machine: the tools that can be are ${nativeTools.join(", ")}`);
}
