import { randomUUID } from "node:crypto";
import { chmod, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { getuid } from "node:process";
import { ToolRuntimeError } from "../../../errors.ts";
import { sha256 } from "../../../internal/digest.ts";
import type { Files } from "./worker.ts";

/** A file: one line of JSON that says what comes, then the contents one after the other. */
interface Header {
  readonly digest: string;
  readonly files: readonly { readonly name: string; readonly length: number }[];
}

function isHeader(value: unknown): value is Header {
  if (typeof value !== "object" || value === null || !("digest" in value) || !("files" in value)) return false;
  return typeof value.digest === "string" && Array.isArray(value.files);
}

/** Transpiled components in a folder: one file each, named by key, written whole or not at all, checked when read. */
export class TranspileCache {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Gives nothing where there is no file, or one that is not what was written. */
  async read(key: string): Promise<Files | undefined> {
    await this.#prepare();
    try {
      const bytes = await readFile(this.#path(key));
      return await unpack(bytes, key);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async write(key: string, files: Files): Promise<void> {
    await this.#prepare();
    const temporary = join(this.#folder, `.${randomUUID()}.tmp`);
    try {
      await writeFile(temporary, await pack(files, key), { mode: 0o600, flag: "wx" });
      await rename(temporary, this.#path(key));
    } finally {
      await rm(temporary, { force: true });
    }
  }

  #path(key: string): string {
    return join(this.#folder, `${key.slice("sha256:".length)}.component`);
  }

  /** Threat: somebody else writes JavaScript into the folder, and the service runs it. */
  async #prepare(): Promise<void> {
    if ((await mkdir(this.#folder, { recursive: true, mode: 0o700 })) !== undefined) await chmod(this.#folder, 0o700);
    const { mode, uid } = await stat(this.#folder);
    if ((mode & 0o022) === 0 && (getuid === undefined || uid === getuid())) return;
    throw new ToolRuntimeError(
      "ERR_CONFIG_INVALID",
      `Cannot keep transpiled components in ${JSON.stringify(this.#folder)}: others can write there; give a folder that is this user's alone`,
    );
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

/** The key is part of what is digested: a file under another's name is not taken for it. */
function digestOf(key: string, files: Header["files"], content: Uint8Array): Promise<string> {
  return sha256(Buffer.concat([Buffer.from(JSON.stringify([key, files])), content]));
}

async function pack(files: Files, key: string): Promise<Uint8Array> {
  const content = Buffer.concat(files.map(([, bytes]) => bytes));
  const table = files.map(([name, { length }]) => ({ name, length }));
  const header: Header = { digest: await digestOf(key, table, content), files: table };
  return Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), content]);
}

async function unpack(bytes: Uint8Array, key: string): Promise<Files | undefined> {
  const end = bytes.indexOf(0x0a);
  const header = parse(new TextDecoder().decode(bytes.subarray(0, Math.max(0, end))));
  if (header === undefined) return undefined;
  const content = bytes.subarray(end + 1);
  if ((await digestOf(key, header.files, content)) !== header.digest) return undefined;
  let offset = 0;
  return header.files.map(({ name, length }) => [name, Uint8Array.from(content.subarray(offset, (offset += length)))] as const);
}

function parse(text: string): Header | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isHeader(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
