import { join } from "node:path";
import { formatLimit, isLimit } from "../../limits.ts";
import type { Tool } from "../../tool.ts";
import { addTool } from "../add-tool.ts";
import { defineCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { defaultToolsFolder, findTool, openTools, toolsOption } from "../find-tool.ts";
import { shellWord } from "../shell-word.ts";
import { openTerminal, styled, type Terminal } from "../terminal.ts";

const common = {
  tools: { type: "string", description: toolsOption, valueHint: "folder" },
  json: { type: "boolean", description: "Print JSON" },
} as const;

const list = defineCommand({
  meta: { name: "toolruntime tools list", description: "Lists the tools of a folder" },
  args: common,
  notes: `Broken tools are named on stderr; the others are listed.

Examples:
  toolruntime tools list
  toolruntime tools list --tools ./tools --json`,
  run: async ({ args }) => printList(openTerminal(), args.tools, args.json === true),
});

const describe = defineCommand({
  meta: { name: "toolruntime tools describe", description: "Shows a tool's manifest: what it takes, gives, needs and may do" },
  args: { tool: { type: "positional", description: "Name, folder, .wasm or .js file", required: true }, ...common },
  notes: `Examples:
  toolruntime tools describe csv-aggregate --tools ./tools
  toolruntime tools describe ./my-tool --json`,
  run: async ({ args }) => {
    const terminal = openTerminal();
    const tool = await findTool(terminal, args.tool, args.tools);
    if (args.json === true) terminal.json({ digest: tool.digest, manifest: tool.manifest });
    else printTool(terminal, tool, args.tool);
    return exitCodes.ok;
  },
});

const add = defineCommand({
  meta: { name: "toolruntime tools add", description: "Checks a tool and copies it into the tools folder" },
  args: {
    source: { type: "positional", description: "A folder with a tool.json, or a .wasm or .js file", required: true },
    tools: { ...common.tools, description: 'The folder of tools; "tools" where none is named' },
    name: { type: "string", description: "The name of a tool made of a bare file", valueHint: "name" },
    force: { type: "boolean", description: "Replace a tool of that name without asking" },
  },
  notes: `The module goes through the same checks as before a run. Of a folder with a WebAssembly artifact, the manifest, the
module and the files of the examples are copied; of one with a command, everything but files whose names begin with a
dot. A bare file gets a manifest that takes any JSON and gives text; edit it afterwards.

Examples:
  toolruntime tools add ./build/markdown-to-html
  toolruntime tools add ./hash.wasm --tools ./tools --name sha256`,
  run: async ({ args }) => {
    const terminal = openTerminal();
    const folder = args.tools ?? defaultToolsFolder;
    const { name, force, source } = args;
    const target = { folder, shouldReplace: force === true, ...(name === undefined ? {} : { name }) };
    const added = await addTool(terminal, source, target);
    if (added === undefined) return exitCodes.failed;
    terminal.print(styled("green", "added "), `${added.manifest.name} ${added.manifest.version}`, ` to ${folder}`);
    return exitCodes.ok;
  },
});

export const tools = defineCommand({
  meta: { name: "toolruntime tools", description: "Lists, describes and adds tools" },
  notes: `Examples:
  toolruntime tools list --tools ./tools
  toolruntime tools add ./build/markdown-to-html`,
  subCommands: { list, describe, add },
});

async function printList(terminal: Terminal, folder: string | undefined, isJson: boolean): Promise<number> {
  const registry = await openTools(terminal, folder);
  const found = registry.list();
  if (isJson) {
    terminal.json(found.map(({ digest, manifest }) => ({ digest, manifest })));
    return exitCodes.ok;
  }
  if (found.length === 0) terminal.note('There is no tool in the folder; "toolruntime tools add" puts one there');
  const rows = found.map(({ manifest }) => [
    styled("bold", manifest.name),
    manifest.version,
    Object.keys(manifest.artifacts).join(", "),
    shorten(manifest.title ?? manifest.description),
  ]);
  terminal.table(rows);
  return exitCodes.ok;
}

function shorten(text: string): string {
  const [line = ""] = text.split("\n");
  return line.length > 80 ? `${line.slice(0, 79)}…` : line;
}

function printTool(terminal: Terminal, { manifest, digest, resources, sources }: Tool, ref: string): void {
  const { artifacts, permissions } = manifest;
  terminal.print(styled("bold", `${manifest.name} ${manifest.version}`), manifest.title === undefined ? "" : `: ${manifest.title}`);
  for (const line of manifest.description.split("\n")) terminal.print(line);
  terminal.print();
  const rows: [string, string][] = [["digest", digest]];
  if (artifacts.wasm !== undefined) rows.push(["wasm", artifacts.wasm.file ?? "no file"]);
  if (artifacts.code !== undefined) rows.push(["code", artifacts.code.file ?? "in the manifest"]);
  if (artifacts.command !== undefined) rows.push(["command", artifacts.command.argv.map((word) => JSON.stringify(word)).join(" ")]);
  for (const [limit, value] of Object.entries(resources)) rows.push([limit, limitText(limit, value)]);
  rows.push(["network", permissions?.network?.join(", ") ?? "none"], ["secrets", permissions?.secrets?.join(", ") ?? "none"]);
  terminal.table(rows.map(([name, value]) => [styled("dim", name), value]));
  printJson(terminal, "input schema", manifest.inputSchema);
  if (manifest.outputSchema !== undefined) printJson(terminal, "output schema", manifest.outputSchema);
  const [example] = manifest.examples ?? [];
  if (example === undefined) return;
  terminal.print();
  terminal.print(styled("dim", "try"));
  const files = Object.entries(example.files ?? {}).map(
    ([path, file]) => ` --file ${shellWord(`${path}=${join(sources.folder ?? ".", file)}`)}`,
  );
  terminal.print(`  toolruntime run ${shellWord(ref)} --input ${shellWord(JSON.stringify(example.input))}${files.join("")}`);
}

function limitText(limit: string, value: number): string {
  return isLimit(limit) ? formatLimit(limit, value) : String(value);
}

function printJson(terminal: Terminal, title: string, value: unknown): void {
  terminal.print();
  terminal.print(styled("dim", title));
  for (const line of JSON.stringify(value, undefined, 2).split("\n")) terminal.print(`  ${line}`);
}
