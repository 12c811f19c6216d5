import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { folderRegistry, type FolderRegistry } from "../internal/node/folder-registry.ts";
import { isBareArtifact, loadTool } from "../internal/node/tool-folder.ts";
import { parseToolRef, type Tool } from "../tool.ts";
import type { Terminal } from "./terminal.ts";

/** Where tools are looked for by name when nobody says where. */
export const defaultToolsFolder = "tools";

/** What `--help` says of `--tools` where tools are only looked for. */
export const toolsOption = 'The folder of tools; "tools" where none is named, or else the samples';

/** A path has a slash or ends as an artifact does; anything else is a name in the tools folder. */
function isPath(text: string): boolean {
  return /[/\\]/.test(text) || text === "." || text === ".." || isBareArtifact(text);
}

/** Those that come with the package, two folders up from the sources and from what is built of them. */
const samples = fileURLToPath(new URL("../../examples/tools", import.meta.url));

/** The named folder, `tools` here, or the samples, and then it says so. */
async function folderOf(terminal: Terminal, named: string | undefined): Promise<string> {
  if (named !== undefined) return named;
  if ((await isFolder(defaultToolsFolder)) || !(await isFolder(samples))) return defaultToolsFolder;
  terminal.note(`toolruntime: there is no folder "${defaultToolsFolder}" here, so these are the sample tools; --tools names another`);
  return samples;
}

/**
 * Finds a tool by path, or by `name`, `name@1.2.0` or `name@sha256:…` in the tools folder.
 *
 * @throws `ERR_TOOL_NOT_FOUND`, `ERR_MANIFEST_INVALID`, `ERR_CONFIG_INVALID`.
 */
export async function findTool(terminal: Terminal, text: string, folder: string | undefined): Promise<Tool> {
  if (isPath(text)) return loadTool(text);
  const registry = await folderRegistry({ folder: await folderOf(terminal, folder) });
  const ref = parseToolRef(text);
  const found = registry.get(ref);
  if (found !== undefined) return found;
  const missing = registry.missing(ref);
  // The tool may be there and broken: then its own error says more than that it was not found.
  const broken = registry.problems().find((problem) => basename(problem.folder) === ref.name);
  throw broken?.error ?? missing;
}

/** Opens the tools folder and says on stderr which tools in it are broken. */
export async function openTools(terminal: Terminal, folder: string | undefined): Promise<FolderRegistry> {
  const registry = await folderRegistry({ folder: await folderOf(terminal, folder) });
  for (const { error } of registry.problems()) terminal.note(`toolruntime: ${error.code}: ${error.message}`);
  return registry;
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
