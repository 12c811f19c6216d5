import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { requireBinary } from "../../bench/engines.ts";
import { token } from "./calls.ts";
import { openProject, type Project } from "./project.ts";

export interface RunningExample extends AsyncDisposable {
  readonly url: string;
  /** Sends SIGTERM, and gives the exit code. */
  terminate(): Promise<number | null>;
}

type Server = "bun" | "deno";

/** The command that the example's own files say to start it with. */
function startCommand(server: Server, folder: string): string[] {
  const read = (file: string): { readonly scripts?: Record<string, string>; readonly tasks?: Record<string, string> } =>
    JSON.parse(readFileSync(join(folder, file), "utf8"));
  const command = server === "bun" ? read("package.json").scripts?.["start"] : read("deno.json").tasks?.["start"];
  const [program, ...args] = (command ?? "").split(" ");
  if (program !== server) throw new Error(`the example is not started by ${server}: ${command}`);
  return args;
}

async function listeningUrl(child: ChildProcessByStdio<null, Readable, Readable>): Promise<string> {
  let complaints = "";
  child.stderr.on("data", (chunk) => (complaints += String(chunk)));
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /^Listening on (http:\S+)$/.exec(line)?.[1];
    if (url !== undefined) return url;
  }
  throw new Error(`it ended before it listened: ${complaints.slice(0, 2000)}`);
}

/** Starts an example by its engine, with a free port, until it is disposed. */
export async function startExample(server: Server, built: Project): Promise<RunningExample> {
  const project = openProject(server, built);
  const child = spawn(requireBinary(server).path, startCommand(server, project.folder), {
    cwd: project.folder,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      TOOLRUNTIME_TOKEN: token,
      PORT: "0",
      DENO_NO_UPDATE_CHECK: "1",
      DO_NOT_TRACK: "1",
      DENO_DIR: join(project.folder, ".deno"),
    },
  });
  const exited = once(child, "exit");
  const kill = (): boolean => child.kill("SIGKILL");
  process.once("exit", kill);
  const close = async (): Promise<void> => {
    kill();
    process.removeListener("exit", kill);
    await exited;
    project[Symbol.dispose]();
  };
  try {
    const url = await listeningUrl(child);
    const terminate = async (): Promise<number | null> => {
      child.kill("SIGTERM");
      const [code] = (await exited) as [number | null];
      return code;
    };
    return { url, terminate, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}
