import { ToolRuntimeError } from "../errors.ts";
import type { MemoryFile } from "./run-types.ts";

/**
 * Copies what a run left in its `out` folder.
 *
 * The bytes are counted here once more, because a file with many names (hard links) stands once in the quota but comes
 * out under each.
 *
 * @throws `ERR_LIMIT_DISK` beyond `maxFiles` or `maxBytes`.
 */
export function collectOutputs(files: Iterable<MemoryFile>, { maxFiles, maxBytes }: { maxFiles: number; maxBytes: number }): MemoryFile[] {
  const outputs: MemoryFile[] = [];
  let total = 0;
  for (const { path, bytes } of files) {
    total += bytes.length;
    if (total > maxBytes) {
      throw new ToolRuntimeError("ERR_LIMIT_DISK", `Cannot hand out what the tool wrote: "out" holds more than ${maxBytes} bytes`, {
        started: true,
        details: { limit: "disk", value: maxBytes },
      });
    }
    if (outputs.length === maxFiles) {
      throw new ToolRuntimeError("ERR_LIMIT_DISK", `Cannot hand out what the tool wrote: it left more than ${maxFiles} files in "out"`, {
        started: true,
        details: { maxOutputFiles: maxFiles },
      });
    }
    outputs.push({ path, bytes: bytes.slice() });
  }
  return outputs;
}
