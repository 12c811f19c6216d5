import { lstat, mkdir, readFile, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ToolRuntimeError } from "../../errors.ts";
import { readBounded, stateOf } from "../../internal/node/bounded-file.ts";
import type { OutFile } from "./build-tool.ts";

/** Lists what the last build wrote, so that the next one knows what is its own. */
const recordName = ".toolruntime-build.json";
const maxRecordBytes = 2 ** 20;
/** What a build writes: a file of its own, or one in the folder of a tool or of QuickJS. */
const ownPath = /^(?:(?:quickjs|[a-z][a-z0-9-]*-[0-9][0-9A-Za-z.+-]*)\/)?[A-Za-z0-9][A-Za-z0-9._-]*$/;

/**
 * Writes a build's files, each whole or not at all and only where its content changes, and removes those of an earlier build that
 * are no part of this one. A file that no build wrote is never touched.
 *
 * @throws `ERR_CONFIG_INVALID` where the folder cannot be written, or holds another file in a place that is needed.
 * @returns the paths of what was removed.
 */
export async function writeBuild(folder: string, files: readonly OutFile[]): Promise<string[]> {
  try {
    await mkdir(folder, { recursive: true });
    const before = await readRecord(folder);
    const now = files.map(({ path }) => path).toSorted();
    for (const path of now) await assertOwn(folder, path, before);
    const stale = before.filter((path) => !now.includes(path));
    // Until the build is whole, the record names all that may be there.
    await writeRecord(folder, [...new Set([...before, ...now])].toSorted());
    for (const file of files) await writeChanged(folder, file);
    for (const path of stale) await remove(folder, path);
    await writeRecord(folder, now);
    return stale;
  } catch (error) {
    if (error instanceof ToolRuntimeError) throw error;
    throw new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot write the build to the folder "${folder}": ${stateOf(error)}`, {
      cause: error,
    });
  }
}

async function readRecord(folder: string): Promise<string[]> {
  let text: string;
  try {
    text = new TextDecoder().decode(await readBounded(join(folder, recordName), maxRecordBytes));
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
  const paths = parseRecord(text);
  if (paths !== undefined) return paths;
  throw new ToolRuntimeError(
    "ERR_CONFIG_INVALID",
    `Cannot write the build to the folder "${folder}": its ${recordName} is not as a build leaves it; remove the folder, or name another`,
  );
}

/** Threat: a record from elsewhere that names files outside, for them to be removed. */
function parseRecord(text: string): string[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || !("files" in value) || !Array.isArray(value.files)) return undefined;
    return value.files.every((path) => typeof path === "string" && ownPath.test(path)) ? value.files : undefined;
  } catch {
    return undefined;
  }
}

function writeRecord(folder: string, files: readonly string[]): Promise<void> {
  const content = new TextEncoder().encode(`${JSON.stringify({ files }, undefined, 2)}\n`);
  return writeChanged(folder, { path: recordName, content });
}

async function assertOwn(folder: string, path: string, before: readonly string[]): Promise<void> {
  if (before.includes(path) || !(await isThere(join(folder, path)))) return;
  throw new ToolRuntimeError(
    "ERR_CONFIG_INVALID",
    `Cannot write the build to the folder "${folder}": it holds a file "${path}" that no build wrote; name a folder of its own`,
    { details: { path } },
  );
}

async function writeChanged(folder: string, { path, content }: OutFile): Promise<void> {
  const target = join(folder, path);
  const old = await readFile(target).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  if (old?.equals(content) === true) return;
  await mkdir(dirname(target), { recursive: true });
  const temporary = `${target}.${crypto.randomUUID()}.tmp`;
  try {
    await writeFile(temporary, content, { flag: "wx" });
    await rename(temporary, target);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function remove(folder: string, path: string): Promise<void> {
  await rm(join(folder, path), { force: true });
  // What else somebody put there keeps the tool's folder.
  if (path.includes("/")) await rmdir(join(folder, dirname(path))).catch(() => undefined);
}

function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error: unknown) => {
      if (isMissing(error)) return false;
      throw error;
    },
  );
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
