import { type Backend, type Capability, type Exit, type InputFile, type Plan, type Probe, type RunReport } from "./backend.ts";
import { ToolRuntimeError, toToolRuntimeError } from "./errors.ts";
import { decodeText } from "./internal/capture.ts";
import { sha256, type Digest } from "./internal/digest.ts";
import { Execution, exitCodeOf, limitError } from "./internal/execution.ts";
import { Gate, type Concurrency } from "./internal/gate.ts";
import { collectFiles, resolveEnv, storeOutputs } from "./internal/inputs.ts";
import { canonicalJson, encodeJson, parseJson } from "./internal/json.ts";
import { chooseCapability, negotiateLimits } from "./internal/negotiate.ts";
import {
  parseQuantity,
  parseResources,
  type Limit,
  type LimitReceipt,
  type LimitValues,
  type PlannedLimit,
  type Quantity,
  type Resources,
} from "./limits.ts";
import { assertProfile, profiles, stricter, type Isolation, type SecurityProfile } from "./profile.ts";
import type { Registry } from "./registry.ts";
import { memoryBlobStore, type BlobStore } from "./store.ts";
import { isTool, type ArtifactKind, type Tool, type ToolRef } from "./tool.ts";

export type { Concurrency } from "./internal/gate.ts";

/** One file for the tool: bytes, text, a blob, a stream, or the digest of a blob in the runtime's store. */
export type FileInput = Uint8Array | string | Blob | ReadableStream<Uint8Array> | { readonly digest: string };

/** One call of a tool. */
export interface Task {
  readonly tool: Tool | ToolRef;
  /** JSON; given to the tool as text on stdin. Default `{}`. */
  readonly input?: unknown;
  /** By path, relative to the tool's working folder. */
  readonly files?: Readonly<Record<string, FileInput>>;
  readonly env?: Readonly<Record<string, string | { readonly secret: string }>>;
  readonly resources?: Resources;
  /** A floor: the stricter of this and the runtime's profile holds. */
  readonly security?: SecurityProfile;
  /** Limits that may go unenforced where the profile does not demand them; the receipt then says `"none"`. */
  readonly bestEffort?: readonly Limit[];
}

/** How one call is made. */
export interface Call {
  /** Default: a random one. */
  readonly id?: string;
  /** From now, queue and start-up included: ms, or `"30s"`. */
  readonly deadline?: Quantity;
  readonly signal?: AbortSignal;
  /** Called in order. The sandbox is not read further until what it gives back has settled. */
  readonly onEvent?: (event: ExecutionEvent) => void | Promise<void>;
}

export type ExecutionEvent =
  | { readonly type: "started"; readonly seq: number }
  | { readonly type: "stdout" | "stderr"; readonly seq: number; readonly bytes: Uint8Array };

