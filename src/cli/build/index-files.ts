import type { EngineAbi } from "../../tool.ts";
import type { BuiltVariant, OutFile, ToolBuild } from "./build-tool.ts";

const encoder = new TextEncoder();
const head = '// Written by "toolruntime build"; changes here are lost with the next build.\n';

/** The files by which a program imports what was built: the map of tools, the engine that they need, and the types of both. */
export function indexFiles(builds: readonly ToolBuild[]): OutFile[] {
  return [
    { path: "index.js", content: encoder.encode(indexScript(builds)) },
    { path: "index.d.ts", content: encoder.encode(indexTypes(builds)) },
    { path: "engine.js", content: encoder.encode(engineScript(builds)) },
    { path: "engine.d.ts", content: encoder.encode(engineTypes) },
  ];
}

/** The names that imported files have in the script. */
class Imports {
  readonly lines: string[] = [];
  readonly #names = new Map<string, string>();

  module(path: string): string {
    return this.#name(path, (name) => `import ${name} from ${quoted(path)};`);
  }

  script(path: string): string {
    return this.#name(path, (name) => `import { instantiate as ${name} } from ${quoted(path)};`);
  }

  #name(path: string, line: (name: string) => string): string {
    const known = this.#names.get(path);
    if (known !== undefined) return known;
    const name = `part${this.#names.size}`;
    this.#names.set(path, name);
    this.lines.push(line(name));
    return name;
  }
}

function quoted(path: string): string {
  return JSON.stringify(`./${path}`);
}

function indexScript(builds: readonly ToolBuild[]): string {
  const imports = new Imports();
  const tools = builds.map(({ tool, variants }) => {
    const compiled = variants.map((variant) => variantText(variant, imports)).join(", ");
    return `  {\n    manifest: ${json(tool.manifest, "    ")},\n    compiled: [${compiled}],\n  },\n`;
  });
  const digests = builds.map((build) => `  ${keyOf(build)}: ${json(digestsOf(build), "  ")},\n`);
  const exports = `export const tools = [\n${tools.join("")}];\n\nexport const digests = {\n${digests.join("")}};\n`;
  return `${head}${imports.lines.map((line) => `${line}\n`).join("")}\n${exports}`;
}

function variantText({ made, modules, script }: BuiltVariant, imports: Imports): string {
  const { format, abi, of, deterministic, facts } = made;
  const members = Object.entries(modules).map(([name, path]) => `${JSON.stringify(name)}: ${imports.module(path)}`);
  const parts = [
    ...Object.entries({ format, abi, of, deterministic, facts }).map(([key, value]) => `${key}: ${json(value, "      ")}`),
    `modules: { ${members.join(", ")} }`,
    ...(script === undefined ? [] : [`instantiate: ${imports.script(script)}`]),
  ];
  return `{\n${parts.map((part) => `      ${part},\n`).join("")}    }`;
}

function json(value: unknown, indent: string): string {
  return JSON.stringify(value, undefined, 2).replaceAll("\n", `\n${indent}`);
}

function keyOf({ tool }: ToolBuild): string {
  return JSON.stringify(`${tool.manifest.name}@${tool.manifest.version}`);
}

/** The tool's own, and those of the artifacts that were built. */
function digestsOf({ tool, variants }: ToolBuild): Readonly<Record<string, string>> {
  const artifacts = variants.map(({ made }) => [made.abi === "javascript" ? "code" : "wasm", made.of] as const);
  return { tool: tool.digest, ...Object.fromEntries(artifacts) };
}

function indexTypes(builds: readonly ToolBuild[]): string {
  const members = builds.map((build) => {
    const digests = Object.entries(digestsOf(build)).map(([name, digest]) => `readonly ${name}: ${JSON.stringify(digest)}`);
    return `  readonly ${keyOf(build)}: { ${digests.join("; ")} };\n`;
  });
  return `${head}import type { BuiltTool } from "toolruntime";

/** Each is to be given to \`defineTool(manifest, { compiled })\`. */
export declare const tools: readonly BuiltTool[];

/** By name and version: the tool's digest, and those of its original artifacts. */
export declare const digests: {
${members.join("")}};
`;
}

/** The functions that give the runner of each ABI. */
const runners = { "wasi-p1": "wasiP1", extism: "extism", component: "component", javascript: "javascript" } as const satisfies Record<
  EngineAbi,
  string
>;

/** The engine with the ABIs of these tools, so that a program carries no other. */
function engineScript(builds: readonly ToolBuild[]): string {
  const abis = [...new Set(builds.flatMap(({ variants }) => variants.map(({ made }) => made.abi)))].toSorted();
  if (abis.length === 0) return `${head}export const openEngine = undefined;\n`;
  const names = abis.map((abi) => runners[abi]);
  const calls = names.map((name) => `${name}()`).join(", ");
  return `${head}import { builtEngine, ${names.join(", ")} } from "toolruntime/wasm/abi";

export const openEngine = (options) => builtEngine([${calls}], options);\n`;
}

const engineTypes = `${head}import type { Backend } from "toolruntime";
import type { BuiltWasmOptions } from "toolruntime/wasm/abi";

/** Runs the tools of \`index.js\`; nothing where none was built. */
export declare const openEngine: ((options?: BuiltWasmOptions) => Backend) | undefined;
`;
