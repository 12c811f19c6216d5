import { ToolRuntimeError } from "../../errors.ts";
import { abortedError, answerInvalid, connectionFailed, connectionSilent, type Asked } from "./failures.ts";

export interface StreamReading {
  readonly asked: Asked;
  readonly signal: AbortSignal;
  readonly maxBytes: number;
  /** How long nothing may come while somebody reads. */
  readonly silenceMs: number;
}

/**
 * The body of an answer, whose failures are typed errors: `ERR_ANSWER_INVALID` beyond the size, `ERR_CONNECTION_FAILED`, `ERR_ABORTED`. Nothing is read ahead, so that a slow
 * reader holds back the sender.
 */
export function readStream({ body }: Response, { asked, signal, maxBytes, silenceMs }: StreamReading): ReadableStream<Uint8Array> {
  let size = 0;
  const reader: ReadableStreamDefaultReader<Uint8Array> | undefined = body?.getReader();
  const failureOf = (cause: unknown): ToolRuntimeError => {
    if (cause instanceof ToolRuntimeError) return cause;
    return signal.aborted ? abortedError(signal, asked.mayHaveStarted) : connectionFailed(asked, cause);
  };
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = reader === undefined ? { done: true, value: undefined } : await unlessSilent(reader, asked, silenceMs);
          size += value?.length ?? 0;
          if (size > maxBytes) throw answerInvalid(asked, `it is over ${maxBytes} bytes`, { maxBytes });
          if (done || value === undefined) controller.close();
          else controller.enqueue(value);
        } catch (cause) {
          void reader?.cancel().catch(() => undefined);
          throw failureOf(cause);
        }
      },
      cancel: (reason) => reader?.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

type Read = Awaited<ReturnType<ReadableStreamDefaultReader<Uint8Array>["read"]>>;

/** @throws `ERR_CONNECTION_FAILED`. */
function unlessSilent(reader: ReadableStreamDefaultReader<Uint8Array>, asked: Asked, silenceMs: number): Promise<Read> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(connectionSilent(asked, silenceMs)), silenceMs);
    reader
      .read()
      .then(resolve, reject)
      .finally(() => clearTimeout(timer));
  });
}
