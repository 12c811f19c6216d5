import { realpathSync } from "node:fs";
import { dirname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import type { ChildCode } from "./spec.ts";

/** Finds what the child runs and has to read for that: the code of this package. It needs no other. */
export function findChildCode(entry: URL): ChildCode {
  const file = realpathSync(fileURLToPath(entry));
  // The sources or the built package: this folder is two below.
  const own = realpathSync(fileURLToPath(new URL("../../", import.meta.url)));
  const wanted = [own, join(dirname(own), "package.json"), file];
  const readable = wanted.filter((path, index) => !wanted.some((other, at) => at < index && isWithin(path, other)));
  return { program: process.execPath, entry: file, readable };
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}
