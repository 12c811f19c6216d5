import { buildAssemblyScript } from "./assemblyscript.ts";
import { buildC } from "./c.ts";
import { buildComponent } from "./component.ts";
import type { Recipe } from "./recipes.ts";
import { buildRust } from "./rust.ts";

export interface Build {
  readonly wasm: Uint8Array;
  /** The versions of what built it. */
  readonly toolchain: Readonly<Record<string, string>>;
}

export function buildTool(name: string, folder: string, recipe: Recipe): Promise<Build> {
  switch (recipe.kind) {
    case "c":
      return buildC(name, folder, recipe);
    case "rust":
      return buildRust(name, folder, recipe);
    case "assemblyscript":
      return buildAssemblyScript(name, folder, recipe);
    case "component":
      return buildComponent(name, folder, recipe);
  }
}

/** Whether the same sources give the same bytes. The JavaScript engine's snapshot in a component holds random hash seeds. */
export function isReproducible(recipe: Recipe): boolean {
  return recipe.kind !== "component";
}
