import { ToolRuntimeError } from "../errors.ts";
import { parseJson } from "../internal/json.ts";
import { profiles } from "../profile.ts";
import { collectBytes } from "../store.ts";
import type { Settings } from "./options.ts";
import type { AppContext } from "./scope.ts";

const strict = new TextDecoder("utf-8", { fatal: true });

function tooLarge(maxBytes: number, hint = ""): ToolRuntimeError {
  return new ToolRuntimeError("ERR_INPUT_TOO_LARGE", `Cannot take the body: it is over ${maxBytes} bytes${hint}`, {
    details: { maxBytes },
  });
}

export function invalid(what: string, problem: string): ToolRuntimeError {
  return new ToolRuntimeError("ERR_INPUT_INVALID", `Cannot read ${what}: ${problem}`, { details: { problem } });
}

/** Refuses a body that says itself that it is too large, before a byte of it is read. */
export function assertContentLength(c: AppContext, maxBytes: number): number | undefined {
  const header = c.req.header("content-length");
  if (header === undefined) return undefined;
  const length = Number(header);
  if (length > maxBytes) throw tooLarge(maxBytes, maxBytes < 8 * 2 ** 20 ? "; send files as multipart/form-data" : "");
  return length;
}

/** The sender went away, or was too slow, before the body's end. */
function cutShort(cause: unknown): ToolRuntimeError {
  if (cause instanceof ToolRuntimeError) return cause;
  return new ToolRuntimeError("ERR_ABORTED", "Cannot read the body: the connection ended before it did", { cause });
}

/**
 * Reads a body whole; a chunked one is counted while it comes.
 *
 * @throws `ERR_INPUT_TOO_LARGE`, `ERR_ABORTED`, `ERR_UNAUTHORIZED` for another body than the caller's token is for.
 */
export async function readBytes(c: AppContext, maxBytes: number): Promise<Uint8Array> {
  const bytes = await readAll(c, maxBytes);
  const { bodyCheck } = c.get("scope");
  bodyCheck?.update(bytes);
  await bodyCheck?.end();
  return bytes;
}

async function readAll(c: AppContext, maxBytes: number): Promise<Uint8Array> {
  const length = assertContentLength(c, maxBytes);
  try {
    if (length !== undefined) return new Uint8Array(await c.req.arrayBuffer());
    const { body } = c.req.raw;
    return body === null ? new Uint8Array(0) : await collectBytes(body, maxBytes);
  } catch (error) {
    throw cutShort(error);
  }
}

/**
 * The body as a stream, which ends with `ERR_INPUT_TOO_LARGE` or `ERR_ABORTED` where it is too long or cut, and with
 * `ERR_UNAUTHORIZED` where it was another one than the caller's token is for: what it asks for may be done at its end alone.
 */
export function cappedBody(c: AppContext, maxBytes: number): ReadableStream<Uint8Array> {
  assertContentLength(c, maxBytes);
  const { body } = c.req.raw;
  if (body === null) throw invalid("the body", "there is none");
  const reader: ReadableStreamDefaultReader<Uint8Array> = body.getReader();
  const { bodyCheck } = c.get("scope");
  let size = 0;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        size += value?.length ?? 0;
        if (size > maxBytes) throw tooLarge(maxBytes);
        if (done) {
          await bodyCheck?.end();
          controller.close();
        } else {
          bodyCheck?.update(value);
          controller.enqueue(value);
        }
      } catch (error) {
        controller.error(cutShort(error));
        await reader.cancel().catch(() => undefined);
      }
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

export interface JsonBody {
  readonly text: string;
  readonly value: unknown;
}

/** @throws `ERR_INPUT_INVALID`, `ERR_INPUT_TOO_LARGE`. */
export async function readJson(c: AppContext, settings: Settings): Promise<JsonBody> {
  return parseBytes(await readBytes(c, settings.limits.maxJsonBytes), settings);
}

/** @throws `ERR_INPUT_INVALID`. */
export function parseBytes(bytes: Uint8Array, settings: Settings): JsonBody {
  let text: string;
  try {
    text = strict.decode(bytes);
  } catch {
    throw invalid("the body", "it is not UTF-8");
  }
  const { refusesPrototypeKeys } = profiles[settings.security];
  const parsed = parseJson(text, { refusesPrototypeKeys });
  if ("problem" in parsed) throw invalid("the body", parsed.problem);
  return { text, value: parsed.value };
}
