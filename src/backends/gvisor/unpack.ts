import { constants } from "node:fs";
import { chmod, chown, lchown, link, lstat, mkdir, open, readdir, readlink, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { readTar, type TarEntry } from "./tar.ts";

const whiteout = ".wh.";
const opaque = ".wh..wh..opq";
const maxLinks = 40;
/** An entry costs the disk at least so much, whatever is in it. */
const entryBytes = 4096;

/** What may still be unpacked, over all layers of an image. */
export interface Room {
  bytesLeft: number;
}

/** There is no room for all of the image. */
export class NoRoomError extends Error {}

async function kindOf(path: string): Promise<"none" | "folder" | "link" | "other"> {
  try {
    const stat = await lstat(path);
    if (stat.isDirectory()) return "folder";
    return stat.isSymbolicLink() ? "link" : "other";
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) return "none";
    throw error;
  }
}

/**
 * One layer upon those that are in a folder already (OCI image specification, layer.md). Threat: an entry whose path leads out of the
 * folder, by `..` or by a link that another entry has made: each step of a path is looked at, and links are followed within the folder as
 * a process whose root it is would follow them.
 */
class Layer {
  readonly #root: string;
  /** What this layer has made: an opaque folder hides what the layers below have in it, and no more. */
  readonly #made = new Set<string>();

  constructor(root: string) {
    this.#root = root;
  }

  async add(entry: TarEntry): Promise<void> {
    const parts = entry.path.split("/");
    const base = parts.pop() ?? "";
    if (base === "" || base === ".." || parts.includes("..")) {
      if (entry.path === "") return;
      throw new Error(`the path ${JSON.stringify(entry.path)} leads upward`);
    }
    const folder = await this.#folder(parts);
    if (base === opaque) return this.#clear(folder);
    if (base.startsWith(whiteout)) return rm(join(folder, nameIn(base)), { recursive: true, force: true });
    const path = join(folder, base);
    this.#made.add(path);
    await this.#make(entry, path);
  }

  async #make(entry: TarEntry, path: string): Promise<void> {
    const { type, mode, uid, gid } = entry;
    const isFolder = type === "5";
    const there = await kindOf(path);
    if (there !== "none" && !(isFolder && there === "folder")) await rm(path, { recursive: true, force: true });
    if (isFolder) {
      await mkdir(path, { recursive: true });
      await chown(path, uid, gid);
      await chmod(path, mode);
    } else if (type === "2") {
      await symlink(entry.target, path);
      await lchown(path, uid, gid);
    } else if (type === "1") {
      await link(await this.#existing(entry.target), path);
    } else if (type === "0" || type === "7") {
      await writeFile(entry, path);
    }
    // Devices and pipes are left out: a sandbox has its own.
  }

  async #existing(target: string): Promise<string> {
    const parts = target.split("/").filter((part) => part !== "" && part !== ".");
    const base = parts.pop() ?? "";
    if (base === "" || base === ".." || parts.includes("..")) throw new Error(`the link to ${JSON.stringify(target)} leads upward`);
    return join(await this.#folder(parts), base);
  }

  /** The folder of a path, made where it is missing. */
  async #folder(parts: readonly string[]): Promise<string> {
    let pending = [...parts];
    const at: string[] = [];
    for (let links = 0; pending.length > 0;) {
      const [part = "", ...rest] = pending;
      pending = rest;
      if (part === "..") {
        at.pop();
        continue;
      }
      const path = join(this.#root, ...at, part);
      const kind = await kindOf(path);
      if (kind === "link") {
        if (++links > maxLinks) throw new Error("there are too many links on a path");
        const target = await readlink(path);
        if (target.startsWith("/")) at.length = 0;
        pending = [...target.split("/").filter((one) => one !== "" && one !== "."), ...rest];
        continue;
      }
      if (kind === "other") await rm(path, { force: true });
      if (kind !== "folder") await mkdir(path);
      at.push(part);
    }
    return join(this.#root, ...at);
  }

  async #clear(folder: string): Promise<void> {
    for (const name of await readdir(folder)) {
      const path = join(folder, name);
      if (!this.#hasMade(path)) await rm(path, { recursive: true, force: true });
    }
  }

  #hasMade(path: string): boolean {
    return this.#made.has(path) || [...this.#made].some((one) => one.startsWith(`${path}/`));
  }
}

function nameIn(base: string): string {
  const name = base.slice(whiteout.length);
  if (name === "" || name === "." || name === "..") throw new Error("an entry takes away what has no name");
  return name;
}

async function writeFile(entry: TarEntry, path: string): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(path, flags, 0o600);
  try {
    for await (const part of entry.content()) await file.writeFile(part);
    await file.chown(entry.uid, entry.gid);
    // After the owner: a change of that takes the set-uid bit away.
    await file.chmod(entry.mode);
    await file.utimes(entry.modifiedAt, entry.modifiedAt);
  } finally {
    await file.close();
  }
}

/**
 * Unpacks a layer upon what is in the folder. Needs root: files get their owners.
 *
 * @throws `NoRoomError`, and errors that say what is wrong with the archive.
 */
export async function applyLayer(root: string, source: AsyncIterable<Uint8Array>, room: Room): Promise<void> {
  const layer = new Layer(root);
  for await (const entry of readTar(source)) {
    room.bytesLeft -= Math.max(entry.size, entryBytes);
    if (room.bytesLeft < 0) throw new NoRoomError("the image is too large");
    await layer.add(entry);
  }
}
