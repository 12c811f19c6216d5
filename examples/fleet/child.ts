import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/** The path of a file that stands beside these. */
export function file(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

/** `toolruntime`, from this repository. */
export const program = file("../../src/cli/main.ts");

/** A program of this Node in a process of its own, which says on which address it listens. */
export class Child {
  readonly url: string;
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess, url: string) {
    this.#process = process;
    this.url = url;
  }

  static async start(args: readonly string[]): Promise<Child> {
    const child = spawn(process.execPath, args, {
      // Tools look for "node" on the search path of their node.
      env: { ...process.env, PATH: `${dirname(process.execPath)}:${process.env["PATH"] ?? ""}` },
      // Ctrl-C in the terminal is for whoever started the fleet, who ends the rest.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    return new Child(child, await listening(child));
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill(signal);
    await once(this.#process, "exit");
  }
}

function listening(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        text += chunk.toString();
        const url = /listening on (http:\/\/[^:\s]+:\d+)/.exec(text)?.[1];
        if (url !== undefined) resolve(url);
      });
    }
    child.once("exit", () => reject(new Error(`It ended before it listened: ${text}`)));
  });
}
