import { Descriptor } from "./descriptor.ts";
import { DirectoryEntryStream } from "./directory-entries.ts";
import { Files } from "./files.ts";
import type { IoError } from "./io.ts";
import type { RunState } from "./run-state.ts";

/** `wasi:filesystem` 0.2 (https://github.com/WebAssembly/wasi-filesystem/tree/v0.2.0/wit) over this engine's own in-memory files. */
export function makeFileSystem(state: RunState): Record<string, object> {
  const files = new Files(state);
  return {
    "wasi:filesystem/preopens": {
      getDirectories: () =>
        state.fs.preopens.map(({ node, name }) => [new Descriptor(files, node, { read: true, mutateDirectory: true }), name]),
    },
    "wasi:filesystem/types": {
      Descriptor,
      DirectoryEntryStream,
      filesystemErrorCode: (error: IoError) => error.code,
    },
  };
}
