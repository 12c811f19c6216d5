import { join, relative } from "node:path";
import { ToolRuntimeError } from "../../errors.ts";
import { sha256 } from "../../internal/digest.ts";
import type { FolderRegistry } from "../../internal/node/folder-registry.ts";
import type { Tool } from "../../tool.ts";
import { jcoTranspiler } from "../../wasm/component/jco/index.ts";
import { quickJs } from "../../wasm/javascript/node.ts";
import { buildable, buildTool, variantNames, type OutFile, type ToolBuild, type VariantName } from "../build/build-tool.ts";
import { indexFiles } from "../build/index-files.ts";
import { writeBuild } from "../build/out-folder.ts";
import { argumentsOf, defineCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { findTool, openTools, toolsOption } from "../find-tool.ts";
import { openTerminal, styled, type Terminal } from "../terminal.ts";

const defaultOut = "built-tools";

const notes = `Platforms that compile no WebAssembly inside a request get modules that were checked and metered ahead of time. Each tool
is built for plain runs and for deterministic ones; components come with their JavaScript. What is written is the same for the
same tools, byte for byte, and what an earlier build left and this one does not make is removed.

  import { tools } from "./${defaultOut}/index.js";
  const built = await Promise.all(tools.map(({ manifest, compiled }) => defineTool(manifest, { compiled })));

Examples:
  toolruntime build --tools ./tools --out ./src/built-tools
  toolruntime build hash csv-aggregate@1.0.0 ./my-tool
  toolruntime build --json | jq '.tools[].files[].bytes'`;

const variantOptions: string[] = [...variantNames];

const args = {
  tool: {
    type: "positional",
    description: "Names, folders or .wasm files, as many as are wanted; without any, all tools of the folder that have WebAssembly or code",
    required: false,
  },
  tools: { type: "string", description: toolsOption, valueHint: "folder" },
  out: { type: "string", description: `Where to write; "${defaultOut}" where nothing is named`, valueHint: "folder" },
  variant: {
    type: "enum",
    options: variantOptions,
    description: "Build for these runs alone: half the size, and a task of the other kind is refused. Both unless given",
  },
  json: { type: "boolean", description: "Print what was written as JSON" },
} as const;

export const build = defineCommand({
  meta: { name: "toolruntime build", description: "Makes tools ready for platforms that compile only what is deployed with them" },
  args,
  takesMany: true,
  notes,
  run: async ({ args: options, rawArgs }) => {
    const terminal = openTerminal();
    const wanted = await findTools(terminal, argumentsOf(rawArgs, args), options.tools);
    const out = options.out ?? defaultOut;
    const variants = variantNames.filter((name) => options.variant === undefined || options.variant === name);
    const builds = await buildAll(terminal, wanted, variants);
    const removed = await writeBuild(out, filesOf(builds));
    if (options.json === true) terminal.json({ out, tools: await Promise.all(builds.map(describe)), removed });
    else printBuilds(terminal, builds, { out, removed });
    return exitCodes.ok;
  },
});

/** @throws `ERR_TOOL_NOT_FOUND`, and what is wrong with a tool that is to be built. */
async function findTools(terminal: Terminal, names: readonly string[], folder: string | undefined): Promise<readonly Tool[]> {
  if (names.length > 0) {
    const found = new Map<string, Tool>();
    for (const name of names) {
      const tool = await findTool(terminal, name, folder);
      addOnce(found, tool);
    }
    return [...found.values()].toSorted(byName);
  }
  await using registry = await openTools(terminal, folder);
  return buildableTools(terminal, registry);
}

/** Threat to whoever deploys: two tools of one name and version, of which he gets either. */
function addOnce(found: Map<string, Tool>, tool: Tool): void {
  const { name, version } = tool.manifest;
  const key = `${name}@${version}`;
  const known = found.get(key);
  if (known !== undefined && known.digest !== tool.digest) {
    throw new ToolRuntimeError("ERR_MANIFEST_INVALID", `Cannot build "${name}" ${version}: two different tools of that version are named`, {
      details: { tool: name, version },
    });
  }
  found.set(key, tool);
}

/** A build is whole: a broken tool of the folder, which everything else passes over, ends it. */
function buildableTools(terminal: Terminal, registry: FolderRegistry): readonly Tool[] {
  const [problem] = registry.problems();
  if (problem !== undefined) throw problem.error;
  const [found, others] = [[] as Tool[], [] as string[]];
  for (const tool of registry.list()) {
    if (buildable(tool).length === 0) others.push(tool.manifest.name);
    else found.push(tool);
  }
  if (found.length === 0) {
    throw new ToolRuntimeError("ERR_TOOL_NOT_FOUND", "Cannot build tools: the folder has none with WebAssembly or code");
  }
  if (others.length > 0) terminal.note(`toolruntime: without WebAssembly or code, and so not built: ${others.join(", ")}`);
  return found;
}

function byName(a: Tool, b: Tool): number {
  const [left, right] = [a, b].map(({ manifest }) => `${manifest.name}@${manifest.version}`);
  return (left ?? "") < (right ?? "") ? -1 : 1;
}

async function buildAll(terminal: Terminal, tools: readonly Tool[], variants: readonly VariantName[]): Promise<ToolBuild[]> {
  const options = { variants, components: jcoTranspiler(), javascript: quickJs() };
  const builds: ToolBuild[] = [];
  for (const [index, tool] of tools.entries()) {
    const { name, version } = tool.manifest;
    builds.push(await terminal.progress(`Building ${name} ${version} (${index + 1} of ${tools.length})`, buildTool(tool, options)));
  }
  return builds;
}

/** Each file once: tools may have one in common. */
function filesOf(builds: readonly ToolBuild[]): readonly OutFile[] {
  const files = [...builds.flatMap((one) => one.files), ...indexFiles(builds)];
  return [...new Map(files.map((file) => [file.path, file])).values()];
}

async function describe({ tool, variants, files }: ToolBuild): Promise<object> {
  const { name, version } = tool.manifest;
  const [plain] = variants;
  const described = files.map(async ({ path, content }) => ({ path, bytes: content.length, digest: await sha256(content) }));
  return { name, version, digest: tool.digest, abi: plain?.made.abi, of: plain?.made.of, files: await Promise.all(described) };
}

interface Written {
  readonly out: string;
  readonly removed: readonly string[];
}

function printBuilds(terminal: Terminal, builds: readonly ToolBuild[], { out, removed }: Written): void {
  const rows = builds.map(({ tool, variants: [plain], files }) => [
    styled("bold", `${tool.manifest.name} ${tool.manifest.version}`),
    plain?.made.abi ?? "",
    counted(files.length, "file"),
    sizeText(files.reduce((sum, { content }) => sum + content.length, 0)),
  ]);
  terminal.table(rows);
  if (removed.length > 0) terminal.print(styled("dim", `removed ${counted(removed.length, "file")} of an earlier build`));
  const index = join(out, "index.js");
  terminal.print(styled("green", "built "), `${counted(builds.length, "tool")}; import { tools } from "${specifier(index)}"`);
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function specifier(path: string): string {
  const from = relative(".", path);
  return from.startsWith("..") ? path : `./${from}`;
}

function sizeText(bytes: number): string {
  return bytes < 1024 * 1024 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
