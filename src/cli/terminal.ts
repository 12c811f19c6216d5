import { styleText } from "node:util";
import { escapeJson, escapeLine, escapeText } from "./escape.ts";

type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

export interface Styled {
  readonly text: string;
  readonly style: Style;
}

/** Text is escaped wherever it is printed; only a style adds control characters, and only on a terminal. */
export type Piece = string | Styled;

export function styled(style: Style, text: string): Styled {
  return { text, style };
}

/** The process's output as the commands see it. */
export interface Terminal {
  /** Whether stdout is a terminal and not a pipe or a file. */
  readonly isInteractive: boolean;
  /** Aborted when the reader of stdout went away. */
  readonly stdoutGone: AbortSignal;
  /** One line on stdout. */
  print(...pieces: readonly Piece[]): void;
  /** One line on stderr. */
  note(...pieces: readonly Piece[]): void;
  /** A value as JSON, one line on a pipe, indented on a terminal. */
  json(value: unknown): void;
  /** Rows with aligned columns on stdout. */
  table(rows: readonly (readonly Piece[])[]): void;
  /**
   * What a tool wrote: its stdout as it is on a pipe and escaped on a terminal, its stderr always escaped. Waits until the
   * reader has taken it.
   */
  tool(stream: "stdout" | "stderr", bytes: Uint8Array): Promise<void>;
  /** Ends the tool's output on a terminal with a line feed, so that the prompt begins on a line of its own. */
  endTool(): void;
  /** Shows on a terminal, after one second, what is going on and for how long, until the work is done. */
  progress<T>(what: string, work: Promise<T>): Promise<T>;
  /** Shows one line on a terminal until the next one or any output takes its place; nothing on a pipe. */
  status(text: string): void;
  flush(): Promise<void>;
}

const progressAfterMs = 1000;

export function openTerminal(): Terminal {
  return new ProcessTerminal(process.stdout, process.stderr);
}

class ProcessTerminal implements Terminal {
  readonly isInteractive: boolean;
  readonly #streams: { readonly stdout: NodeJS.WriteStream; readonly stderr: NodeJS.WriteStream };
  readonly #decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  readonly #gone = new AbortController();
  #isMidLine = false;
  #clearProgress: (() => void) | undefined;

  constructor(stdout: NodeJS.WriteStream, stderr: NodeJS.WriteStream) {
    this.#streams = { stdout, stderr };
    this.isInteractive = stdout.isTTY;
    // A reader such as `head` that has enough is no failure to report; without a listener it would be thrown.
    stdout.on("error", () => this.#gone.abort());
    stderr.on("error", () => undefined);
  }

  get stdoutGone(): AbortSignal {
    return this.#gone.signal;
  }

  print(...pieces: readonly Piece[]): void {
    this.#write("stdout", `${pieces.map((piece) => this.#show("stdout", piece)).join("")}\n`);
  }

  note(...pieces: readonly Piece[]): void {
    this.#write("stderr", `${pieces.map((piece) => this.#show("stderr", piece)).join("")}\n`);
  }

  json(value: unknown): void {
    this.#write("stdout", `${escapeJson(JSON.stringify(value, undefined, this.isInteractive ? 2 : undefined))}\n`);
  }

  table(rows: readonly (readonly Piece[])[]): void {
    const widths: number[] = [];
    for (const row of rows) {
      for (const [column, piece] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, escapeLine(textOf(piece)).length);
    }
    for (const row of rows) {
      const cells = row.map((piece, column) => {
        const shown = this.#show("stdout", piece);
        const isLast = column === row.length - 1;
        return isLast ? shown : shown + " ".repeat((widths[column] ?? 0) - escapeLine(textOf(piece)).length);
      });
      this.#write("stdout", `${cells.join("  ").trimEnd()}\n`);
    }
  }

  async tool(name: "stdout" | "stderr", bytes: Uint8Array): Promise<void> {
    const stream = this.#streams[name];
    if (name === "stdout" && !stream.isTTY) return writeAll(stream, bytes);
    const text = escapeText(this.#decoders[name].decode(bytes, { stream: true }));
    if (text === "") return undefined;
    this.#clearProgress?.();
    if (stream.isTTY) this.#isMidLine = !text.endsWith("\n");
    return writeAll(stream, text);
  }

  endTool(): void {
    if (this.#isMidLine) this.#write("stdout", "\n");
    this.#isMidLine = false;
  }

  async progress<T>(what: string, work: Promise<T>): Promise<T> {
    const { stderr } = this.#streams;
    if (!stderr.isTTY) return work;
    const startedAt = performance.now();
    const timer = setInterval(() => {
      const seconds = Math.round((performance.now() - startedAt) / 1000);
      stderr.write(`\r\u001b[K${this.#show("stderr", styled("dim", `${what} (${seconds} s)`))}`);
    }, progressAfterMs);
    const clear = () => {
      clearInterval(timer);
      if (performance.now() - startedAt >= progressAfterMs) stderr.write("\r\u001b[K");
      this.#clearProgress = undefined;
    };
    this.#clearProgress = clear;
    try {
      return await work;
    } finally {
      this.#clearProgress?.();
    }
  }

  status(text: string): void {
    const { stderr } = this.#streams;
    if (!stderr.isTTY) return;
    const line = escapeLine(text).slice(0, stderr.columns - 1);
    stderr.write(`\r\u001b[K${styleText("dim", line, { stream: stderr })}`);
    this.#clearProgress = () => {
      stderr.write("\r\u001b[K");
      this.#clearProgress = undefined;
    };
  }

  async flush(): Promise<void> {
    await Promise.all([writeAll(this.#streams.stdout, ""), writeAll(this.#streams.stderr, "")]);
  }

  #write(name: "stdout" | "stderr", text: string): void {
    this.#clearProgress?.();
    this.#streams[name].write(text);
  }

  #show(name: "stdout" | "stderr", piece: Piece): string {
    if (typeof piece === "string") return escapeLine(piece);
    return styleText(piece.style, escapeLine(piece.text), { stream: this.#streams[name] });
  }
}

function textOf(piece: Piece): string {
  return typeof piece === "string" ? piece : piece.text;
}

/** Settles when the reader has taken it, or is gone. */
function writeAll(stream: NodeJS.WriteStream, data: Uint8Array | string): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed) resolve();
    else stream.write(data, () => resolve());
  });
}
