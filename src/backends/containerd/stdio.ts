import { closeSync, constants, openSync, unlinkSync } from "node:fs";
import { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { ToolRuntimeError } from "../../errors.ts";
import type { PipePool } from "../../internal/node/pipe-pool.ts";

const readFlags = constants.O_RDONLY | constants.O_NONBLOCK;
const writeFlags = constants.O_WRONLY | constants.O_NONBLOCK;
/** How often it is looked whether the shim reads. */
const pollMs = 2;

/** Of one pipe, here. */
interface Ends {
  readonly read: number;
  readonly held: number;
}

function openEnds(path: string): Ends {
  const read = openSync(path, readFlags);
  try {
    return { read, held: openSync(path, writeFlags) };
  } catch (error) {
    closeSync(read);
    throw error;
  }
}

function readerOf(fd: number): Socket {
  const socket = new Socket({ fd, readable: true, writable: false });
  socket.on("error", () => undefined);
  return socket;
}

/**
 * The named pipes between a task's shim and this process. The shim copies from and to the tool's own pipes, and closes its ends when
 * all that it had is copied: the end of stdout and stderr here is the last byte of the tool.
 */
export class TaskStdio {
  /** Empty where nothing is sent: the tool's stdin is at its end from the start. */
  readonly stdinPath: string;
  readonly stdoutPath: string;
  readonly stderrPath: string;
  readonly stdout: Socket;
  readonly stderr: Socket;
  /** Until the shim has its own ends open these keep a reader from seeing the end. */
  readonly #held: number[];
  readonly #closing = new AbortController();

  private constructor([stdout = "", stderr = "", stdin = ""]: readonly string[], ends: readonly Ends[]) {
    this.stdinPath = stdin;
    this.stdoutPath = stdout;
    this.stderrPath = stderr;
    [this.stdout = new Socket(), this.stderr = new Socket()] = ends.map(({ read }) => readerOf(read));
    this.#held = ends.map(({ held }) => held);
  }

  /** @throws `ERR_BACKEND_FAILED` where no more files can be opened. */
  static async open(pool: PipePool, hasStdin: boolean): Promise<TaskStdio> {
    const paths: string[] = [];
    const ends: Ends[] = [];
    try {
      for (let count = hasStdin ? 3 : 2; count > 0; count--) paths.push(await pool.takePath());
      for (const path of paths.slice(0, 2)) ends.push(openEnds(path));
      return new TaskStdio(paths, ends);
    } catch (cause) {
      for (const { read, held } of ends) for (const fd of [read, held]) closeSync(fd);
      for (const path of paths) unlinkSync(path);
      throw new ToolRuntimeError(
        "ERR_BACKEND_FAILED",
        'Cannot make the streams of a run on backend "containerd": the system refused it; raise the limit of open files, or install mkfifo(1)',
        { backend: "containerd", cause },
      );
    }
  }

  /** To be called when the task is made: the shim has all of it open then. */
  release(): void {
    for (const fd of this.#held.splice(0)) closeSync(fd);
  }

  /**
   * Writes stdin. Settles when the pipe has all of it, or nobody reads it any more; the daemon is to be told then that this was all,
   * since the shim holds an end for writing too.
   */
  async send(bytes: Uint8Array): Promise<void> {
    const fd = await this.#openForWriting();
    if (fd === undefined) return;
    const socket = new Socket({ fd, readable: false, writable: true });
    await new Promise<void>((resolve) => {
      socket.once("error", () => resolve());
      this.#closing.signal.addEventListener("abort", () => resolve(), { once: true });
      socket.write(bytes, () => resolve());
    });
    socket.on("error", () => undefined);
    socket.destroy();
  }

  /** Nothing is written before somebody reads: what is in a pipe is lost when its last end is closed. */
  async #openForWriting(): Promise<number | undefined> {
    while (!this.#closing.signal.aborted) {
      try {
        return openSync(this.stdinPath, writeFlags);
      } catch (error) {
        if (!(error instanceof Error && "code" in error && error.code === "ENXIO")) throw error;
      }
      await sleep(pollMs);
    }
    return undefined;
  }

  close(): void {
    this.#closing.abort();
    this.release();
    for (const socket of [this.stdout, this.stderr]) socket.destroy();
    for (const path of [this.stdinPath, this.stdoutPath, this.stderrPath]) if (path !== "") unlinkSync(path);
  }
}
