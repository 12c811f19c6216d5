import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { measure, openJob, type Figures, type Job, type MeasureOptions } from "./meter-runner.ts";

export const engines = ["node", "bun", "deno", "workerd"] as const;
export type Engine = (typeof engines)[number];

export interface EngineFigures {
  readonly engine: Engine;
  readonly version: string;
  readonly figures: readonly Figures[];
}

interface Binary {
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

/** Apart from Node, which runs this: the engine's package brings it in one of its optional dependencies, npm installs the one for this machine. */
function findBinary(engine: Engine): Binary {
  if (engine === "node") return { path: process.execPath, version: process.versions.node };
  const inPackage = { bun: "bin/bun", deno: "deno", workerd: "bin/workerd" }[engine];
  const manifest = findFile(`${engine}/package.json`);
  if (manifest === undefined) throw new Error(`Cannot run the bench on "${engine}": it is not installed; npm install brings it`);
  const { version, optionalDependencies }: { version: string; optionalDependencies: Record<string, string> } = require(manifest);
  const path = Object.keys(optionalDependencies)
    .map((name) => findFile(`${name}/${inPackage}`))
    .find((file) => file !== undefined);
  if (path === undefined) throw new Error(`Cannot run the bench on "${engine}": it has no binary for this machine`);
  return { path, version };
}

/** One module of plain JavaScript with the runner and the kernels in it. */
async function bundle(jobs: readonly Job[], main: string): Promise<string> {
  const contents = `import { ${measure.name}, ${openJob.name} } from "./meter-runner.ts";
    const open = ${JSON.stringify(jobs)}.map(${openJob.name});
    ${main}`;
  const resolveDir = dirname(fileURLToPath(import.meta.url));
  const { outputFiles } = await build({ stdin: { contents, resolveDir }, bundle: true, format: "esm", target: "es2022", write: false });
  return outputFiles[0]?.text ?? "";
}

interface Run {
  readonly binary: string;
  readonly jobs: readonly Job[];
  readonly rounds: number;
  /** Empty, for this run alone. */
  readonly folder: string;
}

/** Node, Bun and Deno: a script that prints its figures. */
async function runScript({ binary, jobs, rounds, folder }: Run, args: readonly string[]): Promise<Figures[]> {
  const options: MeasureOptions = { rounds, runs: 1 };
  const main = `console.log(JSON.stringify(open.map((job) => ${measure.name}(job, ${JSON.stringify(options)}))));`;
  const file = join(folder, "bench.mjs");
  await writeFile(file, await bundle(jobs, main));
  const { stdout } = await run(binary, [...args, file], { env: { DENO_NO_UPDATE_CHECK: "1", DO_NOT_TRACK: "1", DENO_DIR: folder } });
  return JSON.parse(stdout);
}

// workerd compiles modules while a worker starts, not later; the date allows that without a flag.
const workerdConfig = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "bench", worker = (
    modules = [(name = "worker", esModule = embed "worker.mjs")],
    compatibilityDate = "2026-04-01",
  ))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "bench")],
);
`;

async function listeningPort(control: Readable): Promise<number> {
  for await (const line of createInterface({ input: control })) {
    const { event, port }: { event: string; port: number } = JSON.parse(line);
    if (event === "listen") return port;
  }
  throw new Error('Cannot run the bench on "workerd": it ended before it listened');
}

/** workerd: a worker that measures the kernel whose index it is asked for. */
async function runWorkerd({ binary, jobs, rounds, folder }: Run): Promise<Figures[]> {
  // Its clock moves in steps of 1 ms.
  const options: MeasureOptions = { rounds, runs: 4 };
  const main = `export default {
    fetch(request) {
      try {
        return Response.json(${measure.name}(open[Number(new URL(request.url).pathname.slice(1))], ${JSON.stringify(options)}));
      } catch (error) {
        return new Response(String(error), { status: 500 });
      }
    },
  };`;
  await writeFile(join(folder, "worker.mjs"), await bundle(jobs, main));
  await writeFile(join(folder, "config.capnp"), workerdConfig);
  const child = spawn(binary, ["serve", join(folder, "config.capnp"), "--control-fd=3"], {
    stdio: ["ignore", "inherit", "inherit", "pipe"],
  });
  const exited = once(child, "exit");
  try {
    const port = await listeningPort(child.stdio[3] as Readable);
    const figures: Figures[] = [];
    for (const index of jobs.keys()) {
      const response = await fetch(`http://127.0.0.1:${port}/${index}`);
      if (!response.ok) throw new Error(await response.text());
      figures.push((await response.json()) as Figures);
    }
    return figures;
  } finally {
    // While it computes it does not look at SIGTERM.
    child.kill("SIGKILL");
    await exited;
  }
}

const scriptArgs: Readonly<Record<Exclude<Engine, "workerd">, readonly string[]>> = {
  node: [],
  bun: ["run"],
  deno: ["run", "--quiet", "--no-config", "--no-lock", "--cached-only"],
};

/** Measures the kernels on an engine, in a process of its own. */
export async function runOn(engine: Engine, { jobs, rounds }: Pick<Run, "jobs" | "rounds">): Promise<EngineFigures> {
  const folder = await mkdtemp(join(tmpdir(), "toolruntime-bench-"));
  try {
    const { path, version } = findBinary(engine);
    const task: Run = { binary: path, jobs, rounds, folder };
    return { engine, version, figures: await (engine === "workerd" ? runWorkerd(task) : runScript(task, scriptArgs[engine])) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
