import { execFile, spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync, watch, type FSWatcher } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { Socket } from "node:net";
import { constants } from "node:os";
import { join } from "node:path";
import { ToolRuntimeError } from "../../errors.ts";
import type { Pipe, PipePool } from "../../internal/node/pipe-pool.ts";

export const platforms = ["systrap", "ptrace", "kvm"] as const;
export type Platform = (typeof platforms)[number];

export interface SandboxPlace {
  /** Unlike that of any sandbox of this host: runsc listens at a socket of this name that belongs to no folder. */
  readonly id: string;
  readonly runsc: string;
  readonly platform: Platform;
  /** The sandbox's own folder: its specification, its state, its logs, its input. */
  readonly folder: string;
  /** Whether what is written to the root file system is kept in the sandbox's memory; nothing may be written where it is not. */
  readonly rootOverlay: "none" | "memory";
}

export interface StartedSandbox {
  readonly stdout: Socket;
  readonly stderr: Socket;
  /** Settles when the tool's first process runs, or never. */
  readonly running: Promise<void>;
  /** 128 and the number of the signal where one has ended it. */
  readonly exited: Promise<number>;
}

/** runsc's words for a sandbox whose first process was started (runsc/container/status.go). */
const startedStates: ReadonlySet<unknown> = new Set(["running", "stopped"]);
const killTimeoutMs = 5000;
const statePollMs = 100;
/** Joins the cgroup whose file is the first argument, and becomes the program that the others are. */
const joinScript = 'echo 0 > "$1" && shift && exec "$@"';

/** One sandbox of runsc, attached: it ends with the `runsc run` that is its parent. What a killed service leaves is found by its cgroup. */
export class Sandbox {
  readonly #place: SandboxPlace;
  #child: ChildProcess | undefined;

  constructor(place: SandboxPlace) {
    this.#place = place;
  }

  get #state(): string {
    return join(this.#place.folder, "state");
  }

