import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";

export const toolsFolder = fileURLToPath(new URL("..", import.meta.url));
const lockFile = join(toolsFolder, "build-lock.json");

const entrySchema = z.strictObject({
  /** Over the recipe and the sources that the module was built from. */
  sources: z.string(),
  wasm: z.string(),
  /** The versions of what built it: other versions may give other bytes. */
  toolchain: z.record(z.string(), z.string()),
});
const lockSchema = z.record(z.string(), entrySchema);

export type LockEntry = z.output<typeof entrySchema>;
export type Lock = z.output<typeof lockSchema>;

export async function readLock(): Promise<Lock> {
  const text = await readFile(lockFile, "utf8").catch(() => "{}");
  return lockSchema.parse(JSON.parse(text));
}

export async function writeLock(lock: Lock): Promise<void> {
  const sorted = Object.fromEntries(Object.entries(lock).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  await writeFile(lockFile, `${JSON.stringify(sorted, null, 2)}\n`);
}

const digestInManifest = /("digest":\s*")sha256:[0-9a-f]{64}"/;

/** Puts the module's digest into the manifest and leaves the rest of the file as it is written. */
export async function writeManifestDigest(name: string, digest: string): Promise<void> {
  const file = join(toolsFolder, name, "tool.json");
  const text = await readFile(file, "utf8");
  if (!digestInManifest.test(text)) throw new Error(`Cannot write the digest into "${file}": it has no "digest" to replace`);
  await writeFile(file, text.replace(digestInManifest, `$1${digest}"`));
}
