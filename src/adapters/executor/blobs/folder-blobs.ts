import { existsSync, mkdirSync, renameSync } from "node:fs";
import { mkdir, open, readdir, rm, stat, unlink, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import { hexOf, isDigest, type Digest } from "../../../internal/digest.ts";
import { fileStream } from "../../../internal/node/file-stream.ts";
import { currentOwner, formatOwner, isGone, parseOwner } from "../../../internal/node/process-owner.ts";
import { openScratch } from "../../../internal/node/run-folder.ts";
import { assertBlob, assertSize, collectBytes, type BlobInfo, type BlobStore, type OpenBlob } from "../../../store.ts";
import { digestOfFile } from "./digest-file.ts";
import { Shelf, storeFull, type Entry } from "./shelf.ts";
import { spool } from "./spool.ts";

export interface FolderBlobsSettings {
  readonly folder: string;
  readonly maxTotalBytes: number;
  readonly maxBlobBytes: number;
}

/** What is being written. */
const incoming = "incoming";
/** Where there is no `/proc`, a process cannot be named. */
const nobody = "0-0-0-00000000";

/** Blobs as files: `ab/cdef…` below the folder for the digest `sha256:abcdef…`. */
export class FolderBlobs implements BlobStore {
  readonly #settings: FolderBlobsSettings;
  readonly #shelf: Shelf;
  readonly #owner = process.platform === "linux" ? formatOwner(currentOwner()) : nobody;
  readonly #verifying = new Map<string, Promise<boolean>>();
  /** Files that are being taken away; the same blob may come again meanwhile. */
  readonly #removing = new Map<string, Promise<void>>();

  constructor(settings: FolderBlobsSettings) {
    this.#settings = settings;
    this.#shelf = new Shelf(settings.maxTotalBytes);
  }

  /** Looks what an earlier process left; what it had not finished goes. */
  async load(): Promise<void> {
    const { folder } = this.#settings;
    openScratch(folder);
    mkdirSync(join(folder, incoming), { recursive: true, mode: 0o700 });
    await this.#clearIncoming();
    const found: { readonly digest: Digest; readonly size: number; readonly usedMs: number }[] = [];
    for (const prefix of await readdir(folder)) {
      if (!/^[0-9a-f]{2}$/.test(prefix)) continue;
      for (const rest of await readdir(join(folder, prefix))) {
        const digest = `sha256:${prefix}${rest}`;
        if (!isDigest(digest)) continue;
        const { size, mtimeMs: usedMs } = await stat(this.#pathOf(digest));
        found.push({ digest, size, usedMs });
      }
    }
    found.sort((a, b) => b.usedMs - a.usedMs);
    const kept: Entry[] = [];
    let room = this.#settings.maxTotalBytes;
    for (const { digest, size } of found) {
      room -= size;
      if (room < 0) await rm(this.#pathOf(digest), { force: true });
      else kept.push({ digest, size, isVerified: false, holders: 0 });
    }
    for (const entry of kept.toReversed()) {
      this.#shelf.reserve(entry.size);
      this.#shelf.add(entry);
    }
  }

  /** What another process that lives is writing stays. */
  async #clearIncoming(): Promise<void> {
    const folder = join(this.#settings.folder, incoming);
    for (const name of await readdir(folder)) {
      const owner = process.platform === "linux" ? parseOwner(name) : undefined;
      if (owner === undefined || isGone(owner)) await rm(join(folder, name), { force: true });
    }
  }

  #pathOf(digest: Digest): string {
    const hex = hexOf(digest);
    return join(this.#settings.folder, hex.slice(0, 2), hex.slice(2));
  }

  async put(content: Uint8Array | ReadableStream<Uint8Array>, expected?: Parameters<BlobStore["put"]>[1]): Promise<BlobInfo> {
    const maxBytes = Math.min(this.#settings.maxBlobBytes, expected?.size ?? Number.POSITIVE_INFINITY);
    if (content instanceof Uint8Array) assertSize(content.length, this.#settings.maxBlobBytes);
    // Copied before anything is awaited: the caller may change his bytes as soon as he has the promise.
    const source = content instanceof Uint8Array ? content.slice() : content;
    const path = join(this.#settings.folder, incoming, `${this.#owner}-${crypto.randomUUID()}`);
    let reserved = 0;
    const admit = (bytes: number): void | Promise<void> => {
      assertSize(reserved + bytes, maxBytes);
      const leaving = this.#shelf.reserve(bytes);
      reserved += bytes;
      if (leaving.length > 0) return this.#drop(leaving);
    };
    try {
      const blob = await this.#write(path, source, admit);
      assertBlob(blob, expected);
      if (await this.#keep(path, blob)) reserved = 0;
      return blob;
    } catch (error) {
      throw failureOf(error);
    } finally {
      this.#shelf.release(reserved);
      await rm(path, { force: true });
    }
  }

  async #write(
    path: string,
    source: Uint8Array | ReadableStream<Uint8Array>,
    admit: (bytes: number) => void | Promise<void>,
  ): Promise<BlobInfo> {
    const handle = await open(path, "wx", 0o400);
    try {
      return await spool(source, { handle, admit });
    } finally {
      await handle.close();
    }
  }

  /** Gives the file its name. Says whether the room that was made for it is its own now; the same blob may be there already. */
  async #keep(path: string, { digest, size }: BlobInfo): Promise<boolean> {
    const target = this.#pathOf(digest);
    await mkdir(dirname(target), { recursive: true, mode: 0o700 });
    for (let removal = this.#removing.get(digest); removal !== undefined; removal = this.#removing.get(digest)) await removal;
    const known = this.#shelf.get(digest);
    if (known?.isVerified === true && existsSync(target)) return false;
    // In one step with what is known of it: nobody may take the file away between the two. One that is there too may be broken.
    renameSync(path, target);
    if (known === undefined) this.#shelf.add({ digest, size, isVerified: true, holders: 0 });
    else known.isVerified = true;
    return known === undefined;
  }

  async #drop(entries: readonly Entry[]): Promise<void> {
    const removals = entries.map(({ digest }) => {
      const removal = unlink(this.#pathOf(digest))
        .catch(() => undefined)
        .finally(() => this.#removing.delete(digest));
      this.#removing.set(digest, removal);
      return removal;
    });
    await Promise.all(removals);
  }

  async get(digest: string): Promise<Uint8Array | undefined> {
    const blob = await this.open(digest);
    if (blob === undefined) return undefined;
    try {
      return await collectBytes(blob.stream(), blob.size);
    } finally {
      blob.close();
    }
  }

  async open(digest: string): Promise<OpenBlob | undefined> {
    const entry = isDigest(digest) ? this.#shelf.get(digest) : undefined;
    if (entry === undefined) return undefined;
    const close = hold(entry);
    try {
      if ((await this.#touch(entry)) && (entry.isVerified || (await this.#verify(entry))))
        return { size: entry.size, stream: (range) => this.#stream(entry, range ?? { start: 0, end: entry.size }), close };
    } catch (error) {
      close();
      throw error;
    }
    close();
    this.#shelf.remove(entry);
    await this.#drop([entry]);
    return undefined;
  }

  /** Notes the use, for the order after a restart. Says whether the file is there: somebody may have taken it away. */
  #touch({ digest }: Entry): Promise<boolean> {
    const now = new Date();
    return utimes(this.#pathOf(digest), now, now).then(
      () => true,
      () => false,
    );
  }

  #stream(entry: Entry, { start, end }: { readonly start: number; readonly end: number }): ReadableStream<Uint8Array> {
    let done: (() => void) | undefined;
    return fileStream({
      start,
      end,
      open: () => {
        done = hold(entry);
        return open(this.#pathOf(entry.digest), "r");
      },
      done: () => done?.(),
    });
  }

  /** Whether the file is what its name says. Whoever asks meanwhile waits for the same reading. */
  #verify(entry: Entry): Promise<boolean> {
    const { digest } = entry;
    const running =
      this.#verifying.get(digest) ??
      digestOfFile(this.#pathOf(digest))
        .then((actual) => (entry.isVerified = actual === digest))
        .finally(() => this.#verifying.delete(digest));
    this.#verifying.set(digest, running);
    return running;
  }
}

/** Gives what lets go of it, which may be called again. */
function hold(entry: Entry): () => void {
  entry.holders++;
  let isHeld = true;
  return () => {
    if (isHeld) entry.holders--;
    isHeld = false;
  };
}

function failureOf(error: unknown): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ENOSPC" || code === "EDQUOT" ? storeFull("its disk has no room", error) : error;
}
