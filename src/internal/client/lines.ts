import { ToolRuntimeError } from "../../errors.ts";
import { joinBytes } from "./bytes.ts";
import { abortedError, answerInvalid, connectionFailed, connectionSilent, type Asked } from "./failures.ts";

export interface LineOptions {
  readonly asked: Asked;
  readonly maxLineBytes: number;
  /** How long nothing may come while a line is waited for. The service sends a sign of life every 5 s. */
  readonly idleMs: () => number;
  readonly signal: AbortSignal;
}

const newline = 10;
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The lines of a body as they come. Nothing is read ahead of who asks for lines, so that a slow one holds back the sender.
 *
 * @throws `ERR_ANSWER_INVALID` for a line that is too long or no UTF-8, `ERR_CONNECTION_FAILED`, `ERR_ABORTED`.
 */
export async function* readLines(body: ReadableStream<Uint8Array>, options: LineOptions): AsyncGenerator<string, void, void> {
  const { asked, maxLineBytes } = options;
  const reader = body.getReader();
  const pending: Uint8Array[] = [];
  let pendingBytes = 0;
  try {
    for (let chunk = await readOnce(reader, options); chunk !== undefined; chunk = await readOnce(reader, options)) {
      let start = 0;
      for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
        pending.push(chunk.subarray(start, end));
        pendingBytes += end - start;
        start = end + 1;
        if (pendingBytes > maxLineBytes) throw tooLong(options);
        const line = decodeLine(pending.splice(0), asked);
        pendingBytes = 0;
        if (line !== "") yield line;
      }
      if (start === chunk.length) continue;
      pending.push(chunk.subarray(start));
      pendingBytes += chunk.length - start;
      if (pendingBytes > maxLineBytes) throw tooLong(options);
    }
    if (pendingBytes > 0) throw connectionFailed(asked);
  } finally {
    // Not awaited: a stream may never finish its own cancelling.
    void reader.cancel().catch(() => undefined);
  }
}

function tooLong({ asked, maxLineBytes }: LineOptions): ToolRuntimeError {
  return answerInvalid(asked, `one event is over ${maxLineBytes} bytes`, { maxLineBytes });
}

async function readOnce(reader: ReadableStreamDefaultReader<Uint8Array>, options: LineOptions): Promise<Uint8Array | undefined> {
  const { asked, signal } = options;
  const idleMs = options.idleMs();
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    const silent = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(connectionSilent(asked, idleMs)), idleMs);
    });
    const { done, value } = await Promise.race([reader.read(), silent]);
    return done ? undefined : value;
  } catch (cause) {
    if (signal.aborted) throw abortedError(signal, asked.mayHaveStarted);
    throw cause instanceof ToolRuntimeError ? cause : connectionFailed(asked, cause);
  } finally {
    clearTimeout(timer);
  }
}

function decodeLine(parts: readonly Uint8Array[], asked: Asked): string {
  try {
    return strict.decode(joinBytes(parts));
  } catch {
    throw answerInvalid(asked, "an event is no UTF-8");
  }
}
