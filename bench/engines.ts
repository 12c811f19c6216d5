import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { promisify } from "node:util";
import { build } from "esbuild";

export const engines = ["node", "bun", "deno", "workerd"] as const;
export type Engine = (typeof engines)[number];
export type ScriptEngine = Exclude<Engine, "workerd">;

export interface Binary {
  readonly path: string;
  readonly version: string;
}

const require = createRequire(import.meta.url);
const run = promisify(execFile);

/** An installed file of a package, as seen from here, whatever the package exports. */
function findFile(path: string): string | undefined {
  return require.resolve
    .paths(path)
    ?.map((folder) => join(folder, path))
    .find((file) => existsSync(file));
}

/**
 * Apart from Node, which runs this: the engine's package brings it in one of its optional dependencies, npm installs the
 * one for this machine. Says in `missing` why there is none.
 */
export function findBinary(engine: Engine): Binary | { readonly missing: string } {
  if (engine === "node") return { path: process.execPath, version: process.versions.node };
  const inPackage = { bun: "bin/bun", deno: "deno", workerd: "bin/workerd" }[engine];
  const manifest = findFile(`${engine}/package.json`);
  if (manifest === undefined) return { missing: "it is not installed; npm install brings it" };
  const { version, optionalDependencies }: { version: string; optionalDependencies: Record<string, string> } = require(manifest);
  const path = Object.keys(optionalDependencies)
    .map((name) => findFile(`${name}/${inPackage}`))
    .find((file) => file !== undefined);
  return path === undefined ? { missing: "it has no binary for this machine" } : { path, version };
}

/** @throws Error where there is none. */
export function requireBinary(engine: Engine): Binary {
  const found = findBinary(engine);
  if ("missing" in found) throw new Error(`Cannot run on "${engine}": ${found.missing}`);
  return found;
}

/** Makes one file of plain JavaScript of a program and all that it imports but modules, seen from `folder`. */
export async function bundle(contents: string, folder: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: folder, loader: "ts" },
    bundle: true,
    format: "esm",
    target: "es2022",
    platform: "neutral",
    mainFields: ["module", "main"],
    conditions: ["workerd", "worker", "browser", "import"],
    external: ["node:*", "cloudflare:*", "*.wasm"],
    logLevel: "error",
    write: false,
  });
  return outputFiles[0]?.text ?? "";
}

function makeFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), "toolruntime-engines-"));
}

function removeFolder(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true });
}

const scriptArgs: Readonly<Record<ScriptEngine, readonly string[]>> = {
  node: [],
  bun: ["run"],
  deno: ["run", "--quiet", "--no-config", "--no-lock", "--cached-only"],
};

const maxOutputBytes = 256 * 2 ** 20;

export interface ScriptOptions {
  /** After which the process is killed. Default: never. */
  readonly timeoutMs?: number;
  /** Whether it may reach this machine's own addresses. Default `false`: where an engine can forbid it. */
  readonly loopback?: boolean;
}

/** Runs a bundle in a process of its own and gives what it printed. */
export async function runScript(
  engine: ScriptEngine,
  code: string,
  { timeoutMs = 0, loopback = false }: ScriptOptions = {},
): Promise<string> {
  const { path } = requireBinary(engine);
  const folder = await makeFolder();
  try {
    const file = join(folder, "main.mjs");
    await writeFile(file, code);
    const env = { DENO_NO_UPDATE_CHECK: "1", DO_NOT_TRACK: "1", DENO_DIR: folder };
    const options = { env, maxBuffer: maxOutputBytes, timeout: timeoutMs, killSignal: "SIGKILL" } as const;
    const { stdout } = await run(
      path,
      [...scriptArgs[engine], ...(loopback && engine === "deno" ? ["--allow-net=127.0.0.1"] : []), file],
      options,
    );
    return stdout;
  } finally {
    await removeFolder(folder);
  }
}

export interface WorkerOptions {
  /** Text bindings: what the worker gets as its environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Compatibility flags, besides those of the date. */
  readonly flags?: readonly string[];
  /** WebAssembly that the bundle imports, by path from the bundle. */
  readonly modules?: Readonly<Record<string, Uint8Array>>;
  /** Classes of Durable Objects with SQLite, by the names of their bindings. What they keep is gone with the worker. */
  readonly objects?: Readonly<Record<string, string>>;
  /** The name of a Worker Loader binding. */
  readonly loader?: string;
  /** Whether it may reach this machine's own addresses. Default `false`. */
  readonly loopback?: boolean;
}

