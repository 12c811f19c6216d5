import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { ToolRuntimeError } from "../../errors.ts";
import { linesOf } from "../../internal/batch/lines.ts";
import { parseJson } from "../../internal/json.ts";
import { stateOf } from "../../internal/node/bounded-file.ts";
import { UsageError } from "../exit-codes.ts";

/** The most for one input, in bytes. */
const maxLineBytes = 64 * 2 ** 20;
const strict = new TextDecoder("utf-8", { fatal: true });

/** Inputs out of a file or stdin, a line of JSON each. */
export interface InputLines {
  /** How many there are, where they can be counted before they are read. */
  readonly total: number | undefined;
  /** Ends, as if there were no more, when the signal is aborted. @throws `ERR_INPUT_INVALID`, `ERR_INPUT_TOO_LARGE`. */
  read(signal: AbortSignal): AsyncGenerator<{ readonly index: number; readonly input: unknown }, void, void>;
}

/** @throws UsageError for a file that cannot be read. */
export async function openInputs(source: string): Promise<InputLines> {
  const name = source === "-" ? "stdin" : `"${source}"`;
  const total = source === "-" ? undefined : await countLines(source);
  const open = () => (source === "-" ? process.stdin : createReadStream(source));
  return {
    total,
    async *read(signal) {
      if (signal.aborted) return;
      const stream = open();
      const stop = (): void => void stream.destroy();
      signal.addEventListener("abort", stop, { once: true });
      let index = 0;
      try {
        for await (const line of linesOf(stream, maxLineBytes)) {
          // Of what was read at once there may be more.
          if (signal.aborted) return;
          yield { index, input: parseLine(line, `line ${index + 1} of ${name}`) };
          index++;
        }
      } catch (error) {
        if (!signal.aborted || error instanceof ToolRuntimeError) throw error;
      } finally {
        signal.removeEventListener("abort", stop);
        stop();
      }
    },
  };
}

async function countLines(file: string): Promise<number | undefined> {
  try {
    const found = await stat(file);
    // A pipe can be read once.
    if (!found.isFile()) return undefined;
    let count = 0;
    for await (const _ of linesOf(createReadStream(file), maxLineBytes)) count++;
    return count;
  } catch (error) {
    if (error instanceof ToolRuntimeError) throw error;
    throw new UsageError(`Cannot read the inputs from "${file}": ${stateOf(error)}`);
  }
}

function parseLine(line: Uint8Array, what: string): unknown {
  const parsed = decode(line);
  if ("value" in parsed) return parsed.value;
  throw new ToolRuntimeError("ERR_INPUT_INVALID", `Cannot read ${what}: ${parsed.problem}; each line is one input as JSON`);
}

function decode(line: Uint8Array): ReturnType<typeof parseJson> {
  try {
    return parseJson(strict.decode(line), { refusesPrototypeKeys: false });
  } catch {
    return { problem: "it is not UTF-8" };
  }
}

/** What an earlier run of the same batch wrote, as far as it says whether an input is to be run again. */
interface Earlier {
  readonly index: number;
  readonly status: string;
  readonly error?: { readonly code?: unknown; readonly started?: unknown; readonly retryable?: unknown };
}

function isEarlier(value: unknown): value is Earlier {
  return typeof value === "object" && value !== null && "index" in value && typeof value.index === "number" && "status" in value;
}

/**
 * The indexes whose answers stand in the output of an earlier run: results, and errors that the same input would bring
 * again, or whose tool had started and may not run twice. A line that was cut is left aside.
 *
 * @throws UsageError for a file that cannot be read or is no such output.
 */
export async function answeredIn(file: string, mayRunTwice: boolean): Promise<ReadonlySet<number>> {
  const answered = new Set<number>();
  const strange = new UsageError(`Cannot go on from "${file}": it is not what "toolruntime batch" has written`);
  try {
    for await (const line of linesOf(createReadStream(file), 2 ** 30)) {
      const parsed = decode(line);
      const earlier = "value" in parsed ? parsed.value : undefined;
      if (isEarlier(earlier)) {
        if (stands(earlier, mayRunTwice)) answered.add(earlier.index);
      } else if ("value" in parsed || !new TextDecoder().decode(line).startsWith('{"index":')) throw strange;
    }
  } catch (error) {
    if (error instanceof UsageError || error instanceof ToolRuntimeError) throw error;
    throw new UsageError(`Cannot go on from "${file}": ${stateOf(error)}`);
  }
  return answered;
}

function stands({ status, error }: Earlier, mayRunTwice: boolean): boolean {
  if (status === "result") return true;
  const mayPass = error?.retryable === true || error?.code === "ERR_ABORTED" || error?.code === "ERR_BUDGET_EXHAUSTED";
  return !mayPass || (error.started === true && !mayRunTwice);
}
