import type { InputFile } from "../backend.ts";
import { ToolRuntimeError } from "../errors.ts";
import type { FileInput, Task } from "../runtime.ts";
import { assertSize, collectBytes, streamOf, type BlobStore, type OpenBlob } from "../store.ts";
import type { Tool } from "../tool.ts";
import { isDigest } from "./digest.ts";

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

/** A file whose bytes are in memory. */
export function fileOf(path: string, bytes: Uint8Array): InputFile {
  return { path, size: bytes.length, stream: () => streamOf(bytes), bytes: async () => bytes };
}

function fileOfBlob(path: string, blob: Blob, maxBytes: number): InputFile {
  assertSize(blob.size, maxBytes);
  return { path, size: blob.size, stream: () => blob.stream(), bytes: async () => new Uint8Array(await blob.arrayBuffer()) };
}

function fileOfOpen(path: string, digest: string, open: OpenBlob): InputFile {
  const { size } = open;
  return {
    path,
    size,
    ...(isDigest(digest) ? { digest } : {}),
    stream: () => open.stream(),
    bytes: () => collectBytes(open.stream(), size),
  };
}

/** The input files of a run; what they are read from is held until they are closed. */
export interface InputFiles {
  readonly files: readonly InputFile[];
  close(): void;
}

export const noFiles: InputFiles = Object.freeze({ files: Object.freeze([]), close() {} });

/** The files as they are taken in. */
class Collection implements InputFiles {
  readonly files: InputFile[] = [];
  readonly #blobs: BlobStore;
  readonly #held: OpenBlob[] = [];
  #room: number;
  #isClosed = false;

  constructor(blobs: BlobStore, maxBytes: number) {
    this.#blobs = blobs;
    this.#room = maxBytes;
  }

  async add(path: string, input: FileInput): Promise<void> {
    checkPath(path);
    const file = await this.#read(path, input);
    this.#room -= file.size;
    this.files.push(file);
  }

  async #read(path: string, input: FileInput): Promise<InputFile> {
    if (input instanceof Uint8Array) return fileOf(path, await collectBytes(input, this.#room));
    if (typeof input === "string") return fileOf(path, await collectBytes(encoder.encode(input), this.#room));
    if (input instanceof ReadableStream) return fileOf(path, await collectBytes(input, this.#room));
    if (input instanceof Blob) return fileOfBlob(path, input, this.#room);
    return fileOfOpen(path, input.digest, await this.#open(path, input.digest));
  }

  async #open(path: string, digest: string): Promise<OpenBlob> {
    const found = await this.#blobs.open(digest);
    if (found === undefined) {
      throw new ToolRuntimeError(
        "ERR_BLOB_NOT_FOUND",
        `Cannot give the tool the file "${path}": the store has no blob ${JSON.stringify(digest)}; send its bytes`,
        { details: { path, digest } },
      );
    }
    this.#held.push(found);
    // Whoever waited for it has gone meanwhile.
    if (this.#isClosed) found.close();
    assertSize(found.size, this.#room);
    return found;
  }

  close(): void {
    this.#isClosed = true;
    for (const held of this.#held) held.close();
  }
}

/**
 * What is in the store is not read yet, and held.
 *
 * @throws `ERR_INPUT_INVALID`, `ERR_INPUT_TOO_LARGE`, `ERR_BLOB_NOT_FOUND`.
 */
export async function collectFiles(files: NonNullable<Task["files"]>, blobs: BlobStore, maxBytes: number): Promise<InputFiles> {
  const collected = new Collection(blobs, maxBytes);
  try {
    for (const [path, file] of Object.entries(files)) await collected.add(path, file);
    assertNoFolders(collected.files);
    return collected;
  } catch (error) {
    collected.close();
    throw error;
  }
}

/** No file may stand where another one needs a folder. */
function assertNoFolders(files: readonly InputFile[]): void {
  const paths = new Set(files.map(({ path }) => path));
  for (const { path } of files) {
    for (let slash = path.indexOf("/"); slash !== -1; slash = path.indexOf("/", slash + 1)) {
      if (!paths.has(path.slice(0, slash))) continue;
      throw new ToolRuntimeError("ERR_INPUT_INVALID", `Cannot give the tool the file "${path}": "${path.slice(0, slash)}" is a file too`);
    }
  }
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
