import type { OutputFile } from "../backend.ts";
import { ToolRuntimeError } from "../errors.ts";
import type { ResultFile } from "../runtime.ts";
import type { BlobStore } from "../store.ts";

/** What takes the output files of a run. */
export interface OutputShelf {
  readonly blobs: BlobStore;
  /** At most this many. */
  readonly maxFiles: number;
}

/**
 * Puts a file that the tool handed out into the store, as it comes. When the signal is aborted its stream ends with the reason, whatever
 * it is read from.
 *
 * @throws `ERR_LIMIT_DISK` for what is too large for the store.
 */
export async function storeOutput({ path, content, expected }: OutputFile, blobs: BlobStore, signal: AbortSignal): Promise<ResultFile> {
  const guarded = content instanceof Uint8Array ? { content, stop: () => undefined } : untilAborted(content, signal);
  try {
    return { path, ...(await blobs.put(guarded.content, expected)) };
  } catch (error) {
    if (!(error instanceof ToolRuntimeError) || error.code !== "ERR_INPUT_TOO_LARGE") throw error;
    throw new ToolRuntimeError("ERR_LIMIT_DISK", "Cannot hand back a file of the tool: it is larger than what the store of blobs takes", {
      started: true,
      details: { limit: "disk", ...error.details },
      cause: error,
    });
  } finally {
    guarded.stop();
  }
}

interface Guarded {
  readonly content: ReadableStream<Uint8Array>;
  stop(): void;
}

/** The same bytes, until the signal is aborted: then the reading ends, and with it whatever writes. */
function untilAborted(source: ReadableStream<Uint8Array>, signal: AbortSignal): Guarded {
  const reader = source.getReader();
  let end: () => void = () => undefined;
  const content = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        end = () => {
          controller.error(signal.reason);
          // Not awaited: a stream may never finish its own cancelling.
          void reader.cancel(signal.reason).catch(() => undefined);
        };
        if (signal.aborted) end();
        else signal.addEventListener("abort", end, { once: true });
      },
      async pull(controller) {
        const { done, value } = await reader.read();
        // What was ended meanwhile takes nothing more.
        if (signal.aborted) return;
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
  return { content, stop: () => signal.removeEventListener("abort", end) };
}
