import type { FileHandle } from "node:fs/promises";

/** How much is read at a time. */
const pieceBytes = 256 * 2 ** 10;

export interface FileStreamOptions {
  /** Opens the file when it is first read. The stream closes it. */
  open(): Promise<FileHandle>;
  /** From where, and up to where, in bytes. */
  readonly start: number;
  readonly end: number;
  /** Called once, when nothing more is read. */
  done?(): void;
}

/** A part of a file as a stream. One that is shorter than it was fails. */
export function fileStream(options: FileStreamOptions): ReadableStream<Uint8Array> {
  const reader = new PieceReader(options);
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const piece = await reader.next();
          if (piece !== undefined) controller.enqueue(piece);
          if (!reader.isAtEnd) return;
          await reader.close();
          controller.close();
        } catch (error) {
          await reader.close().catch(() => undefined);
          throw error;
        }
      },
      cancel: () => reader.close(),
    },
    // Nothing is opened before somebody reads.
    { highWaterMark: 0 },
  );
}

/** Reads piece by piece; while one is in use the next one is read. */
class PieceReader {
  readonly #options: FileStreamOptions;
  #handle: FileHandle | undefined;
  #ahead: Promise<Uint8Array> | undefined;
  /** Up to where pieces were asked for, and given. */
  #askedTo: number;
  #givenTo: number;
  #isClosed = false;

  constructor(options: FileStreamOptions) {
    this.#options = options;
    this.#askedTo = this.#givenTo = options.start;
  }

  get isAtEnd(): boolean {
    return this.#givenTo >= this.#options.end;
  }

  /** Nothing at the end. */
  async next(): Promise<Uint8Array | undefined> {
    if (this.isAtEnd) return undefined;
    const handle = (this.#handle ??= await this.#open());
    const piece = await (this.#ahead ?? this.#read(handle));
    this.#givenTo += piece.length;
    this.#ahead = this.#askedTo < this.#options.end && !this.#isClosed ? this.#read(handle) : undefined;
    // It is awaited with the next one, or never.
    this.#ahead?.catch(() => undefined);
    return piece;
  }

  async #open(): Promise<FileHandle> {
    const handle = await this.#options.open();
    if (!this.#isClosed) return handle;
    // Whoever read has gone meanwhile.
    await handle.close();
    throw new Error("nobody reads any more");
  }

  async #read(handle: FileHandle): Promise<Uint8Array> {
    const at = this.#askedTo;
    const piece = Buffer.allocUnsafeSlow(Math.min(pieceBytes, this.#options.end - at));
    this.#askedTo += piece.length;
    for (let filled = 0; filled < piece.length;) {
      const { bytesRead } = await handle.read(piece, filled, piece.length - filled, at + filled);
      if (bytesRead === 0) throw new Error("the file is shorter than it was");
      filled += bytesRead;
    }
    return piece;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#options.done?.();
    await this.#ahead?.catch(() => undefined);
    await this.#handle?.close();
  }
}
