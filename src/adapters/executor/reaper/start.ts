import { spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Log } from "../../../edge/index.ts";
import { closerArgv, findCloser } from "../../../internal/node/fd-closer.ts";
import { inheritedFds } from "../../../internal/node/inherited-fds.ts";
import { currentOwner, formatOwner } from "../../../internal/node/process-owner.ts";
import type { ServiceConfig } from "../config/schema.ts";
import { farewell, reapedBackends, type Mission } from "./mission.ts";

const shell = "/bin/sh";
/**
 * Waits in a megabyte of memory, where Node would take fifty: only when the pipe ends without the word does Node take the shell's place.
 */
const waiting = `IFS= read -r word
[ "$word" = ${farewell} ] && exit 0
exec "$@"`;
const closeTimeoutMs = 1000;
/** How long after an end of its own another one is started. */
const againMs = 10_000;

export interface ReaperOptions {
  readonly config: Pick<ServiceConfig, "backends" | "security" | "log" | "reaper" | "state">;
  readonly log: Log;
  /** Whether the log of the service is on stderr. */
  readonly logsToStderr: boolean;
}

/** A process that outlives this one where that is killed, and then removes what its backends have left. */
export interface Reaper {
  /** Tells it that nothing is left, and waits for its end. */
  close(): Promise<void>;
}

/** Starts one; nothing where no backend needs it, or the operator wants none. */
export async function startReaper({ config, log, logsToStderr }: ReaperOptions): Promise<Reaper | undefined> {
  const backends = reapedBackends(config);
  if (!config.reaper || process.platform !== "linux" || Object.keys(backends).length === 0) return undefined;
  const { level } = config.log;
  const says = {
    removed: logsToStderr && level !== "error" && level !== "silent",
    problems: logsToStderr && level !== "silent",
  };
  // What the service was given open is not for a process that outlives it.
  const fds = inheritedFds();
  const closing = fds.length === 0 ? undefined : await findCloser(fds);
  const argv = argvOf({ owner: formatOwner(currentOwner()), backends, stateFolder: config.state && resolve(config.state.folder), says });
  return new PipeReaper({ argv: closing === undefined ? argv : [...closerArgv(closing), ...argv], hasStderr: says.problems }, log);
}

function argvOf(mission: Mission): string[] {
  const program = new URL(import.meta.url.endsWith(".ts") ? "./program.ts" : "./program.js", import.meta.url);
  const argv = [process.execPath, fileURLToPath(program), JSON.stringify(mission)];
  return existsSync(shell) ? [shell, "-c", waiting, "toolruntime-reaper", ...argv] : argv;
}

interface ReaperSpec {
  readonly argv: readonly string[];
  readonly hasStderr: boolean;
}

class PipeReaper implements Reaper {
  readonly #spec: ReaperSpec;
  readonly #log: Log;
  #child: ChildProcess | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  constructor(spec: ReaperSpec, log: Log) {
    this.#spec = spec;
    this.#log = log;
    this.#start();
  }

  #start(): void {
    const child = spawnReaper(this.#spec);
    this.#child = child;
    child.once("error", (error) => this.#lost(error.message));
    child.once("exit", (code, signal) => this.#lost(signal ?? `exit code ${code}`));
  }

  #lost(why: string): void {
    if (this.#isClosed || this.#child === undefined) return;
    this.#child = undefined;
    this.#log.warn({ why }, "the process that would clean up after a kill of this service has ended; another one is started");
    this.#timer = setTimeout(() => this.#start(), againMs);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.ref();
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    const timer = setTimeout(() => child.kill("SIGKILL"), closeTimeoutMs);
    child.stdin?.end(`${farewell}\n`);
    await ended;
    clearTimeout(timer);
  }
}

function spawnReaper({ argv, hasStderr }: ReaperSpec): ChildProcess {
  const [program = "", ...args] = argv;
  const { TMPDIR } = process.env;
  const child = spawn(program, args, {
    // A session of its own: Ctrl-C on the service's terminal is not meant for it.
    detached: true,
    cwd: "/",
    // The folders that backends take by default are in it.
    env: TMPDIR === undefined ? {} : { TMPDIR },
    stdio: ["pipe", "ignore", hasStderr ? "inherit" : "ignore"],
  });
  // It may be gone when the word is written.
  child.stdin?.on("error", () => undefined);
  child.unref();
  if (child.stdin !== null && "unref" in child.stdin && typeof child.stdin.unref === "function") child.stdin.unref();
  return child;
}