export interface ResultFile {
  /** Relative to the tool's `out` folder. */
  readonly path: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

export interface BackendInfo {
  readonly name: string;
  readonly version?: string;
  readonly artifact: ArtifactKind;
  readonly profile: SecurityProfile;
  readonly isolation: Isolation;
  /** `"unfiltered"`: the tool had the host's network. */
  readonly network: "none" | "unfiltered";
}

/** What a tool that ended by itself has to show, whatever its exit code. */
export interface Result {
  readonly id: string;
  /** stdout, read as JSON where the tool declares an output schema, as text otherwise; `null` where it failed. */
  readonly output: unknown;
  /** As a shell shows it: 134 for a trap, 128 + n for a signal. */
  readonly exitCode: number;
  readonly exit: Exit;
  readonly stdout: string;
  readonly stderr: string;
  /** Whether there was more than the capture size. */
  readonly truncated: { readonly stdout: boolean; readonly stderr: boolean };
  /** Whether bytes that are no UTF-8 stand as U+FFFD; events carry the bytes as they were. */
  readonly replaced: { readonly stdout: boolean; readonly stderr: boolean };
  /** From the tool's start to its end, in ms. */
  readonly duration: number;
  readonly limits: readonly LimitReceipt[];
  readonly backend: BackendInfo;
  readonly files: readonly ResultFile[];
}

/** Runs tools. A backend under one profile is one, and so is a router over several. */
export interface Runtime extends AsyncDisposable {
  readonly backend: string;
  readonly security: SecurityProfile;
  /**
   * Runs one tool once.
   *
   * @throws ToolRuntimeError for everything but a tool that ended by itself: `ERR_INPUT_INVALID`, `ERR_TOOL_NOT_FOUND`,
   * `ERR_LIMIT_…`, `ERR_PROFILE_UNSUPPORTED`, `ERR_DEADLINE`, `ERR_ABORTED` and the others of docs/errors.md. When it
   * rejects after the start, everything of the run is gone.
   */
  execute(task: Task, call?: Call): Promise<Result>;
  /** Says how a task would be run, or why not, without running it. */
  explain(task: Task): Promise<Explanation[]>;
  /** The backends behind it with their probes. */
  probe(): Promise<BackendProbe[]>;
  /** Ends what runs with `ERR_CLOSED` and waits for it. */
  close(): Promise<void>;
}

export interface BackendProbe extends Probe {
  readonly backend: string;
  readonly security: SecurityProfile;
}

export interface Explanation {
  readonly backend: string;
  readonly security: SecurityProfile;
  /** Whether this one would be taken. A runtime that could, behind one that is taken, is `possible`. */
  readonly verdict: "chosen" | "possible" | "refused";
  readonly artifact?: ArtifactKind;
  readonly isolation?: Isolation;
  readonly limits?: readonly PlannedLimit[];
  readonly code?: string;
  readonly reason?: string;
}

export interface RuntimeOptions {
  /** Not closed by the runtime: who creates closes. */
  readonly backend: Backend;
  /** Default `"standard"`. */
  readonly security?: SecurityProfile;
  /** Short for `resources.timeout`. */
  readonly timeout?: Quantity;
  /** Values for tasks that name none. */
  readonly resources?: Resources;
  /** The most that a task may ask for. Default: ten times the profile's defaults. */
  readonly maxima?: Resources;
  /** Where a `ToolRef` is looked up. */
  readonly tools?: Registry;
  /** Default: one of its own in memory. */
  readonly blobs?: BlobStore;
  /** Gives a secret's value, or nothing where there is none. Asked last, for each run, only for names the tool declares. */
  readonly secrets?: (name: string) => string | undefined | Promise<string | undefined>;
  /** Whether tasks may use `bestEffort`. Default `true`. */
  readonly allowsBestEffort?: boolean;
  /** Default: no bound. */
  readonly concurrency?: Concurrency;
  /** The most for input JSON and files together, in bytes. Default 64 MiB. */
  readonly maxInputBytes?: number;
  /** The most files that a run may hand back. Default 256. */
  readonly maxOutputFiles?: number;
  /** How much of stdout and stderr the result shows as text, in bytes each. Default 64 KiB. */
  readonly captureBytes?: number;
}

interface Settings {
  readonly backend: Backend;
  readonly security: SecurityProfile;
  readonly resources: LimitValues;
  readonly maxima: LimitValues;
  readonly tools: Registry | undefined;
  readonly blobs: BlobStore;
  readonly secrets: NonNullable<RuntimeOptions["secrets"]>;
  readonly allowsBestEffort: boolean;
  readonly maxInputBytes: number;
  readonly maxOutputFiles: number;
  readonly captureBytes: number;
}

/** How long a backend may take, beyond the grace, to end a run that was aborted before the call is given up on. */
const abandonAfterMs = 10_000;
/** Plans kept per tool; the requests of one tool rarely differ. */
const maxPlansPerTool = 64;
const encoder = new TextEncoder();
const emptyInput = encoder.encode("{}");

function wholeNumber(option: string, value: number, least = 0): number {
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new ToolRuntimeError("ERR_ARGUMENT_INVALID", `Cannot use ${value} as "${option}": it takes a whole number from ${least}`, {
    details: { option },
  });
}

function normalize(options: RuntimeOptions): Settings {
  const security = options.security ?? "standard";
  assertProfile(security);
  const timeout = options.timeout === undefined ? {} : { timeout: parseQuantity("timeout", options.timeout) };
  return {
    backend: options.backend,
    security,
    resources: { ...parseResources(options.resources ?? {}), ...timeout },
    maxima: parseResources(options.maxima ?? {}),
    tools: options.tools,
    blobs: options.blobs ?? memoryBlobStore(),
    secrets: options.secrets ?? (() => undefined),
    allowsBestEffort: options.allowsBestEffort ?? true,
    maxInputBytes: wholeNumber("maxInputBytes", options.maxInputBytes ?? 64 * 2 ** 20),
    maxOutputFiles: wholeNumber("maxOutputFiles", options.maxOutputFiles ?? 256),
    captureBytes: wholeNumber("captureBytes", options.captureBytes ?? 64 * 2 ** 10),
  };
}

function openGate({ running, queued }: Concurrency): Gate {
  return new Gate({ running: wholeNumber("concurrency.running", running, 1), queued: wholeNumber("concurrency.queued", queued) });
}

/**
 * Puts a backend under a security profile.
 *
 * @throws `ERR_ARGUMENT_INVALID` for options that cannot be read, and for the `unsafe` backend outside `dev`.
 */
export function createRuntime(options: RuntimeOptions): Runtime {
  return new BackendRuntime(options);
}

interface ProbeState {
  readonly probe: Probe;
  readonly until: number;
  readonly plans: WeakMap<Tool, Map<string, Plan>>;
}

class BackendRuntime implements Runtime {
  readonly #settings: Settings;
  readonly #gate: Gate | undefined;
  readonly #live = new Map<Execution, Promise<unknown>>();
  #state: ProbeState | undefined;
  #probing: Promise<ProbeState> | undefined;
  #isClosed = false;