  /** Everything that is asked of each call of the program. */
  #settings(): string[] {
    const { platform, folder, rootOverlay } = this.#place;
    return [
      `--root=${this.#state}`,
      `--platform=${platform}`,
      // Threat: with any other, a tool has a network.
      "--network=none",
      `--overlay2=${rootOverlay === "none" ? "none" : "root:memory"}`,
      `--log=${join(folder, "log")}`,
      "--log-format=json",
      `--panic-log=${join(folder, "panic")}`,
    ];
  }

  async start({ spec, stdin, pipes, joining, settings = [] }: StartOptions): Promise<StartedSandbox> {
    const { folder, runsc, id } = this.#place;
    await mkdir(this.#state, { recursive: true, mode: 0o700 });
    const input = join(folder, "stdin");
    await Promise.all([
      writeFile(join(folder, "config.json"), JSON.stringify(spec), { mode: 0o600 }),
      writeFile(input, stdin, { mode: 0o400 }),
    ]);
    const ends = await openEnds(input, pipes);
    const running = this.#watchState();
    try {
      const args = [...this.#settings(), ...settings, "run", `--bundle=${folder}`, id];
      const [program, words] = joining === undefined ? [runsc, args] : ["/bin/sh", ["-c", joinScript, "sh", joining, runsc, ...args]];
      const child = spawn(program, words, { stdio: [...ends.child], env: {}, cwd: folder, detached: true });
      this.#child = child;
      const exited = new Promise<number>((resolve, reject) => {
        child.once("exit", (code, signal) => resolve(signal === null ? (code ?? 0) : 128 + constants.signals[signal]));
        child.once("error", (error) => reject(startError(error)));
      });
      void exited.catch(() => undefined).finally(() => running.stop());
      if (child.pid === undefined) await exited;
      return { stdout: readerOf(ends.stdout), stderr: readerOf(ends.stderr), running: running.seen, exited };
    } catch (error) {
      running.stop();
      for (const fd of [ends.stdout, ends.stderr]) closeSync(fd);
      throw error;
    } finally {
      for (const fd of ends.child) closeSync(fd);
    }
  }

  /** runsc says in its state file how far it is, and tells nobody. Looked at now and then too: the time of a run hangs on it. */
  #watchState(): { readonly seen: Promise<void>; stop(): void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = (): void => {
      if (!this.isRunning()) return;
      stop();
      resolve();
    };
    const timer = setInterval(look, statePollMs);
    const watcher = watchFolder(this.#state, look);
    const stop = (): void => {
      clearInterval(timer);
      watcher?.close();
    };
    return { seen: promise, stop };
  }

  /** Whether the first process has been started and the sandbox is there: with its end the state goes. */
  isRunning(): boolean {
    try {
      const file = readdirSync(this.#state).find((name) => name.endsWith(".state"));
      if (file === undefined) return false;
      const state: { readonly status?: unknown } = JSON.parse(readFileSync(join(this.#state, file), "utf8"));
      return startedStates.has(state.status);
    } catch {
      // It is being written.
      return false;
    }
  }

  /** Sends a signal to the first process. Settles when it is sent, or there is nobody to get it. */
  async signal(name: "SIGTERM"): Promise<void> {
    const args = [...this.#settings(), "kill", this.#place.id, String(constants.signals[name])];
    await new Promise<void>((resolve) => {
      execFile(this.#place.runsc, args, { timeout: killTimeoutMs, env: {} }, () => resolve());
    });
  }

  /** Ends the sandbox with its parent. */
  kill(): void {
    this.#child?.kill("SIGKILL");
  }

  /** What runsc says of its own failure, as the last of its errors; nothing where it had none. */
  failure(): string | undefined {
    const log = readText(join(this.#place.folder, "log"));
    if (log === undefined) return "runsc was not started";
    const lines = log.split(/(?<=\})\n?(?=\{)/);
    const errors = lines.flatMap((line) => {
      try {
        const entry: { readonly msg?: unknown; readonly level?: unknown } = JSON.parse(line);
        return entry.level === "error" || entry.level === "fatal" ? [String(entry.msg)] : [];
      } catch {
        return [];
      }
    });
    return errors.at(-1);
  }

  /** Whether the kernel of the sandbox has broken down. */
  hasPanicked(): boolean {
    return /^(?:panic|fatal error|SIG[A-Z]+):/m.test(readText(join(this.#place.folder, "panic")) ?? "");
  }

  async remove(): Promise<void> {
    await rm(this.#place.folder, { recursive: true, force: true });
  }
}

interface StartOptions {
  readonly spec: object;
  readonly stdin: Uint8Array;
  readonly pipes: PipePool;
  /** Of a cgroup that runsc does not join by itself: the file with its members. */
  readonly joining?: string | undefined;
  readonly settings?: readonly string[];
}

/** Nothing where the system lets no more folders be watched. */
function watchFolder(path: string, changed: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(path, changed);
    watcher.on("error", () => undefined);
    return watcher;
  } catch {
    return undefined;
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function startError(cause: unknown): ToolRuntimeError {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "the system refused it";
  const kind = code === "ENOENT" || code === "EACCES" ? "ERR_BACKEND_UNAVAILABLE" : "ERR_BACKEND_FAILED";
  return new ToolRuntimeError(kind, `Cannot start runsc on backend "gvisor": ${code}; install it, or name it as "runtimePath"`, {
    backend: "gvisor",
    cause,
  });
}

/** What the sandbox gets at 0, 1 and 2, and what is read from it here. */
interface Ends {
  readonly child: readonly number[];
  readonly stdout: number;
  readonly stderr: number;
}

async function openEnds(stdin: string, pool: PipePool): Promise<Ends> {
  const open: number[] = [];
  const takePipe = async (): Promise<Pipe> => {
    const pipe = await pool.take();
    open.push(pipe.readEnd, pipe.writeEnd);
    return pipe;
  };
  try {
    const input = openSync(stdin, "r");
    open.push(input);
    const [stdout, stderr] = [await takePipe(), await takePipe()];
    return { child: [input, stdout.writeEnd, stderr.writeEnd], stdout: stdout.readEnd, stderr: stderr.readEnd };
  } catch (cause) {
    for (const fd of open) closeSync(fd);
    throw new ToolRuntimeError(
      "ERR_BACKEND_FAILED",
      'Cannot make the streams of a run on backend "gvisor": the system refused it; raise the limit of open files, or install mkfifo(1)',
      { backend: "gvisor", cause },
    );
  }
}

function readerOf(fd: number): Socket {
  const socket = new Socket({ fd, readable: true, writable: false });
  socket.on("error", () => undefined);
  return socket;
}
