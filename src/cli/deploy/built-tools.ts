import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { sha256 } from "../../internal/digest.ts";
import { folderRegistry, type FolderRegistry } from "../../internal/node/folder-registry.ts";
import type { Tool } from "../../tool.ts";
import { aliases } from "./contract.ts";
import { advice, ok, problem, type Finding } from "./finding.ts";

export interface BuiltToolsOptions {
  /** What the worker imports as its tools; absent where the alias is missing. */
  readonly index: string | undefined;
  /** The folder that the tools were built from, where it is known. */
  readonly tools: string | undefined;
}

const check = "tools";
const rebuild = "toolruntime build --tools <folder> --out <folder>";

/** The digests of one built tool: of its manifest, and of its original artifacts by kind. */
type Digests = Readonly<Record<string, string>>;

/** Whether the deployed tools are there, and are made of what their manifests name. */
export async function checkBuiltTools({ index, tools }: BuiltToolsOptions): Promise<Finding[]> {
  if (index === undefined) {
    return [
      problem({ check, says: `"${aliases.tools}" is not in [alias]`, next: `[alias] "${aliases.tools}" = "./.wrangler/tools/index.js"` }),
    ];
  }
  if (!existsSync(index)) return [problem({ check, says: `nothing is built at ${index}`, next: rebuild })];
  const text = await readFile(index, "utf8");
  const built = readDigests(text);
  if (built === undefined) return [problem({ check, says: `${index} is not as "toolruntime build" leaves it`, next: rebuild })];
  const lost = [...text.matchAll(/^import .+ from "(\.\/.+)";$/gm)].flatMap(([, path = ""]) =>
    existsSync(join(dirname(index), path)) ? [] : [problem({ check, says: `the built file ${path} is missing`, next: rebuild })],
  );
  if (lost.length > 0) return lost;
  const found = tools === undefined ? [] : await compare(built, tools);
  const says = `built: ${Object.keys(built).join(", ") || "none"}`;
  return found.some(({ status }) => status === "problem") ? found : [ok(check, says), ...found];
}

/** What the build wrote of digests: the last of its exports, JSON but for a comma. */
function readDigests(text: string): Readonly<Record<string, Digests>> | undefined {
  const written = /\nexport const digests = (\{[^]*\});\n$/.exec(text)?.[1];
  try {
    return written === undefined ? undefined : JSON.parse(written.replace(/,\n\}$/, "\n}"));
  } catch {
    return undefined;
  }
}

async function compare(built: Readonly<Record<string, Digests>>, folder: string): Promise<Finding[]> {
  if (!existsSync(folder)) return [advice({ check, says: `there is no folder ${folder} to compare with what was built` })];
  await using registry: FolderRegistry = await folderRegistry({ folder });
  const broken = registry.problems().map(({ error }) => problem({ check, says: error.message }));
  const buildable = registry.list().filter(({ manifest: { artifacts } }) => artifacts.wasm !== undefined || artifacts.code !== undefined);
  const [chosen, others] = [[] as Tool[], [] as string[]];
  for (const tool of buildable) {
    if (Object.hasOwn(built, keyOf(tool))) chosen.push(tool);
    else others.push(keyOf(tool));
  }
  const compared = await Promise.all(chosen.map((tool) => compareTool(tool, built[keyOf(tool)] ?? {})));
  const left = others.length === 0 ? [] : [ok(check, `not built, of the same folder: ${others.join(", ")}`)];
  return [...broken, ...compared.flat(), ...left];
}

function keyOf({ manifest: { name, version } }: Tool): string {
  return `${name}@${version}`;
}

async function compareTool(tool: Tool, digests: Digests): Promise<Finding[]> {
  const key = keyOf(tool);
  const { artifacts } = tool.manifest;
  const { wasm } = tool.sources;
  const expected = artifacts.wasm?.digest;
  const actual = wasm === undefined ? undefined : await sha256(wasm instanceof Uint8Array ? wasm : await wasm());
  if (expected !== undefined && actual !== undefined && expected !== actual) {
    return [problem({ check, says: `${key}: its manifest names ${expected}, its module is ${actual}` })];
  }
  const isOther = actual !== undefined && digests["wasm"] !== actual;
  // A manifest without digests gets them when it is built, and another digest of its own.
  const isPinned = Object.values({ wasm: artifacts.wasm, code: artifacts.code }).every(
    (one) => one === undefined || one.digest !== undefined,
  );
  if (!isOther && (!isPinned || digests["tool"] === tool.digest)) return [];
  const what = isOther ? "another module" : "another manifest";
  return [problem({ check, says: `${key} was built of ${what} than ${join(tool.sources.folder ?? "", "tool.json")} has`, next: rebuild })];
}

/** The folder that a build command takes its tools from, where it says so. */
export function toolsFolderIn(command: string | undefined): string | undefined {
  return /--tools[ =](\S+)/.exec(command ?? "")?.[1];
}
