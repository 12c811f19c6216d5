import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, mkdirSync, openSync, unlinkSync } from "node:fs";
import { join } from "node:path";

/** Both ends of a pipe, as file descriptors that whoever took it closes. */
export interface Pipe {
  readonly readEnd: number;
  readonly writeEnd: number;
}

const batchSize = 48;

/**
 * Real pipes. What `child_process` calls a pipe is a socket, and a program cannot open one by name: `>/dev/stderr` and
 * `cat /dev/stdin` fail on it with ENXIO. Node has no call for a pipe, so that named ones are made by mkfifo(1), many at
 * once, opened and unlinked: from then on they are as good as nameless.
 */
export class PipePool {
  readonly #folder: string;
  readonly #ready: string[] = [];
  #making: Promise<void> | undefined;
  #made = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @throws where mkfifo(1) is missing or fails, or the process has too many open files. */
  async take(): Promise<Pipe> {
    return openPipe(await this.takePath());
  }

  /** A pipe by its name, for another process to open. Whoever took it opens and unlinks it. */
  async takePath(): Promise<string> {
    for (;;) {
      const path = this.#ready.pop();
      if (path !== undefined) return path;
      await this.fill();
    }
  }

  /** Makes pipes ahead of their use, where there are none. */
  async fill(): Promise<void> {
    if (this.#ready.length > 0) return;
    this.#making ??= this.#make().finally(() => (this.#making = undefined));
    await this.#making;
  }

  async #make(): Promise<void> {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const paths = Array.from({ length: batchSize }, () => join(this.#folder, String(this.#made++)));
    const child = spawn("mkfifo", ["-m", "600", ...paths], { stdio: "ignore", env: { PATH: "/usr/bin:/bin" } });
    const [code] = await once(child, "close").catch(() => ["no start"]);
    if (code !== 0) throw new Error(`mkfifo(1) is missing or cannot make pipes in "${this.#folder}" (${String(code)})`);
    this.#ready.push(...paths);
  }
}

function openPipe(path: string): Pipe {
  // An end alone waits for the other one to be opened; one that is both does not.
  const both = openSync(path, constants.O_RDWR);
  const ends: number[] = [];
  try {
    for (const flag of [constants.O_RDONLY, constants.O_WRONLY]) ends.push(openSync(path, flag));
    const [readEnd, writeEnd] = ends;
    if (readEnd === undefined || writeEnd === undefined) throw new Error("a pipe has two ends");
    return { readEnd, writeEnd };
  } catch (error) {
    for (const end of ends) closeSync(end);
    throw error;
  } finally {
    closeSync(both);
    unlinkSync(path);
  }
}
