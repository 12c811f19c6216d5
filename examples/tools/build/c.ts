import { copyFile, mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fetchNpmFiles } from "./npm.ts";
import { flags, type CRecipe } from "./recipes.ts";
import { debianVersions, require, run, scratch } from "./toolchain.ts";
import type { Build } from "./kinds.ts";

const clang = "/usr/bin/clang-19";
const packages = ["clang-19", "lld-19", "wasi-libc", "libclang-rt-19-dev-wasm32"];

/** Compiles for WASI preview 1 by Debian's clang and wasi-libc. */
export async function buildC(name: string, folder: string, recipe: CRecipe): Promise<Build> {
  await require([
    { path: "/usr/bin/wasm-ld-19", package: "lld-19" },
    { path: "/usr/lib/wasm32-wasi/libc.a", package: "wasi-libc" },
    { path: "/usr/lib/llvm-19/lib/clang/19/lib/wasi/libclang_rt.builtins-wasm32.a", package: "libclang-rt-19-dev-wasm32" },
  ]);
  const link = [...flags.c.link, `-Wl,-z,stack-size=${recipe.stackBytes}`];
  const output = await compile(`${name}.wasm`, { folder, recipe, work: await scratch(name), target: flags.c.compile, link });
  const used = [...new Set([...packages, ...(recipe.headers ?? []).map((header) => header.package)])];
  return { wasm: await readFile(output), toolchain: await debianVersions(used) };
}

/** Compiles the same units for this machine, as one file that needs no library. Gives its path. */
export async function buildNativeC(name: string, folder: string, recipe: CRecipe): Promise<string> {
  await require([{ path: "/usr/include/stdio.h", package: "libc6-dev" }]);
  return compile(name, { folder, recipe, work: await scratch(name, "native"), target: [], link: ["-static", "-Wl,--strip-all", "-lm"] });
}

interface Target {
  readonly folder: string;
  readonly recipe: CRecipe;
  readonly work: string;
  readonly target: readonly string[];
  readonly link: readonly string[];
}

async function compile(output: string, { folder, recipe, work, target, link }: Target): Promise<string> {
  const headers = recipe.headers ?? [];
  await require([{ path: clang, package: "clang-19" }, ...headers.map((header) => ({ path: header.from, package: header.package }))]);
  const include = join(work, "include");
  for (const { from, to } of headers) {
    await mkdir(dirname(join(include, to)), { recursive: true });
    await copyFile(from, join(include, to));
  }
  const npm = recipe.npm === undefined ? undefined : await fetchNpmFiles(recipe.npm);

  const objects: string[] = [];
  for (const [index, unit] of recipe.units.entries()) {
    const source = join(unit.from === "npm" ? (npm ?? "") : folder, unit.file);
    const object = join(work, `${index}.o`);
    // The system's headers and the package's, whose warnings are not ours.
    const search = [include, ...(npm === undefined ? [] : [npm])].flatMap((path) => ["-isystem", path]);
    // Assertions name their file: no path of this machine may get into the module.
    const prefixes = [dirname(source), include].map((path) => `-ffile-prefix-map=${path}=.`);
    await run(clang, [...target, ...unit.flags, ...prefixes, ...search, "-c", source, "-o", object], { cwd: work });
    objects.push(object);
  }
  const path = join(work, output);
  // Libraries come after what needs them.
  await run(clang, [...objects, ...link, "-o", path], { cwd: work });
  return path;
}
