import type { OutputFile, Plan } from "../../backend.ts";
import { toToolRuntimeError, ToolRuntimeError, type ErrorCode } from "../../errors.ts";
import type { Tool } from "../../tool.ts";
import type { ComponentTranspiler } from "../component/transpiler.ts";
import { InlineDriver, inlineOptions } from "../inline-driver.ts";
import type { Channel } from "./channel.ts";
import { ChildIo } from "./child-io.ts";
import { frameKinds, type Frame } from "./frames.ts";
import type { AckMessage, BindMessage, EndMessage, RunMessage, ToolFacts } from "./protocol.ts";

/** One run at a time needs few memories that wait for the next. */
const maxPoolBytes = 16 * 2 ** 20;

interface Bound {
  readonly driver: InlineDriver;
  readonly tool: Tool;
}

/** What a child does: takes one tool for good, and runs it as often as it is told, one run at a time. */
export class ChildHost {
  readonly #channel: Channel;
  #bound: Bound | undefined;
  #current: ChildIo | undefined;

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
      const { code, message, details } = toToolRuntimeError(error);
      this.#channel.send(frameKinds.failed, run, { json: { code, message: message.slice(0, 5000), details: plain(details) } });
    }
  }

  async #bind({ json, payload, run }: Frame): Promise<void> {
    const { plan, tool: facts, maxArtifactBytes, components } = JSON.parse(json) as BindMessage;
    const transpiler = components === undefined ? undefined : await loadTranspiler(components);
    // Nobody else waits for this event loop, and what ends the process ends what cannot be suspended.
    const driver = new InlineDriver(
      inlineOptions({ maxArtifactBytes, maxPoolBytes, maxInlineMs: Number.POSITIVE_INFINITY, components: transpiler }),
    );
    const tool = toolOf(facts, payload);
    await driver.prepare({ ...plan, tool });
    this.#bound = { driver, tool };
    // From here on the guest's code runs: whatever it breaks out into finds no file.
    dropPermissions();
    this.#channel.send(frameKinds.bound, run);
  }

  async #run(frame: Frame): Promise<void> {
    if (this.#bound === undefined) throw new Error("there is no tool to run");
    const { driver, tool } = this.#bound;
    const message = JSON.parse(frame.json) as RunMessage;
    const plan: Plan = { ...message.plan, tool };
    const io = new ChildIo(this.#channel, frame, message);
    const before = process.cpuUsage();
    this.#current = io;
    try {
      const { exit, readings, limitHit, files } = await driver.run(plan, io);
      await this.#sendFiles(frame.run, files);
      const { user, system } = process.cpuUsage(before);
      const cpuMs = (user + system) / 1000;
      this.#channel.send(frameKinds.done, frame.run, { json: { exit, readings, cpuMs, ...(limitHit === undefined ? {} : { limitHit }) } });
    } finally {
      this.#current = undefined;
    }
  }

  async #sendFiles(run: number, files: readonly OutputFile[]): Promise<void> {
    for (const { path, bytes } of files) {
      if (!this.#channel.send(frameKinds.file, run, { json: { path }, payload: bytes })) await this.#channel.drained();
    }
  }
}

function endError({ code }: EndMessage): ToolRuntimeError {
  return new ToolRuntimeError(code as ErrorCode, "Cannot go on: the service ended the run", { started: true });
}

/** For good. Not every Node that has the permission model can. */
function dropPermissions(): void {
  const permission: object | undefined = process.permission;
  if (permission === undefined || !("drop" in permission) || typeof permission.drop !== "function") return;
  for (const scope of ["fs.read", "worker", "addon"]) permission.drop(scope);
}

/** What the details have that JSON has no word for, such as an infinite number, stands as text. */
function plain(details: Readonly<Record<string, unknown>>): object {
  const text = JSON.stringify(details, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value));
  return JSON.parse(text) as object;
}

/** The tool as the engine needs it: inputs and outputs are checked where the task came from. */
function toolOf(facts: ToolFacts, wasm: Uint8Array): Tool {
  return { ...facts, sources: { wasm }, checkInput: () => undefined };
}

async function loadTranspiler(url: string): Promise<ComponentTranspiler> {
  const module: { readonly jcoTranspiler?: () => ComponentTranspiler } = await import(url);
  if (module.jcoTranspiler !== undefined) return module.jcoTranspiler();
  throw new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot take components: the module ${JSON.stringify(url)} exports no jcoTranspiler`);
}
