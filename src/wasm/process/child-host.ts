import type { ReadyArtifact } from "../artifact.ts";
import { compileArtifact } from "../compile.ts";
import { MemoryPool } from "../memory-pool.ts";
import { allAbis } from "../abi/all.ts";
import { readyArtifact } from "../abi/runner.ts";
import { runArtifact } from "../run-artifact.ts";
import { Turns } from "../turns.ts";
import { frameKinds, type Frame } from "../wire/frames.ts";
import { endError, GuestIo, sendFailed, type SendFrame } from "../wire/guest-io.ts";
import type { AckMessage, EndMessage, RunMessage } from "../wire/messages.ts";
import type { Channel } from "./channel.ts";
import { unpackMade } from "./made-payload.ts";
import type { BindMessage } from "./protocol.ts";
import type { MemoryFile } from "../run-types.ts";

/** One run at a time needs few memories that wait for the next. */
const maxPoolBytes = 16 * 2 ** 20;
/** For one module. */
const maxCompileMs = 10_000;

interface Bound {
  readonly ready: ReadyArtifact;
  readonly tool: string;
}

/** What a child does: takes one tool for good, and runs it as often as it is told, one run at a time. */
export class ChildHost {
  readonly #channel: Channel;
  readonly #turns = new Turns();
  #bound: Bound | undefined;
  #current: GuestIo | undefined;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Whoever sends waits for an answer, so that nothing is asked twice; runs and bindings go on beside the reading. */
  take(frame: Frame): void {
    if (frame.kind === frameKinds.ack) this.#current?.acked(JSON.parse(frame.json) as AckMessage);
    if (frame.kind === frameKinds.end) this.#current?.end(endError(JSON.parse(frame.json) as EndMessage));
    if (frame.kind === frameKinds.bind) void this.#answer(frame, this.#bind(frame));
    if (frame.kind === frameKinds.run) void this.#answer(frame, this.#run(frame));
  }

  async #answer({ run }: Frame, work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      sendFailed(this.#sender(run), error);
    }
  }

  #sender(run: number): SendFrame {
    return (kind, parts) => void this.#channel.send(kind, run, parts);
  }

  async #bind({ json, payload, run }: Frame): Promise<void> {
    const { tool, made } = JSON.parse(json) as BindMessage;
    const compiled = await compileArtifact(unpackMade(made, payload), { tool, maxCompileMs });
    const parts = { tool, pool: new MemoryPool(maxPoolBytes) };
    this.#bound = { ready: readyArtifact(allAbis(), compiled, parts), tool };
    // From here on the guest's code runs: whatever it breaks out into finds no file.
    dropPermissions();
    this.#channel.send(frameKinds.bound, run);
  }

  async #run(frame: Frame): Promise<void> {
    if (this.#bound === undefined) throw new Error("there is no tool to run");
    const { ready, tool } = this.#bound;
    const message = JSON.parse(frame.json) as RunMessage;
    const { plan } = message;
    const io = new GuestIo(this.#sender(frame.run), frame, message);
    const before = process.cpuUsage();
    this.#current = io;
    try {
      // Nobody else waits for this event loop, and what ends the process ends what cannot be suspended.
      const turns = this.#turns;
      const report = await runArtifact(ready, { tool, plan, io, turns, inlineMs: Number.POSITIVE_INFINITY });
      const { exit, readings, limitHit, files } = report;
      await this.#sendFiles(frame.run, files);
      const { user, system } = process.cpuUsage(before);
      const cpuMs = (user + system) / 1000;
      this.#channel.send(frameKinds.done, frame.run, { json: { exit, readings, cpuMs, ...(limitHit === undefined ? {} : { limitHit }) } });
    } finally {
      this.#current = undefined;
    }
  }

  async #sendFiles(run: number, files: readonly MemoryFile[]): Promise<void> {
    for (const { path, bytes } of files) {
      if (!this.#channel.send(frameKinds.file, run, { json: { path }, payload: bytes })) await this.#channel.drained();
    }
  }
}

/** For good. Not every Node that has the permission model can. */
function dropPermissions(): void {
  const permission: object | undefined = process.permission;
  if (permission === undefined || !("drop" in permission) || typeof permission.drop !== "function") return;
  permission.drop("fs.read");
}
