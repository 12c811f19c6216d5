import type { ErrorCode, ToolRuntimeError } from "../errors.ts";
import type { Limit, LimitReceipt } from "../limits.ts";
import { profiles, type SecurityProfile } from "../profile.ts";
import type { Call, ExecutionEvent, Result, Runtime, RuntimeOptions, Task } from "../runtime.ts";
import { memoryBlobStore } from "../store.ts";
import type { Tool } from "../tool.ts";
import { check, fail, rejection, within } from "./assert.ts";
import type { Facts } from "./case.ts";
import { defineProbe, type Guests, type ProbeAction, type ProbeManifest } from "./probe.ts";

/** What a runtime under test is opened with: all the options of a runtime but its backend. */
export type OpenOptions = Omit<RuntimeOptions, "backend">;

/** A file outside of the sandbox that a guest writes to, if it can: the sign that it still lives. */
export interface Trace {
  /** As the guest names it. */
  readonly path: string;
  /** How many bytes there are. */
  size(): Promise<number>;
}

/** What the suite is given to test. */
export interface ConformanceOptions {
  /** How tests and reports call it. */
  readonly name: string;
  /** Opens a runtime with these options. The suite closes it; its backend, which may serve many, is the harness's to close. */
  readonly open: (options: OpenOptions) => Runtime | Promise<Runtime>;
  readonly guests: Guests;
  /** The profile to test under. Default `"dev"`. */
  readonly profile?: SecurityProfile;
  /** A variable that stands in the host's environment and must not reach a tool. */
  readonly canary?: { readonly name: string; readonly value: string };
  /** Variables that the backend's own sandbox sets, such as an image's `PATH`. */
  readonly ambientEnv?: readonly string[];
  /** Gives a new, empty trace file, where guests of this backend can reach one. */
  readonly trace?: () => Promise<Trace>;
  /**
   * What a tool may have written while nobody takes it, in bytes, where more than pipes stands between: a network's buffers.
   * Default 1 MiB.
   */
  readonly maxHeldBytes?: number;
  /** How late an event may come, in ms, where a network stands between. Default 0. */
  readonly eventDelayMs?: number;
  /** How long a run that was ended may take to settle, in ms. Default: the profile's grace and two seconds. */
  readonly promptMs?: number;
}

/** What a case wants besides the probe's input. */
export interface RunSettings {
  readonly runtime?: Runtime;
  readonly options?: OpenOptions;
  readonly manifest?: ProbeManifest;
  readonly tool?: Task["tool"];
  readonly task?: Omit<Task, "tool">;
  readonly call?: Call;
}

/** What one case works with: opens runtimes, runs the probe on them, and closes all at the end. */
export class Bench {
  readonly facts: Facts;
  readonly settings: ConformanceOptions;
  readonly blobs = memoryBlobStore();
  readonly promptMs: number;
  readonly #opened: Runtime[] = [];

  constructor(settings: ConformanceOptions, facts: Facts) {
    this.settings = settings;
    this.facts = facts;
    this.promptMs = settings.promptMs ?? profiles[facts.profile].graceMs + 2000;
  }

  async open(options: OpenOptions = {}): Promise<Runtime> {
    const runtime = await this.settings.open({ security: this.facts.profile, blobs: this.blobs, ...options });
    this.#opened.push(runtime);
    return runtime;
  }

  tool(manifest: ProbeManifest = {}): Promise<Tool> {
    return defineProbe(this.settings.guests, manifest);
  }

  /** Runs the probe once. Input that is `undefined` is not given at all. */
  async run(input: ProbeAction | undefined, settings: RunSettings = {}): Promise<Result> {
    const runtime = settings.runtime ?? (await this.open(settings.options));
    const tool = settings.tool ?? (await this.tool(settings.manifest));
    return runtime.execute({ tool, ...(input === undefined ? {} : { input }), ...settings.task }, settings.call ?? {});
  }

  /** Runs the probe and wants a result with exit code 0. */
  async succeed(input: ProbeAction | undefined, settings: RunSettings = {}): Promise<Result> {
    const result = await this.run(input, settings);
    check(
      result.exitCode === 0,
      `the probe ended with exit code ${result.exitCode}; its stderr is ${JSON.stringify(result.stderr.slice(0, 300))}`,
    );
    return result;
  }

  /** Runs the probe and wants a refusal: an error before anything starts, and no event. */
  async refuse(
    code: ErrorCode | readonly ErrorCode[],
    input: ProbeAction | undefined,
    settings: RunSettings = {},
  ): Promise<ToolRuntimeError> {
    const events = new EventLog();
    const call = { ...settings.call, onEvent: events.listener };
    const work = rejection(this.run(input, { ...settings, call }), { code, started: false });
    const error = await within(this.promptMs + 2000, "the refusal", work);
    check(events.events.length === 0, `the run was refused with ${error.code} after ${events.events.length} events`);
    return error;
  }

  /** Runs the probe and wants it ended after it has started, in time. */
  async ended(
    code: ErrorCode | readonly ErrorCode[],
    input: ProbeAction,
    settings: RunSettings & { readonly afterMs?: number } = {},
  ): Promise<ToolRuntimeError> {
    const runtime = settings.runtime ?? (await this.open(settings.options));
    const work = rejection(this.run(input, { ...settings, runtime }), { code, started: true });
    // Two seconds more for the start of the guest.
    return within((settings.afterMs ?? 0) + this.promptMs + 2000, "the run", work);
  }

  async trace(): Promise<Trace> {
    return (await this.settings.trace?.()) ?? fail("the harness gives no trace");
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#opened.map((runtime) => runtime.close()));
  }
}

/** Takes down the events of one run. */
export class EventLog {
  readonly events: ExecutionEvent[] = [];
  readonly listener = (event: ExecutionEvent): void => {
    this.events.push(event);
  };

  bytes(stream: "stdout" | "stderr"): Uint8Array {
    return joinBytes(this.events.flatMap((event) => (event.type === stream ? [event.bytes] : [])));
  }
}

export function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((size, { length }) => size + length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** The one receipt of a limit. */
export function receiptOf(limits: readonly LimitReceipt[] | undefined, limit: Limit): LimitReceipt {
  const found = (limits ?? []).filter((receipt) => receipt.limit === limit);
  const [receipt] = found;
  if (receipt === undefined || found.length > 1) fail(`there are ${found.length} receipts for "${limit}", expected one`);
  return receipt;
}

/** A value for a limit that the backend declares: this one, moved into the declared bounds. */
export function valueWithin({ capability }: Facts, limit: Limit, wanted: number): number {
  const { min = 0, max = Number.POSITIVE_INFINITY } = capability.limits[limit] ?? {};
  return Math.min(Math.max(wanted, min), max);
}

/** The most output that the profile lets a task ask for, up to what is wanted. */
export function outputWithin(profile: SecurityProfile, wanted: number): number {
  const { defaults, maximumFactor } = profiles[profile];
  return Math.min(wanted, (defaults.output ?? wanted) * maximumFactor);
}