  constructor(options: RuntimeOptions) {
    this.#settings = normalize(options);
    this.#gate = options.concurrency === undefined ? undefined : openGate(options.concurrency);
  }

  get backend(): string {
    return this.#settings.backend.name;
  }

  get security(): SecurityProfile {
    return this.#settings.security;
  }

  async execute(task: Task, call: Call = {}): Promise<Result> {
    const deadlineMs = call.deadline === undefined ? undefined : parseQuantity("timeout", call.deadline);
    const execution = new Execution(call.id ?? newExecutionId(), call, this.#settings.captureBytes);
    const running = this.#run(execution, task, deadlineMs);
    this.#live.set(execution, running);
    try {
      return await running;
    } catch (error) {
      throw toToolRuntimeError(error).with({ id: execution.id, backend: this.backend, started: execution.started });
    } finally {
      this.#live.delete(execution);
      execution.close();
    }
  }

  async #run(execution: Execution, task: Task, deadlineMs: number | undefined): Promise<Result> {
    if (this.#isClosed) throw closedError(this.backend);
    execution.open(deadlineMs);
    execution.throwIfEnded();
    const tool = this.#resolve(task.tool);
    const stdin = this.#encodeInput(task, tool);
    const state = this.#validState() ?? (await execution.orEnded(this.#probe()));
    const plan = this.#cachedPlan(state, tool, task) ?? (await this.#plan(state, tool, task));
    const files =
      task.files === undefined
        ? noFiles
        : await execution.orEnded(collectFiles(task.files, this.#settings.blobs, this.#settings.maxInputBytes - stdin.length));
    execution.throwIfEnded();
    if (this.#gate !== undefined) await this.#gate.enter(execution.signal);
    try {
      const env = task.env === undefined ? noEnv : await execution.orEnded(resolveEnv(task.env, tool, this.#settings.secrets));
      execution.throwIfEnded();
      const io = execution.ioFor(plan, stdin, files, env, this.#settings.maxOutputFiles);
      const report = await this.#runBackend(execution, plan, io);
      return await this.#conclude(execution, plan, state.probe, report);
    } finally {
      this.#gate?.leave();
    }
  }

  /** Runs the backend and, once the run was ended from outside, waits for it only so long. */
  async #runBackend(execution: Execution, plan: Plan, io: Parameters<Backend["run"]>[1]): Promise<RunReport> {
    const { backend } = this.#settings;
    let report: RunReport | undefined;
    try {
      const prepared = backend.prepare(plan, io.signal);
      if (prepared !== undefined) await untilAbandoned(prepared, execution, plan, backend.name);
      execution.throwIfEnded();
      report = await untilAbandoned(backend.run(plan, io), execution, plan, backend.name);
    } catch (error) {
      if (execution.ended === undefined || isAbandoned(error))
        throw execution.started ? toToolRuntimeError(error).with({ partial: execution.partial([]) }) : error;
    } finally {
      execution.stop();
    }
    if (execution.ended !== undefined) throw execution.ended.with({ partial: execution.partial(report?.readings ?? []) });
    if (report === undefined)
      throw new ToolRuntimeError("ERR_BACKEND_FAILED", `Cannot run the task on backend "${backend.name}": it gave no report`);
    return report;
  }

  async #conclude(execution: Execution, plan: Plan, probe: Probe, report: RunReport): Promise<Result> {
    const { limitHit, exit, readings } = report;
    if (limitHit !== undefined) {
      const value = plan.limits.find(({ limit }) => limit === limitHit.limit)?.value ?? 0;
      throw limitError(limitHit.limit, value, limitHit.observed).with({ partial: execution.partial(readings) });
    }
    const bytes = execution.stdoutBytes();
    const stdout = execution.stdoutText(bytes);
    const stderr = execution.stderrText();
    const exitCode = exitCodeOf(exit);
    const whole = stdout.truncated ? decodeText(bytes).text : stdout.text;
    const output = exitCode === 0 ? this.#readOutput(execution, plan, whole, report) : null;
    const { profile, artifact, isolation, network } = plan;
    return {
      id: execution.id,
      output,
      exitCode,
      exit,
      stdout: stdout.text,
      stderr: stderr.text,
      truncated: { stdout: stdout.truncated, stderr: stderr.truncated },
      replaced: { stdout: stdout.replaced, stderr: stderr.replaced },
      duration: execution.toolMs,
      limits: execution.receipts(readings),
      backend: {
        name: this.backend,
        ...(probe.version === undefined ? {} : { version: probe.version }),
        artifact,
        profile,
        isolation,
        network,
      },
      files: report.files.length === 0 ? [] : await execution.orEnded(storeOutputs(report.files, this.#settings.blobs)),
    };
  }

  #readOutput(execution: Execution, plan: Plan, text: string, report: RunReport): unknown {
    const { checkOutput, manifest } = plan.tool;
    if (checkOutput === undefined) return text;
    const parsed = parseJson(text, { refusesPrototypeKeys: profiles[plan.profile].refusesPrototypeKeys });
    const problem = "problem" in parsed ? parsed.problem : checkOutput(parsed.value);
    if (problem === undefined && "value" in parsed) return parsed.value;
    throw new ToolRuntimeError("ERR_OUTPUT_INVALID", `Cannot take the output of the tool "${manifest.name}": ${problem}`, {
      started: true,
      details: { tool: manifest.name, problem },
      partial: execution.partial(report.readings),
    });
  }

  #resolve(tool: Tool | ToolRef): Tool {
    if (isTool(tool)) return tool;
    const found = this.#settings.tools?.get(tool);
    if (found !== undefined) return found;
    throw (
      this.#settings.tools?.missing(tool) ??
      new ToolRuntimeError("ERR_TOOL_NOT_FOUND", `Cannot find the tool "${tool.name}": the runtime has no registry; give it one as "tools"`)
    );
  }

  #profileOf(task: Task): SecurityProfile {
    if (task.security === undefined) return this.security;
    assertProfile(task.security);
    return stricter(task.security, this.security);
  }

  #encodeInput(task: Task, tool: Tool): Uint8Array {
    const { name } = tool.manifest;
    const input = task.input === undefined ? {} : task.input;
    const rules = profiles[this.#profileOf(task)];
    const encoded = encodeJson(input, rules);
    // What is checked is what the tool reads, not the value that the text was made of.
    const problem = "problem" in encoded ? encoded.problem : tool.checkInput(JSON.parse(encoded.text));
    if ("problem" in encoded || problem !== undefined) {
      throw new ToolRuntimeError("ERR_INPUT_INVALID", `Cannot give the input to the tool "${name}": ${problem}`, {
        details: { tool: name, problem },
      });
    }
    if (task.input === undefined) return emptyInput;
    const bytes = encoder.encode(encoded.text);
    const { maxInputBytes } = this.#settings;
    if (bytes.length <= maxInputBytes) return bytes;
    throw new ToolRuntimeError(
      "ERR_INPUT_TOO_LARGE",
      `Cannot give the input to the tool "${name}": it is ${bytes.length} bytes, the most is ${maxInputBytes}`,
      {
        details: { tool: name, size: bytes.length, maxInputBytes },
      },
    );
  }

  #probe(): Promise<ProbeState> {
    this.#probing ??= this.#settings.backend
      .probe()
      .then((probe) => (this.#state = { probe, until: performance.now() + probe.validForMs, plans: new WeakMap() }))
      .finally(() => (this.#probing = undefined));
    return this.#probing;
  }

  /** What the last probe said, while it holds. */
  #validState(): ProbeState | undefined {
    const state = this.#state;
    return state !== undefined && performance.now() < state.until ? state : undefined;
  }

  #cachedPlan(state: ProbeState, tool: Tool, task: Task): Plan | undefined {
    return state.plans.get(tool)?.get(planKey(task));
  }

  async #plan(state: ProbeState, tool: Tool, task: Task): Promise<Plan> {
    const { capability, limits, profile } = this.#negotiate(state.probe, tool, task);
    const plan = await freezePlan(tool, capability, limits, profile);
    const plans = state.plans.get(tool) ?? new Map<string, Plan>();
    if (plans.size >= maxPlansPerTool) plans.clear();
    state.plans.set(tool, plans.set(planKey(task), plan));
    return plan;
  }

  #negotiate(probe: Probe, tool: Tool, task: Task): { capability: Capability; limits: PlannedLimit[]; profile: SecurityProfile } {
    const { resources, maxima, allowsBestEffort } = this.#settings;
    const profile = this.#profileOf(task);
    const demand = {
      backend: this.backend,
      tool,
      profile,
      task: parseResources(task.resources ?? {}),
      runtime: resources,
      maxima,
      bestEffort: task.bestEffort ?? [],
      allowsBestEffort: allowsBestEffort && profiles[profile].allowsBestEffort,
    };
    const capability = chooseCapability(demand, probe);
    return { capability, limits: negotiateLimits(demand, capability), profile };
  }

  async explain(task: Task): Promise<Explanation[]> {
    const self = { backend: this.backend, security: this.security };
    try {
      const tool = this.#resolve(task.tool);
      const { probe } = this.#validState() ?? (await this.#probe());
      const { capability, limits } = this.#negotiate(probe, tool, task);
      return [{ ...self, verdict: "chosen", artifact: capability.artifact, isolation: capability.isolation, limits }];
    } catch (error) {
      const { code, message } = toToolRuntimeError(error);
      return [{ ...self, verdict: "refused", code, reason: message }];
    }
  }

  async probe(): Promise<BackendProbe[]> {
    const { probe } = await this.#probe();
    return [{ ...probe, backend: this.backend, security: this.security }];
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const execution of this.#live.keys()) execution.end(closedError(this.backend));
    await Promise.allSettled(this.#live.values());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

const noFiles: readonly InputFile[] = [];
const noEnv: Readonly<Record<string, string>> = Object.freeze({});

function closedError(backend: string): ToolRuntimeError {
  return new ToolRuntimeError("ERR_CLOSED", `Cannot run the task on backend "${backend}": the runtime is closed`, { backend });
}

function newExecutionId(): string {
  return `ex_${crypto.randomUUID().replaceAll("-", "")}`;
}

/** The part of a task that negotiation looks at. */
function planKey({ resources, security, bestEffort }: Task): string {
  if (resources === undefined && security === undefined && bestEffort === undefined) return "";
  return JSON.stringify([resources, security, bestEffort]);
}

async function freezePlan(tool: Tool, capability: Capability, limits: readonly PlannedLimit[], profile: SecurityProfile): Promise<Plan> {
  const { artifact, isolation, network } = capability;
  const facts = { tool: tool.digest, artifact, profile, isolation, network, limits };
  return Object.freeze({
    digest: await sha256(canonicalJson(facts)),
    tool,
    artifact,
    profile,
    isolation,
    network,
    limits: Object.freeze(limits),
    graceMs: profiles[profile].graceMs,
  });
}

const abandoned = new WeakSet<ToolRuntimeError>();

function isAbandoned(error: unknown): boolean {
  return error instanceof ToolRuntimeError && abandoned.has(error);
}

/**
 * Waits for the backend; once the run was ended, only for the grace and ten seconds more. A caller never hangs on a
 * backend that does not end what it was told to end.
 */
function untilAbandoned<T>(work: Promise<T>, execution: Execution, plan: Plan, backend: string): Promise<T> {
  return new Promise((resolve, reject) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    execution.whenEnded((reason) => {
      timer = setTimeout(() => {
        const error = new ToolRuntimeError(
          "ERR_BACKEND_FAILED",
          `Cannot end the run on backend "${backend}": it goes on ${abandonAfterMs} ms after it was told to stop`,
          {
            started: execution.started,
            details: { endedBy: reason.code },
            cause: reason,
          },
        );
        abandoned.add(error);
        reject(error);
      }, plan.graceMs + abandonAfterMs);
    });
    const settle = (): void => {
      clearTimeout(timer);
      execution.whenEnded(undefined);
    };
    work.then(
      (value) => {
        settle();
        resolve(value);
      },
      (error: unknown) => {
        settle();
        reject(error);
      },
    );
  });
}
