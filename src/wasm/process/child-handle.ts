import { spawn, type ChildProcess } from "node:child_process";
import { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { ToolRuntimeError } from "../../errors.ts";
import type { Cgroup } from "../../internal/node/cgroup.ts";
import { signalProcess } from "../../internal/node/signal-process.ts";
import { frameKinds, ProtocolError, type Frame, type FrameKind } from "../wire/frames.ts";
import { Channel } from "./channel.ts";
import { channelFd, childBounds } from "./protocol.ts";
import type { ChildLimits } from "./readings.ts";
import type { ChildShape, ChildSpec } from "./spec.ts";
import { UsageReader, type ProcessUsage } from "./usage.ts";

interface ChildParts {
  readonly name: string;
  readonly spec: ChildSpec;
  readonly shape: ChildShape;
  readonly cgroup: Cgroup | undefined;
}

/** How a child came to its end. */
export interface Ending {
  readonly why: string;
  /** What it wrote to stderr, for whoever looks into it. Its own words: never part of a message. */
  readonly cause: Error | undefined;
  readonly usage: ProcessUsage;
  /** Whether it was not the service that ended it. */
  readonly isLost: boolean;
}

/** Whoever speaks with a child at the moment. */
export interface Listener {
  /** What the child says. While this is busy nothing more is read from it. @throws ProtocolError. */
  take(frame: Frame): void | Promise<void>;
  /** The child is gone, and everything of it. */
  lost(ending: Ending): void;
}

const startTimeoutMs = 15_000;
/** How long the kernel may take to end a process that got SIGKILL. */
const killTimeoutMs = 5000;
const removeTimeoutMs = 2000;
/** What a child that ended by itself had sent before arrives within this time. */
const lastWordsMs = 200;
const stuckState = `it is there ${killTimeoutMs} ms after SIGKILL; look for processes in state D`;
const keptStderrBytes = 4096;
/** The engine prints a report when it gives up, and nothing else ever. */
const maxStderrBytes = 256 * 1024;

/** The service's view of one child process. */
export class ChildHandle {
  readonly name: string;
  readonly shape: ChildShape;
  readonly cgroup: Cgroup | undefined;
  readonly pid: number;
  readonly usage: UsageReader;
  /** What it is bound to for good; see `pool.ts`. */
  key: string | undefined;
  /** What its cgroup holds since it is bound. */
  limits: ChildLimits = {};
  /** What its files may still have; raised for each run by whoever takes them. */
  fileBytes = 0;
  /** Settles when it has said that it is there. */
  readonly ready: Promise<void>;
  /** Settles when the process has ended and its cgroup is removed. */
  readonly gone: Promise<Ending>;
  readonly #process: ChildProcess;
  readonly #channel: Channel;
  readonly #socket: Socket;
  readonly #read: Promise<void>;
  readonly #exited: Promise<string>;
  #listener: Listener | undefined;
  #stderr = "";
  #stderrBytes = 0;
  readonly #killed = Promise.withResolvers<void>();
  #isKilled = false;
  #broken: string | undefined;
  #lastUsage: ProcessUsage | undefined;
  #ending: Ending | undefined;
  #lastRun = 0;

  /** @throws what `spawn` throws; a start that fails later shows in `ready`. */
  constructor({ name, spec, shape, cgroup }: ChildParts) {
    this.name = name;
    this.shape = shape;
    this.cgroup = cgroup;
    const stdio = ["ignore", "ignore", "pipe", "pipe"] as const;
    this.#process = spawn(spec.program, spec.args, { cwd: "/", env: {}, stdio: [...stdio], detached: true, windowsHide: true });
    this.#exited = whenExited(this.#process);
    this.pid = this.#process.pid ?? 0;
    this.usage = new UsageReader(this.pid, cgroup);
    const socket = this.#process.stdio[channelFd];
    this.#socket = socket instanceof Socket ? socket : new Socket();
    this.#channel = new Channel(this.#socket, (kind) => childBounds(kind, this.fileBytes));
    this.#process.stderr?.on("data", (chunk: Buffer) => this.#takeStderr(chunk));
    this.ready = this.#greet();
    this.ready.catch(() => undefined);
    this.#read = this.#readAll();
    this.gone = this.#end();
  }

  /** Keeps the service's process alive while it waits for the child. */
  hold(): void {
    this.#process.ref();
    this.#socket.ref();
  }

  /** An idle child does not keep the service's process from ending. */
  relax(): void {
    this.#process.unref();
    this.#socket.unref();
    if (this.#process.stderr instanceof Socket) this.#process.stderr.unref();
  }

  get isAlive(): boolean {
    return !this.#isKilled && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  nextRun(): number {
    return ++this.#lastRun;
  }

  listen(listener: Listener | undefined): void {
    this.#listener = listener;
    const ending = this.#ending;
    if (ending !== undefined && listener !== undefined) queueMicrotask(() => listener.lost(ending));
  }

  send(kind: FrameKind, run: number, parts: { readonly json?: object; readonly payload?: Uint8Array } = {}): void {
    this.#channel.send(kind, run, parts);
  }

  /** Ends it by SIGKILL, with whatever it may have started, and waits until it is gone. */
  kill(): Promise<Ending> {
    if (this.isAlive) {
      this.#isKilled = true;
      this.hold();
      // The process's own counters go with it.
      this.#lastUsage = this.usage.read();
      signalProcess(-this.pid, "SIGKILL");
      this.#process.kill("SIGKILL");
      this.#killed.resolve();
    }
    return this.gone;
  }

  #greet(): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#break(`it did not answer within ${startTimeoutMs} ms`), startTimeoutMs);
      timer.unref();
      this.#listener = {
        take: ({ kind }) => {
          if (kind !== frameKinds.ready) throw new ProtocolError("it did not begin with its greeting");
          clearTimeout(timer);
          this.#listener = undefined;
          resolve();
        },
        lost: (ending) => {
          clearTimeout(timer);
          reject(childError("start a process for tools", ending, false));
        },
      };
    });
  }

  async #readAll(): Promise<void> {
    try {
      await this.#channel.read((frame) => {
        if (this.#listener === undefined) throw new ProtocolError("it spoke without being asked");
        return this.#listener.take(frame);
      });
    } catch (error) {
      if (error instanceof ProtocolError) this.#break(`it broke the protocol: ${error.message}`);
    }
  }

  #break(why: string): void {
    this.#broken ??= why;
    void this.kill();
  }

  #takeStderr(chunk: Buffer): void {
    this.#stderrBytes += chunk.length;
    if (this.#stderr.length < keptStderrBytes) this.#stderr += chunk.toString("latin1").slice(0, keptStderrBytes - this.#stderr.length);
    if (this.#stderrBytes > maxStderrBytes) this.#break("it floods its stderr");
  }

  async #end(): Promise<Ending> {
    // A channel that is closed makes the child useless, whether the process is still there or not.
    void this.#read.then(() => sleep(lastWordsMs, undefined, { ref: false })).then(() => this.kill());
    const late = this.#killed.promise.then(() => sleep(killTimeoutMs, stuckState, { ref: false }));
    const exited = await Promise.race([this.#exited, late]);
    const isLost = !this.#isKilled;
    if (isLost) await Promise.race([this.#read, sleep(lastWordsMs)]);
    this.#isKilled = true;
    if (this.cgroup !== undefined) this.#lastUsage = this.usage.read();
    this.usage.close();
    const isRemoved =
      this.cgroup === undefined || ((await this.cgroup.kill(removeTimeoutMs)) && (await this.cgroup.remove(removeTimeoutMs)));
    this.#channel.close();
    this.#process.stderr?.destroy();
    const ending: Ending = {
      why: `${this.#broken ?? exited}${isRemoved ? "" : "; its cgroup could not be removed"}`,
      usage: this.#lastUsage ?? { memoryKills: 0 },
      isLost,
      cause: this.#stderr === "" ? undefined : new Error(this.#stderr),
    };
    this.#ending = ending;
    this.#listener?.lost(ending);
    return ending;
  }
}

function whenExited(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once("exit", (code, signal) => resolve(signal === null ? `it ended with exit code ${code}` : `it was ended by ${signal}`));
    child.once("error", (error) => resolve(`it could not be started (${"code" in error ? String(error.code) : error.message})`));
  });
}

/** @param what begins a sentence: `run the tool` */
export function childError(what: string, { why, cause, isLost }: Ending, started: boolean): ToolRuntimeError {
  const details = { process: isLost ? "lost" : "ended" };
  return new ToolRuntimeError("ERR_BACKEND_FAILED", `Cannot ${what} on backend "wasm": its process failed, ${why}`, {
    started,
    details,
    cause,
  });
}
