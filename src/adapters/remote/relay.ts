import type { OutputFile, RunIo } from "../../backend.ts";

/** How much of each stream is kept, to tell whether another attempt says the same. */
const maxKeptBytes = 64 * 1024;

type Stream = "stdout" | "stderr";

/** Another attempt has written something else than what has been passed on already. */
export class Diverged extends Error {}

class Kept {
  readonly #chunks: Uint8Array[] = [];
  /** Whether all that was passed on is still here. */
  isWhole = true;
  size = 0;

  add(bytes: Uint8Array): void {
    if (this.size + bytes.length > maxKeptBytes) this.isWhole = false;
    this.size += bytes.length;
    if (this.isWhole) this.#chunks.push(bytes);
    else this.#chunks.length = 0;
  }

  /** Whether these bytes were passed on at this place. */
  has(bytes: Uint8Array, at: number): boolean {
    let start = 0;
    for (const chunk of this.#chunks) {
      for (let index = Math.max(at, start); index < Math.min(at + bytes.length, start + chunk.length); index++) {
        if (chunk[index - start] !== bytes[index - at]) return false;
      }
      start += chunk.length;
    }
    return true;
  }
}

/**
 * Stands between the attempts of one run and who waits for its output: what one attempt has passed on, the next one does not
 * pass on again, provided that it writes the same.
 */
export class Relay {
  readonly #io: RunIo;
  readonly #mayRunTwice: boolean;
  readonly #kept: Readonly<Record<Stream, Kept>> = { stdout: new Kept(), stderr: new Kept() };
  #winner: object | undefined;
  #hasFiles = false;

  /** Where the tool may not run twice, nothing is kept. */
  constructor(io: RunIo, mayRunTwice: boolean) {
    this.#io = io;
    this.#mayRunTwice = mayRunTwice;
  }

  /** Whether another attempt could take over. */
  get mayRepeat(): boolean {
    return this.#mayRunTwice && !this.#hasFiles && this.#kept.stdout.isWhole && this.#kept.stderr.isWhole;
  }

  /** Whether nothing has been passed on. */
  get isFresh(): boolean {
    return this.#kept.stdout.size === 0 && this.#kept.stderr.size === 0 && !this.#hasFiles;
  }

  /** Of attempts that go on side by side, the first with something to pass on. The others are told to stop. */
  claim(attempt: object): boolean {
    this.#winner ??= attempt;
    return this.#winner === attempt;
  }

  /** The attempt that had the word has failed. */
  release(attempt: object): void {
    if (this.#winner === attempt) this.#winner = undefined;
  }

  /** The side of one attempt. `onClaim` is called when it is the one that has the word. */
  ioFor(attempt: object, signal: AbortSignal, onClaim: () => void): RunIo {
    const io = this.#io;
    const claim = (): void => {
      // Who is not heard is being ended.
      if (!this.claim(attempt)) throw new Diverged();
      onClaim();
    };
    const at = { stdout: 0, stderr: 0 };
    const pass = (stream: Stream, bytes: Uint8Array): void | Promise<void> => {
      claim();
      const fresh = this.#mayRunTwice ? this.#fresh(stream, bytes, at[stream]) : bytes;
      at[stream] += bytes.length;
      return fresh.length === 0 ? undefined : io[stream](fresh);
    };
    return {
      ...io,
      signal,
      stdout: (bytes) => pass("stdout", bytes),
      stderr: (bytes) => pass("stderr", bytes),
      started: () => io.started(),
      file: (file: OutputFile) => {
        claim();
        this.#hasFiles = true;
        return io.file(file);
      },
    };
  }

  /** What of the bytes is not known yet. @throws {@link Diverged}. */
  #fresh(stream: Stream, bytes: Uint8Array, at: number): Uint8Array {
    const kept = this.#kept[stream];
    const known = Math.max(0, Math.min(bytes.length, kept.size - at));
    if (known > 0 && !kept.has(bytes.subarray(0, known), at)) throw new Diverged();
    const fresh = bytes.subarray(known);
    if (fresh.length > 0) kept.add(fresh);
    return fresh;
  }
}
