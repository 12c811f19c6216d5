import { realpath, stat } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { ToolRuntimeError, toToolRuntimeError } from "../../errors.ts";
import { defineTool, parseManifest, type Manifest, type ManifestInput, type Tool } from "../../tool.ts";
import { parseJson } from "../json.ts";
import { openBounded, readBounded, stateOf, TooLarge } from "./bounded-file.ts";

export const manifestName = "tool.json";

export interface LoadToolOptions {
  /** The most for one module, in bytes. Default 64 MiB. */
  readonly maxArtifactBytes?: number;
}

const defaultMaxArtifactBytes = 64 * 2 ** 20;
const maxManifestBytes = 2 ** 20;

/**
 * Loads a tool from its folder, or makes one of a bare `.wasm`, `.js` or `.mjs` file. The artifact's bytes are read when a run first needs
 * them; that they exist, lie in the folder and are not too many is checked at once and again then.
 *
 * @throws `ERR_TOOL_NOT_FOUND` where nothing is at the path, `ERR_MANIFEST_INVALID` with file and key, and
 * `ERR_ARTIFACT_TOO_LARGE`.
 */
export async function loadTool(path: string, options: LoadToolOptions = {}): Promise<Tool> {
  const maxBytes = options.maxArtifactBytes ?? defaultMaxArtifactBytes;
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    (error: unknown) => {
      throw new ToolRuntimeError("ERR_TOOL_NOT_FOUND", `Cannot load a tool from "${path}": ${stateOf(error)}`, { cause: error });
    },
  );
  if (isFolder) return loadFolder(path, maxBytes);
  if (isBareArtifact(path)) return loadBare(path, maxBytes);
  if (basename(path) === manifestName) return loadFolder(dirname(path), maxBytes);
  throw new ToolRuntimeError(
    "ERR_TOOL_NOT_FOUND",
    `Cannot load a tool from "${path}": it is neither a folder with a ${manifestName} nor a .wasm, .js or .mjs file`,
  );
}

/** Whether a file is by its name an artifact that makes a tool without a manifest. */
export function isBareArtifact(path: string): boolean {
  return /\.(?:wasm|m?js)$/.test(path);
}

async function loadFolder(folder: string, maxBytes: number): Promise<Tool> {
  const file = join(folder, manifestName);
  const manifest = await readManifest(file);
  try {
    const { artifacts, examples = [] } = parseManifest(manifest);
    const { wasm, code, command } = artifacts;
    const root = await realpath(folder);
    await assertExamplesInside(root, examples);
    if (command !== undefined) await assertProgramInside(root, command.argv[0] ?? "");
    return await defineTool(manifest, {
      folder: root,
      ...(wasm?.file === undefined ? {} : { wasm: await artifactSource(root, { path: wasm.file, key: "/artifacts/wasm/file", maxBytes }) }),
      ...(code?.file === undefined ? {} : { code: await artifactSource(root, { path: code.file, key: "/artifacts/code/file", maxBytes }) }),
    });
  } catch (error) {
    throw locate(error, file);
  }
}

/** Adds to an error of the manifest in which file it stands. */
function locate(error: unknown, file: string): ToolRuntimeError {
  const { code, message, details, cause } = toToolRuntimeError(error);
  return new ToolRuntimeError(code, `${message} (in "${file}")`, { details: { ...details, file }, cause: cause ?? error });
}

function manifestError(file: string, why: string, cause?: unknown): ToolRuntimeError {
  return new ToolRuntimeError("ERR_MANIFEST_INVALID", `Cannot read the manifest "${file}": ${why}`, { details: { file }, cause });
}

/** Gives the JSON of a manifest; its shape is checked by `defineTool`. */
async function readManifest(file: string): Promise<ManifestInput> {
  let text: string;
  try {
    const bytes = await readBounded(file, maxManifestBytes);
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (error instanceof TooLarge) throw manifestError(file, `it is ${error.size} bytes, the most is ${maxManifestBytes}`, error);
    throw manifestError(file, error instanceof TypeError ? "it is no UTF-8 text" : stateOf(error), error);
  }
  const parsed = parseJson(text, { refusesPrototypeKeys: true });
  if ("problem" in parsed) throw manifestError(file, describeProblem(text, parsed.problem));
  return parsed.value as ManifestInput;
}

/** `not JSON at position 31` becomes `not JSON at line 3, column 5`. */
function describeProblem(text: string, problem: string): string {
  if (!problem.startsWith("not JSON")) return problem;
  const position = /position (\d+)/.exec(problem)?.[1];
  const before = position === undefined ? text.trimEnd() : text.slice(0, Number(position));
  const lines = before.split("\n");
  return `it is not JSON at line ${lines.length}, column ${(lines.at(-1)?.length ?? 0) + 1}`;
}

