import type { BuiltVariant, OutFile, ToolBuild } from "./build-tool.ts";

const encoder = new TextEncoder();
const head = '// Written by "toolruntime build"; changes here are lost with the next build.\n';

/** The two files by which a program imports what was built: the map of tools, and its types. */
export function indexFiles(builds: readonly ToolBuild[]): OutFile[] {
  return [
    { path: "index.js", content: encoder.encode(indexScript(builds)) },
    { path: "index.d.ts", content: encoder.encode(indexTypes(builds)) },
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
