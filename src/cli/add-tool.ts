import { confirm, isCancel } from "@clack/prompts";
import { cp, lstat, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, extname, join, relative } from "node:path";
import type { Plan } from "../backend.ts";
import { ToolRuntimeError } from "../errors.ts";
import { sha256 } from "../internal/digest.ts";
import { stateOf } from "../internal/node/bounded-file.ts";
import { folderRegistry } from "../internal/node/folder-registry.ts";
import { isBareArtifact, loadTool, manifestName } from "../internal/node/tool-folder.ts";
import { defineTool, type Tool } from "../tool.ts";
import { openBackend } from "./backends.ts";
import type { Terminal } from "./terminal.ts";

export interface AddTarget {
  readonly folder: string;
  readonly shouldReplace: boolean;
  /** The name for a tool made of a bare file. */
  readonly name?: string;
}

/** Checks a tool and copies it into the tools folder. Gives nothing where the user does not want the old one replaced. */
export async function addTool(terminal: Terminal, source: string, target: AddTarget): Promise<Tool | undefined> {
  const tool = await asNamed(await loadTool(source), source, target.name);
  await terminal.progress("Checking the module", checkModule(tool));
  const destination = join(target.folder, tool.manifest.name);
  if ((await isThere(destination)) && !target.shouldReplace && !(await mayReplace(destination))) return undefined;
  try {
    await install(tool, source, destination);
  } catch (error) {
    throw new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot add the tool to "${target.folder}": ${stateOf(error)}`, { cause: error });
  }
  return findAdded(tool, target.folder, destination);
}

/** A bare file's manifest gets the wanted name, a first version and the file's digest. */
async function asNamed(tool: Tool, source: string, name: string | undefined): Promise<Tool> {
  if (!isBareArtifact(source)) {
    if (name === undefined) return tool;
    throw new ToolRuntimeError("ERR_ARGUMENT_INVALID", `Cannot name the tool of "${source}" otherwise: its manifest names it`);
  }
  const { manifest, sources } = tool;
  const read = sources.wasm ?? sources.code;
  if (typeof read !== "function") return tool;
  const chosen = name ?? manifest.name;
  const artifact = { file: `${chosen}${extname(source)}`, digest: await sha256(await read()) };
  const artifacts = sources.wasm === undefined ? { code: { language: "javascript" as const, ...artifact } } : { wasm: artifact };
  return defineTool({ ...manifest, name: chosen, version: "0.1.0", artifacts }, sources);
}

/** The engine's own ingest, without a run: imports that nobody grants and malformed modules are seen here. */
async function checkModule(tool: Tool): Promise<void> {
  const { wasm, code } = tool.manifest.artifacts;
  if (wasm === undefined && code === undefined) return;
  const plan: Plan = {
    digest: tool.digest,
    tool,
    artifact: wasm === undefined ? "code" : "wasm",
    profile: "dev",
    isolation: "wasm",
    limits: [],
    network: "none",
    graceMs: 0,
  };
  const backend = await openBackend("wasm", { allowsUnsafe: false, needsProcesses: false, warn: () => undefined });
  try {
    await backend.prepare(plan, new AbortController().signal);
  } finally {
    await backend.close();
  }
}

function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

async function mayReplace(destination: string): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) {
    throw new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot add the tool: "${destination}" is there already; --force replaces it`);
  }
  const answer = await confirm({ message: `"${destination}" is there already. Replace it?`, initialValue: false });
  return !isCancel(answer) && answer;
}

/** Builds the folder beside its place and moves it there, so that a registry that watches never sees half a tool. */
async function install(tool: Tool, source: string, destination: string): Promise<void> {
  const parent = dirname(destination);
  await mkdir(parent, { recursive: true });
  const staging = await mkdtemp(join(parent, ".adding-"));
  try {
    const made = join(staging, "made");
    await mkdir(made);
    await fill(tool, source, made);
    await rename(destination, join(staging, "old")).catch((error: unknown) => {
      if (stateOf(error) !== stateOf(Object.assign(new Error(), { code: "ENOENT" }))) throw error;
    });
    await rename(made, destination);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

async function fill({ manifest, sources }: Tool, source: string, made: string): Promise<void> {
  const from = sources.folder ?? dirname(source);
  const { wasm, code, command } = manifest.artifacts;
  if (isBareArtifact(source)) {
    await cp(source, join(made, wasm?.file ?? code?.file ?? basename(source)), { dereference: true });
    await writeFile(join(made, manifestName), `${JSON.stringify(manifest, undefined, 2)}\n`);
    return;
  }
  if (command !== undefined) {
    // A link that leads out of the folder would not be the same tool elsewhere; loadTool refuses those that matter.
    await cp(from, made, { recursive: true, verbatimSymlinks: true, filter: (path) => !isHidden(from, path) });
    return;
  }
  const samples = (manifest.examples ?? []).flatMap(({ files = {} }) => Object.values(files));
  const wanted = [manifestName, ...[wasm?.file, code?.file].filter((file) => file !== undefined)];
  for (const path of new Set([...wanted, ...samples])) {
    // A tool is whole without the files of its examples.
    if (!wanted.includes(path) && !(await isThere(join(from, path)))) continue;
    await mkdir(dirname(join(made, path)), { recursive: true });
    await cp(join(from, path), join(made, path), { dereference: true });
  }
}

function isHidden(from: string, path: string): boolean {
  return relative(from, path)
    .split("/")
    .some((part) => part.startsWith("."));
}

/** Looks for the tool as a service will: another folder may hold the same name and version. */
async function findAdded(tool: Tool, folder: string, destination: string): Promise<Tool> {
  await using registry = await folderRegistry({ folder });
  const { name, version } = tool.manifest;
  const found = registry.get({ name, version, digest: tool.digest });
  if (found !== undefined) return found;
  const problem = registry.problems().find((one) => one.folder === destination);
  throw problem?.error ?? registry.missing({ name, version, digest: tool.digest });
}
