import type { Backend, Plan, Probe, RunIo, RunReport } from "../backend.ts";
import { ToolRuntimeError, toToolRuntimeError } from "../errors.ts";
import { parseQuantity } from "../limits.ts";
import type { SecurityProfile } from "../profile.ts";
import type { BackendLoad, BackendProbe, Call, Explanation, Result, Runtime, RuntimeOptions, Task } from "../runtime.ts";
import { isTool, type Tool, type ToolRef } from "../tool.ts";
import { untilAbandoned } from "./abandon.ts";
import { decodeText } from "./capture.ts";
import { Execution, exitCodeOf, limitError } from "./execution.ts";
import type { Gate } from "./gate.ts";
import { collectFiles, noFiles, resolveEnv, splitSecrets, type InputFiles } from "./inputs.ts";
import { Planner, profileOf } from "./planner.ts";
import { openGate, readSettings, type Settings } from "./runtime-settings.ts";
import { encodeInput, readOutput } from "./task-data.ts";

/** A task that was read and planned. */
interface ReadyTask {
  readonly tool: Tool;
  readonly plan: Plan;
  readonly probe: Probe;
  readonly stdin: Uint8Array;
  readonly inputs: InputFiles;
}

/** A backend under one security profile. */
export class BackendRuntime implements Runtime {
  readonly #settings: Settings;
  readonly #planner: Planner;
  readonly #gate: Gate | undefined;
  readonly #live = new Map<Execution, Promise<unknown>>();
  #isClosed = false;

  constructor(options: RuntimeOptions) {
    this.#settings = readSettings(options);
    this.#planner = new Planner(this.#settings);
    this.#gate = openGate(options.concurrency, options.backend);
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
    const { security, maxInputBytes } = this.#settings;
    const stdin = encodeInput(task, tool, { profile: profileOf(task, security), maxInputBytes });
    const state = this.#planner.current ?? (await execution.orEnded(this.#planner.probe()));
    const plan = this.#planner.peek(state, tool, task) ?? (await this.#planner.plan(state, tool, task));
    const inputs = task.files === undefined ? noFiles : await this.#collect(execution, task.files, maxInputBytes - stdin.length);
    try {
      return await this.#runPlan(execution, task, { tool, plan, probe: state.probe, stdin, inputs });
    } finally {
      inputs.close();
    }
  }

  async #collect(execution: Execution, files: NonNullable<Task["files"]>, maxBytes: number): Promise<InputFiles> {
    const collecting = collectFiles(files, this.#settings.blobs, maxBytes);
    try {
      return await execution.orEnded(collecting);
    } catch (error) {
      collecting.then(
        (inputs) => inputs.close(),
        () => undefined,
      );
      throw error;
    }
  }

  async #runPlan(execution: Execution, task: Task, { tool, plan, probe, stdin, inputs }: ReadyTask): Promise<Result> {
    execution.throwIfEnded();
    const { call } = execution;
    if (this.#gate !== undefined) {
      const entering = this.#gate.enter(execution.signal, call);
      call.onAdmitted?.();
      if (entering !== undefined) await entering;
    }
    try {
      const env = task.env === undefined ? { env: noEnv } : await execution.orEnded(this.#environment(task.env, tool));
      execution.throwIfEnded();
      const { maxOutputFiles, backend, blobs } = this.#settings;
      const outputs = { blobs, maxFiles: maxOutputFiles };
      const io = execution.ioFor(plan, { stdin, files: inputs.files, ...env, outputs, isDelegated: backend.delegates === true });
      const report = await this.#runBackend(execution, plan, io);
      try {
        return await this.#conclude(execution, plan, probe, report);
      } catch (error) {
        throw toToolRuntimeError(error).with({ partial: execution.partial(report.readings, report.delegated?.limits) });
      }
    } finally {
      this.#gate?.leave(call.tenant);
    }
  }

