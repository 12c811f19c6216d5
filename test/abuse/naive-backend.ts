import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, writeFile } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import type { Backend, Capability } from "../../src/index.ts";

const isolating: Capability = {
  artifact: "command",
  profiles: ["dev"],
  isolation: "container",
  limits: { timeout: { by: "naive" }, processes: { by: "naive" }, memory: { by: "naive" } },
  network: "none",
};

export interface NaiveOptions {
  readonly scratch: string;
  /** A descriptor that the tool inherits. */
  readonly leakedFd: number;
}

/**
 * Runs a command as one would who has not thought of abuse, and claims to isolate: the service's environment, an open
 * descriptor, only the main process killed, the working folder kept.
 */
export function naive({ scratch, leakedFd }: NaiveOptions): Backend {
  return {
    name: "naive",
    probe: async () => ({ status: "ready", capabilities: [isolating], validForMs: 60_000 }),
    prepare: () => undefined,
    async run(plan, io) {
      const cwd = await mkdtemp(join(scratch, "run-"));
      await writeFile(join(cwd, "kept"), "");
      const [program = "", ...args] = plan.tool.manifest.artifacts.command?.argv ?? [];
      const resolved = args.map((arg) => (arg.startsWith("./") ? join(plan.tool.sources.folder ?? "", arg) : arg));
      const child = spawn(program, resolved, { cwd, env: { ...process.env, ...io.env }, stdio: ["pipe", "pipe", "pipe", leakedFd] });
      io.started();
      io.signal.addEventListener("abort", () => child.kill("SIGKILL"));
      const { stdin, stdout, stderr } = child;
      stdin?.on("error", () => undefined).end(io.stdin);
      const take = (give: (bytes: Uint8Array) => unknown) => (chunk: Buffer) => {
        try {
          void give(new Uint8Array(chunk));
        } catch {
          child.kill("SIGKILL");
        }
      };
      stdout?.on(
        "data",
        take((bytes) => io.stdout(bytes)),
      );
      stderr?.on(
        "data",
        take((bytes) => io.stderr(bytes)),
      );
      const [code, signal] = await once(child, "exit");
      await new Promise((resolve) => setTimeout(resolve, 50));
      const exit = typeof signal === "string" ? signalled(signal) : ({ kind: "exited", code: Number(code) } as const);
      return { exit, readings: [] };
    },
    leftovers: async () => [],
    reap: async () => ({ removed: [] }),
    close: async () => undefined,
  };
}

function signalled(signal: string) {
  const number = Object.entries(constants.signals).find(([name]) => name === signal)?.[1] ?? 0;
  return { kind: "signalled", signal, number } as const;
}
