import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { Socket } from "node:net";
import { constants } from "node:os";
import type { Readable } from "node:stream";
import type { Exit } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import type { Pipe, PipePool } from "../../internal/node/pipe-pool.ts";
import type { ProcessSpec } from "./spec.ts";

/** A started process, with the launcher behind it or not yet. */
export interface StartedProcess {
  readonly pid: number;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Settles when the tool's own program has taken over; rejects where the launcher could not hand over. */
  readonly launched: Promise<void>;
  readonly exited: Promise<Exit>;
}

/** What a failed start means, by its errno. */
const startErrors: Readonly<Record<string, string>> = {
  EAGAIN: "the machine lets no further process be started; send it again later",
  ENOMEM: "the machine has no memory for a further process; send it again later",
  EMFILE: "the service has too many open files; raise its limit of open files",
  ENFILE: "the machine has too many open files; raise its limit of open files",
  ENOENT: "/bin/sh is missing; install it",
};

function startError(why: string, cause?: unknown): ToolRuntimeError {
  return new ToolRuntimeError("ERR_BACKEND_FAILED", `Cannot start the tool on backend "unsafe": ${why}`, { backend: "unsafe", cause });
}

function translate(error: Error): ToolRuntimeError {
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  return startError(startErrors[code] ?? `the start of a process failed with ${code === "" ? error.message : code}`, error);
}

function exitOf(code: number | null, signal: NodeJS.Signals | null): Exit {
  if (signal !== null) return { kind: "signalled", signal, number: constants.signals[signal] };
  return { kind: "exited", code: code ?? 0 };
}

async function whenLaunched(channel: Readable): Promise<void> {
  let failed = "";
  for await (const chunk of channel.setEncoding("utf8")) failed += String(chunk);
  if (failed !== "") throw startError(`its process could not take up "${failed.trim()}"`);
}

function closeAll(fds: readonly number[]): void {
  for (const fd of fds) closeSync(fd);
}

/** What the child gets at 0, 1 and 2, and what is read from it here. */
interface Ends {
  readonly child: readonly number[];
  readonly stdout: number;
  readonly stderr: number;
}

/**
 * stdin is a file: a program may open it again by name, and a named pipe that has been written and closed would have that
 * wait for ever.
 */
async function openEnds(stdin: string, pool: PipePool): Promise<Ends> {
  const open: number[] = [];
  const takePipe = async (): Promise<Pipe> => {
    const pipe = await pool.take();
    open.push(pipe.readEnd, pipe.writeEnd);
    return pipe;
  };
  try {
    open.push(openSync(stdin, "r"));
    const [input = -1] = open;
    const [stdout, stderr] = [await takePipe(), await takePipe()];
    return { child: [input, stdout.writeEnd, stderr.writeEnd], stdout: stdout.readEnd, stderr: stderr.readEnd };
  } catch (error) {
    closeAll(open);
    throw translate(error instanceof Error ? error : new Error(String(error)));
  }
}

/** The parent's side of a start: the streams, once the child has its own ends. */
function attach(child: ChildProcess, exited: Promise<Exit>, ends: Ends): StartedProcess {
  const channel = child.stdio[3];
  const { pid } = child;
  if (pid === undefined || channel === null || channel === undefined || !("setEncoding" in channel))
    throw startError("it has no process id");
  return {
    pid,
    stdout: new Socket({ fd: ends.stdout, readable: true, writable: false }),
    stderr: new Socket({ fd: ends.stderr, readable: true, writable: false }),
    launched: whenLaunched(channel),
    exited,
  };
}

/**
 * Starts the process in a session of its own.
 *
 * @throws `ERR_BACKEND_FAILED`.
 */
export async function startProcess(spec: ProcessSpec, pool: PipePool): Promise<StartedProcess> {
  const ends = await openEnds(spec.stdin, pool);
  try {
    const stdio = [...ends.child, "pipe" as const];
    const child = spawn(spec.program, spec.args, { cwd: spec.cwd, env: spec.env, stdio, detached: true });
    const exited = new Promise<Exit>((resolve, reject) => {
      child.once("exit", (code, signal) => resolve(exitOf(code, signal)));
      child.once("error", (error) => reject(translate(error)));
    });
    if (child.pid === undefined) await exited;
    return attach(child, exited, ends);
  } catch (error) {
    closeAll([ends.stdout, ends.stderr]);
    throw error instanceof Error && !(error instanceof ToolRuntimeError) ? translate(error) : error;
  } finally {
    closeAll(ends.child);
  }
}
