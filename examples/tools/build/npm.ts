import { createHash } from "node:crypto";
import { copyFile, mkdir, readFile, readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import type { CRecipe } from "./recipes.ts";
import { run, scratch } from "./toolchain.ts";

/** Fetches a package by npm, checks it against its digest, and gives a folder with the wanted files; runs nothing of it. */
export async function fetchNpmFiles(source: NonNullable<CRecipe["npm"]>): Promise<string> {
  const work = await scratch("npm", createHash("sha256").update(JSON.stringify(source)).digest("hex").slice(0, 16));
  const files = join(work, "files");
  await mkdir(files, { recursive: true });
  const tarball = await packed(work, source.package);
  const digest = createHash("sha512")
    .update(await readFile(tarball))
    .digest("base64");
  if (source.integrity !== `sha512-${digest}`) throw new Error(`Cannot use the package "${source.package}": its digest is another`);
  await run("tar", ["-xzf", tarball, ...source.files.map((file) => `package/${file}`)], { cwd: work });
  for (const file of source.files) await copyFile(join(work, "package", file), join(files, basename(file)));
  return files;
}

async function packed(work: string, name: string): Promise<string> {
  const find = async (): Promise<string | undefined> => (await readdir(work)).find((file) => file.endsWith(".tgz"));
  if ((await find()) === undefined) await run("npm", ["pack", "--ignore-scripts", name], { cwd: work });
  const tarball = await find();
  if (tarball === undefined) throw new Error(`Cannot fetch the package "${name}": npm pack wrote nothing`);
  return join(work, tarball);
}
