import { existsSync, realpathSync } from "node:fs";
import { dirname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import type { ChildCode } from "./spec.ts";

/** Every folder of packages from which code in a folder may be loaded. */
function packageFolders(from: string): string[] {
  const found: string[] = [];
  for (let folder = from; ; folder = dirname(folder)) {
    const packages = join(folder, "node_modules");
    // Where that is a link, both names are asked for.
    if (existsSync(packages)) found.push(packages, realpathSync(packages));
    if (folder === dirname(folder)) return found;
  }
}

/**
 * Finds what the child runs and has to read for that: the code of this package, the packages beside it and the module that
 * gives the transpiler.
 */
export function findChildCode(entry: URL, components: string | undefined): ChildCode {
  const file = realpathSync(fileURLToPath(entry));
  // The sources or the built package: this folder is two below.
  const own = realpathSync(fileURLToPath(new URL("../../", import.meta.url)));
  const root = dirname(own);
  const more = components?.startsWith("file:") === true ? [dirname(realpathSync(fileURLToPath(components)))] : [];
  const wanted = [own, join(root, "package.json"), ...packageFolders(root), file, ...more];
  const readable = wanted.filter((path, index) => !wanted.some((other, at) => at < index && isWithin(path, other)));
  return { program: process.execPath, entry: file, readable };
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}
