import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Manifest } from "../../src/index.ts";
import { loadTool } from "../../src/internal/node/tool-folder.ts";

export const samplesFolder = fileURLToPath(new URL("../../examples/tools/", import.meta.url));

const cli = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** Builds samples as a user does, for all tests of a file. */
export async function buildSamples(names: readonly string[], out: string): Promise<void> {
  const { stderr } = await promisify(execFile)(process.execPath, [cli, "build", ...names, "--tools", samplesFolder, "--out", out]);
  if (stderr !== "") throw new Error(stderr);
}

/** A tool's example with the bytes of its files. */
export interface Sample {
  readonly tool: string;
  readonly title: string;
  readonly input: unknown;
  /** As base64, by path. */
  readonly files: Readonly<Record<string, string>>;
  readonly output?: unknown;
}

/** The names of the sample tools that have WebAssembly. */
export async function sampleNames(): Promise<string[]> {
  const names: string[] = [];
  for (const entry of await readdir(samplesFolder, { withFileTypes: true })) {
    const manifest = await readFile(join(samplesFolder, entry.name, "tool.json"), "utf8").catch(() => undefined);
    const parsed: Manifest | undefined = manifest === undefined ? undefined : JSON.parse(manifest);
    if (parsed?.artifacts.wasm !== undefined) names.push(parsed.name);
  }
  return names.toSorted();
}

export async function samplesOf(name: string): Promise<Sample[]> {
  const { manifest } = await loadTool(join(samplesFolder, name));
  return Promise.all(
    (manifest.examples ?? []).map(async ({ input, files = {}, title, ...rest }, index) => {
      const read = Object.entries(files).map(async ([path, file]) => {
        return [path, (await readFile(join(samplesFolder, name, file))).toString("base64")] as const;
      });
      const given = Object.fromEntries(await Promise.all(read));
      return { tool: name, title: title ?? `example ${index}`, input, files: given, ...("output" in rest ? { output: rest.output } : {}) };
    }),
  );
}

/** Every file under a folder with its bytes, by path. */
export async function filesUnder(folder: string): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) found.set(relative(folder, path), await readFile(path));
  }
  return found;
}
