import type { InputFile, OutputFile } from "../backend.ts";
import { ToolRuntimeError } from "../errors.ts";
import type { FileInput, ResultFile, Task } from "../runtime.ts";
import { collectBytes, type BlobStore } from "../store.ts";
import type { Tool } from "../tool.ts";

const encoder = new TextEncoder();

/** The folders of the working folder that belong to the tool. */
const reservedFolders: ReadonlySet<string> = new Set(["out", "tmp"]);

/**
 * Checks a path of the working folder: relative, no `.` or `..`, no empty part, no backslash, no control character, not in
 * the folders that the tool writes to.
 *
 * @throws `ERR_INPUT_INVALID`.
 */
function checkPath(path: string): void {
  const parts = path.split("/");
  const isOdd = parts.some((part) => part === "" || part === "." || part === ".." || encoder.encode(part).length > 255);
  const isReserved = reservedFolders.has(parts[0] ?? "");
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  if (!isOdd && !isReserved && path.length <= 1024 && parts.length <= 32 && !/[\u0000-\u001f\u007f\\]/.test(path) && path.isWellFormed())
    return;
  const why = isReserved
    ? `"${parts[0]}" belongs to the tool`
    : 'it must be relative, with "/" between names, and stay inside the working folder';
  throw new ToolRuntimeError("ERR_INPUT_INVALID", `Cannot give the tool the file ${JSON.stringify(path.slice(0, 100))}: ${why}`);
}

async function readFile(path: string, file: FileInput, blobs: BlobStore, maxBytes: number): Promise<Uint8Array> {
  if (file instanceof Uint8Array) return collectBytes(file, maxBytes);
  if (typeof file === "string") return collectBytes(encoder.encode(file), maxBytes);
  if (file instanceof ReadableStream) return collectBytes(file, maxBytes);
  if (file instanceof Blob) return collectBytes(file.stream(), maxBytes);
  const found = await blobs.get(file.digest);
  if (found !== undefined) return collectBytes(found, maxBytes);
  throw new ToolRuntimeError(
    "ERR_BLOB_NOT_FOUND",
    `Cannot give the tool the file "${path}": the store has no blob ${JSON.stringify(file.digest)}; send its bytes`,
    {
      details: { path, digest: file.digest },
    },
  );
}

/** @throws `ERR_INPUT_INVALID`, `ERR_INPUT_TOO_LARGE`, `ERR_BLOB_NOT_FOUND`. */
export async function collectFiles(files: NonNullable<Task["files"]>, blobs: BlobStore, maxBytes: number): Promise<InputFile[]> {
  const collected: InputFile[] = [];
  let room = maxBytes;
  for (const [path, file] of Object.entries(files)) {
    checkPath(path);
    const bytes = await readFile(path, file, blobs, room);
    room -= bytes.length;
    collected.push({ path, bytes });
  }
  const paths = new Set(collected.map(({ path }) => path));
  for (const { path } of collected) {
    for (let slash = path.indexOf("/"); slash !== -1; slash = path.indexOf("/", slash + 1)) {
      if (!paths.has(path.slice(0, slash))) continue;
      throw new ToolRuntimeError("ERR_INPUT_INVALID", `Cannot give the tool the file "${path}": "${path.slice(0, slash)}" is a file too`);
    }
  }
  return collected;
}

/**
 * Gives the environment with secrets in place. Only names that the tool's manifest declares are asked for.
 *
 * @throws `ERR_INPUT_INVALID`, `ERR_POLICY_DENIED`, `ERR_SECRET_UNKNOWN`.
 */
export async function resolveEnv(
  env: NonNullable<Task["env"]>,
  tool: Tool,
  secrets: (name: string) => string | undefined | Promise<string | undefined>,
): Promise<Record<string, string>> {
  const resolved: Record<string, string> = Object.create(null);
  for (const [name, entry] of Object.entries(env)) {
    const value = typeof entry === "string" ? entry : await resolveSecret(entry.secret, tool, secrets);
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,254}$/.test(name) || value.includes("\0")) {
      const why = "a name is letters, digits and underscores, a value has no NUL";
      throw new ToolRuntimeError("ERR_INPUT_INVALID", `Cannot set the environment variable ${JSON.stringify(name.slice(0, 100))}: ${why}`);
    }
    resolved[name] = value;
  }
  return resolved;
}

/**
 * Takes the secrets out of an environment that goes elsewhere: they are resolved where the tool runs.
 *
 * @throws `ERR_INPUT_INVALID`, `ERR_POLICY_DENIED`.
 */
export async function splitSecrets(
  env: NonNullable<Task["env"]>,
  tool: Tool,
): Promise<{ readonly env: Record<string, string>; readonly secretNames: Record<string, string> }> {
  const secretNames: Record<string, string> = Object.create(null);
  for (const [name, entry] of Object.entries(env)) {
    if (typeof entry !== "string") secretNames[name] = entry.secret;
  }
  // All that is checked of an environment is checked; in place of a secret stands nothing.
  const resolved = await resolveEnv(env, tool, () => "");
  for (const name of Object.keys(secretNames)) delete resolved[name];
  return { env: resolved, secretNames };
}

async function resolveSecret(
  name: string,
  tool: Tool,
  secrets: (name: string) => string | undefined | Promise<string | undefined>,
): Promise<string> {
  const { manifest } = tool;
  if (manifest.permissions?.secrets?.includes(name) !== true) {
    throw new ToolRuntimeError(
      "ERR_POLICY_DENIED",
      `Cannot give the tool "${manifest.name}" the secret "${name}": its manifest does not ask for it under permissions.secrets`,
    );
  }
  const value = await askFor(name, secrets);
  if (value !== undefined) return value;
  throw new ToolRuntimeError(
    "ERR_SECRET_UNKNOWN",
    `Cannot give the tool "${manifest.name}" the secret "${name}": the runtime has none of that name`,
  );
}

/** What the source of secrets says when it fails may tell a secret, so it stays the cause. */
async function askFor(
  name: string,
  secrets: (name: string) => string | undefined | Promise<string | undefined>,
): Promise<string | undefined> {
  try {
    return await secrets(name);
  } catch (cause) {
    throw new ToolRuntimeError("ERR_INTERNAL", `Cannot get the secret "${name}": what the runtime asks for secrets failed`, { cause });
  }
}

/** Puts what the tool handed out into the store. */
export function storeOutputs(files: readonly OutputFile[], blobs: BlobStore): Promise<ResultFile[]> {
  return Promise.all(files.map(async ({ path, bytes }) => ({ path, ...(await blobs.put(bytes)) })));
}
