import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { toolsFolder } from "../../examples/tools/build/lock.ts";
import { createRuntime, memoryBlobStore, type Result, type Runtime, type Tool } from "../../src/index.ts";
import { unsafe } from "../../src/backends/unsafe/index.ts";
import { loadTool } from "../../src/internal/node/tool-folder.ts";
import { jcoTranspiler } from "../../src/wasm/component/jco/index.ts";
import { wasm } from "../../src/wasm/index.ts";
import { quickJs } from "../../src/wasm/javascript/node.ts";

export { toolsFolder };

/** The tools' names, for test titles: known before the first test runs. */
export const toolNames: readonly string[] = readdirSync(toolsFolder).filter((name) => {
  try {
    return readdirSync(join(toolsFolder, name)).includes("tool.json");
  } catch {
    return false;
  }
});

export const load = (name: string): Promise<Tool> => loadTool(join(toolsFolder, name));

export interface Bench extends AsyncDisposable {
  readonly wasm: Runtime;
  /** The same as for WebAssembly. */
  readonly code: Runtime;
  readonly command: Runtime;
  fileOf(result: Result, path: string): Promise<Uint8Array>;
}

/** Both backends of this process, over one blob store. */
export function openBench(): Bench {
  const blobs = memoryBlobStore();
  const node = dirname(process.execPath);
  const commands = unsafe({ acceptUnsafe: true, warn: () => undefined, path: `${node}:/usr/local/bin:/usr/bin:/bin` });
  const sandbox = createRuntime({ backend: wasm({ components: jcoTranspiler(), javascript: quickJs() }), security: "dev", blobs });
  const bench = {
    wasm: sandbox,
    code: sandbox,
    command: createRuntime({ backend: commands, security: "dev", blobs }),
  };
  return {
    ...bench,
    async fileOf(result, path) {
      const file = result.files.find((one) => one.path === path);
      if (file === undefined) throw new Error(`Cannot find the output file "${path}": there are ${JSON.stringify(result.files)}`);
      const found = await blobs.get(file.digest);
      if (found === undefined) throw new Error(`Cannot read the output file "${path}": the store does not have it`);
      return found;
    },
    async [Symbol.asyncDispose]() {
      await bench.wasm.close();
      await bench.command.close();
    },
  };
}

/** The example's files, read from the tool's folder. */
export async function filesOf(name: string, files: Readonly<Record<string, string>> = {}): Promise<Record<string, Uint8Array>> {
  const read = Object.entries(files).map(
    async ([path, file]) => [path, new Uint8Array(await readFile(join(toolsFolder, name, file)))] as const,
  );
  return Object.fromEntries(await Promise.all(read));
}
