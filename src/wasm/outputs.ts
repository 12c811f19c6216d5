import type { OutputFile } from "../backend.ts";
import { ToolRuntimeError } from "../errors.ts";

/** Copies what a run left in its `out` folder. @throws `ERR_LIMIT_DISK` beyond `maxFiles`. */
export function collectOutputs(files: Iterable<OutputFile>, maxFiles: number): OutputFile[] {
  const outputs: OutputFile[] = [];
  for (const { path, bytes } of files) {
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