async function loadBare(path: string, maxBytes: number): Promise<Tool> {
  const real = await realpath(path);
  const root = dirname(real);
  const file = basename(real);
  const isModule = path.endsWith(".wasm");
  const what = isModule ? "WebAssembly module" : "JavaScript snippet";
  const manifest: ManifestInput = {
    name: nameOfFile(basename(path)),
    version: "0.0.0",
    description: `The ${what} ${JSON.stringify(basename(path))}; text in, text out`,
    inputSchema: true,
    artifacts: isModule ? { wasm: { file } } : { code: { language: "javascript", file } },
  };
  const key = isModule ? "/artifacts/wasm/file" : "/artifacts/code/file";
  const source = await artifactSource(root, { path: file, key, maxBytes });
  return defineTool(manifest, { folder: root, ...(isModule ? { wasm: source } : { code: source }) });
}

/** A tool's name made of a file's: `My_Tool 2.wasm` becomes `my-tool-2`. */
export function nameOfFile(file: string): string {
  const words = file
    .replace(/\.(?:wasm|m?js)$/, "")
    .normalize("NFKD")
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-+|-+$/g, "");
  const name = /^[a-z]/.test(words) ? words : `tool-${words}`;
  return name.slice(0, 63).replaceAll(/-+$/g, "");
}

/** Whether a path that a manifest names stays, by its text, in the manifest's folder. */
function isLocal(path: string): boolean {
  return !isAbsolute(path) && !/[\\\0]/.test(path) && !/^[A-Za-z]:/.test(path) && !path.split("/").includes("..");
}

function outside(key: string, path: string, why: string): ToolRuntimeError {
  return new ToolRuntimeError(
    "ERR_MANIFEST_INVALID",
    `Cannot use the path ${JSON.stringify(path)} of ${key}: ${why}; it must be relative and stay inside the tool's folder`,
    { details: { key, path } },
  );
}

/** The real path of what a manifest names. A link that leads out of the folder would hand a foreign file to the sandbox. */
async function resolveInside(root: string, path: string, key: string): Promise<string> {
  if (!isLocal(path)) throw outside(key, path, "it leaves the tool's folder");
  let real: string;
  try {
    real = await realpath(resolve(root, path));
  } catch (error) {
    throw new ToolRuntimeError("ERR_MANIFEST_INVALID", `Cannot use the path ${JSON.stringify(path)} of ${key}: ${stateOf(error)}`, {
      details: { key, path },
      cause: error,
    });
  }
  const inner = relative(root, real);
  if (inner === ".." || inner.startsWith(`..${sep}`) || isAbsolute(inner)) {
    throw outside(key, path, "a symbolic link leads out of the tool's folder");
  }
  return real;
}

/** A program that is a bare name is the host's, and so is one by its absolute path; a relative one is the tool's own file. */
async function assertProgramInside(root: string, program: string): Promise<void> {
  if (isAbsolute(program) || !/[\\/]/.test(program)) return;
  await resolveInside(root, program, "/artifacts/command/argv/0");
}

/** The files of examples are for whoever tries the tool: they may be missing, but not lie outside. */
async function assertExamplesInside(root: string, examples: NonNullable<Manifest["examples"]>): Promise<void> {
  for (const [index, { files = {} }] of examples.entries()) {
    for (const [name, path] of Object.entries(files)) {
      const key = `/examples/${index}/files/${name}`;
      if (!isLocal(path)) throw outside(key, path, "it leaves the tool's folder");
      const isThere = await stat(resolve(root, path)).then(
        () => true,
        () => false,
      );
      if (isThere) await resolveInside(root, path, key);
    }
  }
}

interface ArtifactFile {
  readonly path: string;
  /** Where the manifest names it. */
  readonly key: string;
  readonly maxBytes: number;
}

/** Checks that the artifact's file is there and small enough, and gives what reads it. */
async function artifactSource(root: string, { path, key, maxBytes }: ArtifactFile): Promise<() => Promise<Uint8Array>> {
  const inside = () => resolveInside(root, path, key);
  const check = await openBounded(await inside(), maxBytes).catch((error: unknown) => throwModuleError(error, path, maxBytes));
  await check.handle.close();
  return async () => {
    const real = await inside();
    return readBounded(real, maxBytes).catch((error: unknown) => throwModuleError(error, path, maxBytes));
  };
}

function throwModuleError(error: unknown, path: string, maxBytes: number): never {
  if (error instanceof TooLarge) {
    throw new ToolRuntimeError(
      "ERR_ARTIFACT_TOO_LARGE",
      `Cannot take the file ${JSON.stringify(path)}: it is ${error.size} bytes, the most is ${maxBytes}`,
      { details: { path, size: error.size, maxBytes }, cause: error },
    );
  }
  throw new ToolRuntimeError("ERR_MANIFEST_INVALID", `Cannot read the file ${JSON.stringify(path)}: ${stateOf(error)}`, {
    details: { path },
    cause: error,
  });
}
