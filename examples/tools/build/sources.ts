import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { join, posix } from "node:path";
import { flags, type Recipe } from "./recipes.ts";

export function sha256(bytes: Uint8Array | string): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** The files of a recipe, as paths relative to the tool's folder, sorted by code unit. */
export async function sourceFiles(folder: string, sources: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const source of sources) {
    if ((await stat(join(folder, source))).isFile()) {
      files.push(source);
      continue;
    }
    for (const entry of await readdir(join(folder, source), { withFileTypes: true, recursive: true })) {
      if (!entry.isFile()) continue;
      const inner = join(entry.parentPath, entry.name).slice(join(folder, source).length + 1);
      files.push(posix.join(source, ...inner.split(/[\\/]/)));
    }
  }
  return files.toSorted((a, b) => (a < b ? -1 : 1));
}

/** Over the flags, the recipe and each source's path, length and bytes. */
export async function sourceDigest(folder: string, recipe: Recipe): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify([flags[recipe.kind], recipe]));
  for (const file of await sourceFiles(folder, recipe.sources)) {
    const bytes = await readFile(join(folder, file));
    hash.update(`\n${file}\n${bytes.length}\n`).update(bytes);
  }
  return `sha256:${hash.digest("hex")}`;
}