export interface Worker extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  /** What the process wrote until now. */
  logged(): string;
}

// workerd compiles modules while a worker starts, not later; the date allows that without a flag.
function workerdConfig(
  { env = {}, flags = [], modules = {}, objects = {}, loader, loopback = false }: WorkerOptions,
  folder: string,
): string {
  const wasm = Object.keys(modules).map((path) => `(name = ${JSON.stringify(path)}, wasm = embed ${JSON.stringify(path)})`);
  const bindings = Object.entries(env).map(([name, value]) => `(name = ${JSON.stringify(name)}, text = ${JSON.stringify(value)})`);
  for (const [name, type] of Object.entries(objects))
    bindings.push(`(name = ${JSON.stringify(name)}, durableObjectNamespace = ${JSON.stringify(type)})`);
  const types = new Set(Object.values(objects));
  const namespaces = [...types].map(
    (type) => `(className = ${JSON.stringify(type)}, uniqueKey = ${JSON.stringify(type)}, enableSql = true)`,
  );
  const storage =
    types.size === 0 ? "" : `durableObjectNamespaces = [${namespaces.join(", ")}], durableObjectStorage = (localDisk = "disk"),`;
  if (loader !== undefined) bindings.push(`(name = ${JSON.stringify(loader)}, workerLoader = ())`);
  const disk = `(name = "disk", disk = (path = ${JSON.stringify(join(folder, "objects"))}, writable = true))`;
  const local = '(name = "local", network = (allow = ["local"]))';
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (
    modules = [${['(name = "worker", esModule = embed "worker.mjs")', ...wasm].join(", ")}],
    compatibilityDate = "2026-04-01",
    compatibilityFlags = [${flags.map((flag) => JSON.stringify(flag)).join(", ")}],
    bindings = [${bindings.join(", ")}],
    ${storage}${loopback ? '\n    globalOutbound = "local",' : ""}
  ))${loopback ? `, ${local}` : ""}${types.size === 0 ? "" : `, ${disk}`}],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
`;
}

async function listeningPort(control: Readable): Promise<number> {
  for await (const line of createInterface({ input: control })) {
    const { event, port }: { event: string; port: number } = JSON.parse(line);
    if (event === "listen") return port;
  }
  throw new Error('Cannot run on "workerd": it ended before it listened');
}

/** Serves a bundle whose default export is a worker, in a workerd of its own, until it is disposed. */
export async function openWorker(code: string, options: WorkerOptions = {}): Promise<Worker> {
  const { path } = requireBinary("workerd");
  const folder = await makeFolder();
  await writeFile(join(folder, "worker.mjs"), code);
  for (const [path, bytes] of Object.entries(options.modules ?? {})) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), bytes);
  }
  if (options.objects !== undefined) await mkdir(join(folder, "objects"));
  await writeFile(join(folder, "config.capnp"), workerdConfig(options, folder));
  // workerd calls its own Worker Loader experimental.
  const experimental = options.loader === undefined ? [] : ["--experimental"];
  const child = spawn(path, ["serve", join(folder, "config.capnp"), "--control-fd=3", ...experimental], {
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    env: {},
  });
  const exited = once(child, "exit");
  let logged = "";
  for (const stream of [child.stdio[1], child.stdio[2]]) stream?.on("data", (chunk) => (logged += String(chunk)));
  // While it computes it does not look at SIGTERM.
  const kill = (): boolean => child.kill("SIGKILL");
  process.once("exit", kill);
  const close = async (): Promise<void> => {
    kill();
    process.removeListener("exit", kill);
    await exited;
    await removeFolder(folder);
  };
  try {
    const port = await listeningPort(child.stdio[3] as Readable);
    return { url: `http://127.0.0.1:${port}`, pid: child.pid ?? 0, logged: () => logged, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw new Error(`${String(error)}: ${logged.trim().slice(0, 2000)}`, { cause: error });
  }
}