  async #environment(env: NonNullable<Task["env"]>, tool: Tool): Promise<Pick<RunIo, "env" | "secretNames">> {
    const { backend, secrets } = this.#settings;
    return backend.delegates === true ? splitSecrets(env, tool) : { env: await resolveEnv(env, tool, secrets) };
  }

  /** Runs the backend and, once the run was ended from outside, waits for it only so long. */
  async #runBackend(execution: Execution, plan: Plan, io: Parameters<Backend["run"]>[1]): Promise<RunReport> {
    const { backend } = this.#settings;
    let report: RunReport | undefined;
    let failure: ToolRuntimeError | undefined;
    try {
      const prepared = backend.prepare(plan, io.signal);
      if (prepared !== undefined) await untilAbandoned(prepared, execution, plan, backend.name);
      const noted = execution.beforeStart();
      if (noted !== undefined) await execution.orEnded(noted);
      execution.throwIfEnded();
      report = await untilAbandoned(backend.run(plan, io), execution, plan, backend.name);
    } catch (error) {
      failure = toToolRuntimeError(error);
    } finally {
      execution.stop();
    }
    if (execution.ended !== undefined && !execution.isAbandoned) {
      const partial = execution.partial(report?.readings ?? [], report?.delegated?.limits ?? failure?.partial?.limits);
      throw execution.ended.with({ partial, started: failure?.started ?? false });
    }
    if (failure !== undefined) throw execution.started ? withPartial(failure, execution) : failure;
    if (report === undefined)
      throw new ToolRuntimeError("ERR_BACKEND_FAILED", `Cannot run the task on backend "${backend.name}": it gave no report`);
    return report;
  }

  async #conclude(execution: Execution, plan: Plan, probe: Probe, report: RunReport): Promise<Result> {
    const { limitHit, exit, readings, delegated } = report;
    if (limitHit !== undefined) {
      const value = plan.limits.find(({ limit }) => limit === limitHit.limit)?.value ?? 0;
      throw limitError(limitHit.limit, value, limitHit.observed);
    }
    const bytes = execution.stdoutBytes();
    const stdout = execution.stdoutText(bytes);
    const stderr = execution.stderrText();
    const exitCode = exitCodeOf(exit);
    const whole = stdout.truncated ? decodeText(bytes).text : stdout.text;
    const output = exitCode === 0 ? readOutput(plan, whole) : null;
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
      duration: delegated?.durationMs ?? execution.toolMs,
      limits: execution.receipts(readings, delegated?.limits),
      backend: delegated?.backend ?? {
        name: this.backend,
        ...(probe.version === undefined ? {} : { version: probe.version }),
        artifact,
        profile,
        isolation,
        network,
      },
      files: execution.files,
    };
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

  async explain(task: Task): Promise<Explanation[]> {
    const { delegates } = this.#settings.backend;
    const self = { backend: this.backend, security: this.security, ...(delegates === true ? { delegates } : {}) };
    try {
      const tool = this.#resolve(task.tool);
      const { probe } = this.#planner.current ?? (await this.#planner.probe());
      const { capability, limits } = this.#planner.negotiate(probe, tool, task);
      return [{ ...self, verdict: "chosen", artifact: capability.artifact, isolation: capability.isolation, limits }];
    } catch (error) {
      const { code, message } = toToolRuntimeError(error);
      return [{ ...self, verdict: "refused", code, reason: message }];
    }
  }

  async probe(): Promise<BackendProbe[]> {
    const { probe } = await this.#planner.probe();
    return [{ ...probe, backend: this.backend, security: this.security }];
  }

  load(): readonly BackendLoad[] {
    const load = this.#gate?.load ?? { running: this.#live.size, queued: 0 };
    return [{ backend: this.backend, ...load }];
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

const noEnv: Readonly<Record<string, string>> = Object.freeze({});

/** What the run had written is what came here; the receipts may have come with the error. */
function withPartial(error: ToolRuntimeError, execution: Execution): ToolRuntimeError {
  if (error.partial === undefined) return error.with({ partial: execution.partial([]) });
  const { code, message, started, details, id, backend } = error;
  const partial = execution.partial([], error.partial.limits);
  const own = new ToolRuntimeError(code, message, { started, details, partial, cause: error.cause });
  return own.with({ ...(id === undefined ? {} : { id }), ...(backend === undefined ? {} : { backend }) });
}

function closedError(backend: string): ToolRuntimeError {
  return new ToolRuntimeError("ERR_CLOSED", `Cannot run the task on backend "${backend}": the runtime is closed`, { backend });
}

function newExecutionId(): string {
  return `ex_${crypto.randomUUID().replaceAll("-", "")}`;
}
