import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { bundle, openWorker, requireBinary, type Engine, type ScriptEngine } from "../../../bench/engines.ts";
import type { IdentityOptions } from "./service.ts";

export interface Host extends AsyncDisposable {
  readonly url: string;
}

const folder = fileURLToPath(new URL(".", import.meta.url));

/** How each engine listens on a free port and says which. */
const listening: Readonly<Record<ScriptEngine, string>> = {
  node: `import { serve } from "../../../src/adapters/executor/server.ts";
    const { port } = await serve({ fetch, host: "127.0.0.1", port: 0, requestMs: 30_000, stalledReaderMs: 30_000, maxConnections: 64 });
    console.log(port);`,
  bun: `console.log(Bun.serve({ hostname: "127.0.0.1", port: 0, idleTimeout: 120, fetch }).port);`,
  deno: `Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: ({ port }) => console.log(port) }, (request) => fetch(request));`,
};

/** The library that matches names in the Extism SDK looks at one variable, which Deno allows nobody by itself. */
const readByExtism = "__MINIMATCH_TESTING_PLATFORM__";

const args: Readonly<Record<ScriptEngine, readonly string[]>> = {
  node: [],
  // What the bundle asks for by name and is not beside it Bun would fetch, in whatever version is the latest.
  bun: ["run", "--no-install"],
  deno: ["run", "--quiet", "--no-config", "--no-lock", "--cached-only", "--allow-net=127.0.0.1", `--allow-env=${readByExtism}`],
};

/** Imports what the components' scripts export, which are modules of their own. */
async function importScripts({ builds }: ServedTools, place: string): Promise<string> {
  const scripts = builds.flatMap(({ variants }) => variants.flatMap(({ script }) => (script === undefined ? [] : [script])));
  const imports = scripts.map(async (script, index) => {
    const file = join(place, `script${index}.mjs`);
    await writeFile(file, script);
    return `import { instantiate as script${index} } from ${JSON.stringify(file)};`;
  });
  const names = scripts.map((_, index) => `script${index}`).join(", ");
  return `${(await Promise.all(imports)).join("\n")}\nconst instantiates = [${names}];`;
}

export type ServedTools = Pick<IdentityOptions, "tools" | "builds">;

/** Serves the tools on an engine, by its own HTTP server. */
export async function openHost(engine: Engine, served: ServedTools): Promise<Host> {
  const place = await mkdtemp(join(tmpdir(), "toolruntime-identity-"));
  try {
    const head = `import { openService, prepareAll } from "./service.ts";
      ${await importScripts(served, place)}
      const service = await openService({ instantiates, ...${JSON.stringify(served)} });
      const { fetch } = service;`;
    if (engine === "workerd") {
      const code = await bundle(`${head} await prepareAll(service); export default { fetch: (request) => fetch(request) };`, folder);
      return await openWorker(code, { flags: ["enable_request_signal"] });
    }
    return await openScript(engine, await bundle(`${head} ${listening[engine]}`, folder));
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}

async function openScript(engine: ScriptEngine, code: string): Promise<Host> {
  const { path } = requireBinary(engine);
  const place = await mkdtemp(join(tmpdir(), "toolruntime-identity-"));
  const file = join(place, "main.mjs");
  await writeFile(file, code);
  const child = spawn(path, [...args[engine], file], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { DENO_NO_UPDATE_CHECK: "1", DO_NOT_TRACK: "1", DENO_DIR: place },
  });
  const exited = once(child, "exit");
  let complaints = "";
  child.stderr.on("data", (chunk) => (complaints += String(chunk)));
  const kill = (): boolean => child.kill("SIGKILL");
  process.once("exit", kill);
  const close = async (): Promise<void> => {
    kill();
    process.removeListener("exit", kill);
    await exited;
    await rm(place, { recursive: true, force: true });
  };
  for await (const line of createInterface({ input: child.stdout })) {
    return { url: `http://127.0.0.1:${Number(line)}`, [Symbol.asyncDispose]: close };
  }
  await close();
  throw new Error(`Cannot serve on "${engine}": it ended before it listened: ${complaints.trim().slice(0, 2000)}`);
}
