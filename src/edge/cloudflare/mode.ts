import { ToolRuntimeError, toToolRuntimeError } from "../../errors.ts";
import { artifactKinds } from "../../internal/artifact-kinds.ts";
import type { BackendProbe, Call, Explanation, Result, Runtime, Task } from "../../runtime.ts";
import type { Tool } from "../../tool.ts";

export interface ModeOptions {
  /** Closed with what comes back. */
  readonly runtime: Runtime;
  readonly notes: readonly string[];
  /** Why a tool cannot be run in this mode, or nothing. */
  readonly refuse?: (tool: Tool, task: Task) => ToolRuntimeError | undefined;
}

/** A runtime that says in its probe which mode it is, and leaves to others the tools that are not for it. */
export function inMode({ runtime, notes, refuse }: ModeOptions): Runtime {
  const refusal = (task: Task): ToolRuntimeError | undefined => ("manifest" in task.tool ? refuse?.(task.tool, task) : undefined);
  return delegate(runtime, {
    async execute(task, call) {
      const refused = refusal(task);
      if (refused !== undefined) throw refused.with({ backend: runtime.backend });
      return runtime.execute(task, call);
    },
    async explain(task) {
      const refused = refusal(task);
      const { backend, security } = runtime;
      if (refused !== undefined) return [{ backend, security, verdict: "refused", code: refused.code, reason: refused.message }];
      return runtime.explain(task);
    },
    async probe() {
      return addNotes(await runtime.probe(), notes);
    },
  });
}

/** The codes that say that the worker itself is not the place for a task. */
const unplaced: ReadonlySet<string> = new Set(["ERR_ARTIFACT_UNSUPPORTED", "ERR_PROFILE_UNSUPPORTED"]);

export interface WholeOptions {
  readonly runtime: Runtime;
  /** Of the worker as a whole. */
  readonly notes: readonly string[];
  /** The addresses of the executor nodes. */
  readonly nodes: readonly string[];
}

/** All modes together. An error that says that a task has no place here says too which nodes could have one. */
export function asWhole({ runtime, notes, nodes }: WholeOptions): Runtime {
  return delegate(runtime, {
    async execute(task, call) {
      try {
        return await runtime.execute(task, call);
      } catch (cause) {
        const error = toToolRuntimeError(cause);
        if (!unplaced.has(error.code) || error.started) throw error;
        throw withAdvice(error, task, nodes);
      }
    },
    explain: (task) => runtime.explain(task),
    async probe() {
      return addNotes(await runtime.probe(), notes);
    },
  });
}

function withAdvice(error: ToolRuntimeError, { tool }: Task, nodes: readonly string[]): ToolRuntimeError {
  const kinds = "manifest" in tool ? artifactKinds.filter((kind) => kind in tool.manifest.artifacts) : [];
  const wanted = kinds.map((kind) => `"${kind}"`).join(" or ");
  const profile = error.code === "ERR_PROFILE_UNSUPPORTED" ? " in that profile" : "";
  const state = nodes.length === 0 ? "and this worker has none; name one in TOOLRUNTIME_NODES" : `and none of ${nodes.join(", ")} does`;
  const message = `${error.message}. An executor node with a backend that takes ${wanted}${profile} could run it, ${state}`;
  return new ToolRuntimeError(error.code, message, { cause: error, details: { ...error.details, artifacts: kinds, nodes } }).with({
    ...(error.id === undefined ? {} : { id: error.id }),
    ...(error.backend === undefined ? {} : { backend: error.backend }),
  });
}

function addNotes([first, ...rest]: readonly BackendProbe[], notes: readonly string[]): BackendProbe[] {
  return first === undefined ? [] : [{ ...first, notes: [...notes, ...(first.notes ?? [])] }, ...rest];
}

interface Own {
  execute(task: Task, call?: Call): Promise<Result>;
  explain(task: Task): Promise<Explanation[]>;
  probe(): Promise<BackendProbe[]>;
}

function delegate(runtime: Runtime, own: Own): Runtime {
  const { backend, security } = runtime;
  return {
    backend,
    security,
    ...own,
    load: () => runtime.load(),
    close: () => runtime.close(),
    [Symbol.asyncDispose]: () => runtime.close(),
  };
}
