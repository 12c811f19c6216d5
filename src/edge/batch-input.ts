import { formatProblems, inEnglish, problemsOf } from "../internal/zod-problem.ts";
import { batchRequestSchema, type BatchRequest } from "../internal/batch/request.ts";
import { linesOf } from "../internal/batch/lines.ts";
import { ToolRuntimeError } from "../errors.ts";
import { mediaTypes } from "../internal/wire-names.ts";
import type { GivenInput } from "./batch-items.ts";
import { cappedBody, invalid, parseBytes, readBytes, readJson } from "./body.ts";
import type { Settings } from "./options.ts";
import type { AppContext } from "./scope.ts";

/** What was posted: the batch's head, and its inputs as they are read. */
export interface PostedBatch {
  readonly head: BatchRequest;
  readonly inputs: Iterable<GivenInput> | AsyncIterable<GivenInput>;
}

export interface ReadingBatch {
  readonly settings: Settings;
  /** Whether all of the body must be here before anything is done: its sender will be gone, or his token is for it alone. */
  readonly isWhole: boolean;
}

const aheadBytes = 8 * 2 ** 20;

/** @throws `ERR_ARGUMENT_INVALID`, `ERR_INPUT_INVALID`, `ERR_INPUT_TOO_LARGE`, `ERR_ABORTED`. */
export async function readBatch(c: AppContext, { settings, isWhole }: ReadingBatch): Promise<PostedBatch> {
  const type = (c.req.header("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (type === mediaTypes.json) {
    const head = headOf((await readJson(c, settings)).value);
    if (head.inputs === undefined) throw invalid("the batch", 'it has no "inputs"');
    return { head, inputs: head.inputs.map((value) => ({ value })) };
  }
  if (type !== mediaTypes.ndjson) {
    throw new ToolRuntimeError(
      "ERR_ARGUMENT_INVALID",
      `Cannot read the batch: its Content-Type is ${JSON.stringify(type.slice(0, 100))}; it must be ${mediaTypes.json} or ${mediaTypes.ndjson}`,
      { details: { header: "content-type" } },
    );
  }
  const { maxJsonBytes, maxUploadBytes } = settings.limits;
  const body = isWhole ? [await readBytes(c, maxUploadBytes)] : piecesOf(readAhead(cappedBody(c, Number.MAX_SAFE_INTEGER)));
  const lines = linesOf(body, maxJsonBytes);
  const first = await lines.next();
  if (first.done === true) throw invalid("the batch", "its body is empty; its first line is the batch, each further one an input");
  const head = headOf(parseBytes(first.value, settings).value);
  if (head.inputs !== undefined) throw invalid("the batch", '"inputs" has no place in NDJSON: each line after the first is an input');
  return { head, inputs: inputsOf(lines) };
}

function headOf(value: unknown): BatchRequest {
  const parsed = batchRequestSchema.safeParse(value, inEnglish);
  if (parsed.success) return parsed.data;
  throw invalid("the batch", formatProblems(problemsOf(batchRequestSchema, parsed.error)));
}

async function* inputsOf(lines: AsyncGenerator<Uint8Array, void, void>): AsyncGenerator<GivenInput, void, void> {
  for await (const bytes of lines) yield { bytes };
}

/** Takes in some of a body before it is asked for: hosts give a request's body so much time, however slowly its inputs are run. */
function readAhead(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: aheadBytes, size: (chunk) => chunk?.length ?? 0 },
  );
}

async function* piecesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  const reader = body.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}
