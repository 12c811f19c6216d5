import { chmod, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { parseKeySet, parsePrivateKey, type KeySet, type PrivateKey } from "../../adapters/trust/index.ts";
import { ToolRuntimeError } from "../../errors.ts";

function cannot(what: string, file: string, problem: string): ToolRuntimeError {
  return new ToolRuntimeError("ERR_ARGUMENT_INVALID", `Cannot ${what} ${JSON.stringify(file)}: ${problem}`);
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown reason";
}

/** What the parser says would quote the file. */
async function readJson(what: string, file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    throw cannot(`read the ${what}`, file, error instanceof SyntaxError ? "it is not JSON" : codeOf(error));
  }
}

/** @throws `ERR_ARGUMENT_INVALID`, `ERR_CONFIG_INVALID`. */
export async function readPrivateKey(file: string): Promise<PrivateKey> {
  const key = parsePrivateKey(await readJson("private key", file));
  const { mode } = await stat(file);
  // Whoever reads it can sign as its issuer.
  if ((mode & 0o077) !== 0) throw cannot("use the private key", file, "others may read it; chmod 600 makes it this user's own");
  return key;
}

/** Refuses to write over a file: the key in it may be the only one that a fleet trusts. @throws `ERR_ARGUMENT_INVALID`. */
export async function writePrivateKey(file: string, key: PrivateKey): Promise<void> {
  try {
    await writeFile(file, `${JSON.stringify(key, undefined, 2)}\n`, { mode: 0o600, flag: "wx" });
  } catch (error) {
    throw cannot("write the private key", file, codeOf(error) === "EEXIST" ? "it is there already; name another file" : codeOf(error));
  }
}

/** @throws `ERR_ARGUMENT_INVALID`, `ERR_CONFIG_INVALID`. */
export async function readKeySet(file: string): Promise<KeySet> {
  return parseKeySet(await readJson("key set", file));
}

/** The same, and an empty one where the file is not there yet. */
export async function readKeySetIfAny(file: string): Promise<KeySet> {
  const isThere = await stat(file).then(
    () => true,
    () => false,
  );
  return isThere ? readKeySet(file) : { keys: [] };
}

/** Replaces the file in one step: a service may be reading it. @throws `ERR_ARGUMENT_INVALID`. */
export async function writeKeySet(file: string, set: KeySet): Promise<void> {
  const own = `${file}.${process.pid}.tmp`;
  try {
    await writeFile(own, `${JSON.stringify(set, undefined, 2)}\n`, { flag: "wx", mode: 0o644 });
    const before = await stat(file).catch(() => undefined);
    if (before !== undefined) await chmod(own, before.mode & 0o777);
    await rename(own, file);
  } catch (error) {
    await rm(own, { force: true });
    throw cannot("write the key set", file, codeOf(error));
  }
}
