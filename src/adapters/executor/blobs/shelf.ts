import { ToolRuntimeError } from "../../../errors.ts";
import type { Digest } from "../../../internal/digest.ts";

/** What is known of a blob that is there. */
export interface Entry {
  readonly digest: Digest;
  readonly size: number;
  /** Whether this process has read all of it, and it was what its name says. */
  isVerified: boolean;
  /** How many hold it or read it. */
  holders: number;
}

/** Which blobs there are, in the order of their last use, and how much room they take. Knows no files. */
export class Shelf {
  readonly #maxBytes: number;
  readonly #entries = new Map<string, Entry>();
  /** Of the entries, and of what is on its way in. */
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Counts as a use. */
  get(digest: string): Entry | undefined {
    const entry = this.#entries.get(digest);
    if (entry === undefined) return undefined;
    this.#entries.delete(digest);
    this.#entries.set(digest, entry);
    return entry;
  }

  /** Of bytes for which there is room already. */
  add(entry: Entry): void {
    this.#entries.set(entry.digest, entry);
  }

  remove({ digest, size }: Entry): void {
    if (this.#entries.delete(digest)) this.#bytes -= size;
  }

  /**
   * Makes room. Gives what has to go, which is not on the shelf any more.
   *
   * @throws `ERR_STORE_FULL` where what is held leaves too little; then nothing has to go.
   */
  reserve(bytes: number): Entry[] {
    let over = this.#bytes + bytes - this.#maxBytes;
    const leaving: Entry[] = [];
    for (const entry of this.#entries.values()) {
      if (over <= 0) break;
      if (entry.holders > 0) continue;
      leaving.push(entry);
      over -= entry.size;
    }
    if (over > 0) throw storeFull(`what is in use leaves too little of its ${this.#maxBytes} bytes`);
    for (const entry of leaving) this.remove(entry);
    this.#bytes += bytes;
    return leaving;
  }

  /** Room that was made and is not used. */
  release(bytes: number): void {
    this.#bytes -= bytes;
  }
}

export function storeFull(why: string, cause?: unknown): ToolRuntimeError {
  return new ToolRuntimeError("ERR_STORE_FULL", `Cannot keep the bytes: the store of blobs is full, ${why}; send them again later`, {
    cause,
  });
}
