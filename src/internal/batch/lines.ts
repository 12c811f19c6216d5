import { ToolRuntimeError } from "../../errors.ts";
import { joinBytes } from "../client/bytes.ts";

const newline = 10;

/** The lines that are not empty. Nothing is read ahead of who asks for them. @throws `ERR_INPUT_TOO_LARGE`. */
export async function* linesOf(
  body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  maxLineBytes: number,
): AsyncGenerator<Uint8Array, void, void> {
  const pending: Uint8Array[] = [];
  let pendingBytes = 0;
  const add = (piece: Uint8Array): void => {
    pendingBytes += piece.length;
    if (pendingBytes <= maxLineBytes) return void pending.push(piece);
    throw new ToolRuntimeError("ERR_INPUT_TOO_LARGE", `Cannot take the inputs: one line is over ${maxLineBytes} bytes`, {
      details: { maxBytes: maxLineBytes },
    });
  };
  const take = (): Uint8Array => {
    pendingBytes = 0;
    return joinBytes(pending.splice(0));
  };
  for await (const chunk of body) {
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      add(chunk.subarray(start, end));
      start = end + 1;
      const line = take();
      if (!isBlank(line)) yield line;
    }
    if (start < chunk.length) add(chunk.subarray(start));
  }
  const last = take();
  if (!isBlank(last)) yield last;
}

function isBlank(line: Uint8Array): boolean {
  return line.every((byte) => byte === 0x20 || byte === 0x0d || byte === 0x09);
}
