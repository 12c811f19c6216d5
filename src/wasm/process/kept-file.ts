import { closeSync, openSync, readSync } from "node:fs";

const buffer = new Uint8Array(256);
const decoder = new TextDecoder("latin1");

/** A short file of the kernel that is read for each run: kept open, it costs a tenth. */
export class KeptFile {
  readonly #path: string;
  #fd: number | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** What it says at this moment; nothing where it cannot be read. */
  read(): string | undefined {
    try {
      this.#fd ??= openSync(this.#path, "r");
      return decoder.decode(buffer.subarray(0, readSync(this.#fd, buffer, 0, buffer.length, 0)));
    } catch {
      return undefined;
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}
