import { ToolRuntimeError } from "./errors.ts";
import { weaker, type SecurityProfile } from "./profile.ts";
import type { Registry } from "./registry.ts";
import type { BackendProbe, Call, Explanation, Result, Runtime, Task } from "./runtime.ts";
import { isTool } from "./tool.ts";

export interface RouterOptions {
  /** In order of preference. Closed with the router. At least one. */
  readonly runtimes: readonly Runtime[];
  /** Where a `ToolRef` is looked up before the runtimes see the task. */
  readonly tools?: Registry;
}

/**
 * Sends each task to the first runtime that can hold all that the task, the tool and the profile demand. Which one is
 * settled before anything starts; a run that has started is never moved, and a demand is never lowered to find a place.
 *
 * @throws `ERR_ARGUMENT_INVALID` without runtimes.
 */
export function createRouter(options: RouterOptions): Runtime {
  return new Router(options);
}

class Router implements Runtime {
  readonly backend = "router";
  readonly security: SecurityProfile;
  readonly #runtimes: readonly Runtime[];
  readonly #tools: Registry | undefined;

  constructor({ runtimes, tools }: RouterOptions) {
    const [first, ...rest] = runtimes;
    if (first === undefined)
      throw new ToolRuntimeError("ERR_ARGUMENT_INVALID", "Cannot route tasks: the router has no runtimes; give it at least one");
    this.#runtimes = runtimes;
    this.#tools = tools;
    this.security = rest.reduce((weakest, { security }) => weaker(weakest, security), first.security);
  }

  async execute(task: Task, call: Call = {}): Promise<Result> {
    const resolved = this.#resolve(task);
    const [only, ...others] = this.#runtimes;
    if (only !== undefined && others.length === 0) return only.execute(resolved, call);
    for (const runtime of this.#runtimes) {
      const explanations = await runtime.explain(resolved);
      if (explanations.some(({ verdict }) => verdict === "chosen")) return runtime.execute(resolved, call);
    }
    return this.#refuse(resolved, call);
  }

  /** Lets the runtime that came nearest say why, so that the caller gets its error with all details. */
  async #refuse(task: Task, call: Call): Promise<Result> {
    const refused = await Promise.all(
      this.#runtimes.map(async (runtime) => {
        const explanations = await runtime.explain(task);
        return { runtime, distance: Math.min(...explanations.map(({ code }) => distanceOf(code))) };
      }),
    );
    const [nearest] = refused.toSorted((a, b) => a.distance - b.distance);
    if (nearest === undefined) throw new ToolRuntimeError("ERR_INTERNAL", "Cannot route the task: the router has no runtimes");
    return nearest.runtime.execute(task, call);
  }

  #resolve(task: Task): Task {
    if (isTool(task.tool) || this.#tools === undefined) return task;
    const tool = this.#tools.get(task.tool);
    if (tool === undefined) throw this.#tools.missing(task.tool);
    return { ...task, tool };
  }

  async #explainAll(task: Task): Promise<Explanation[]> {
    return (await Promise.all(this.#runtimes.map((runtime) => runtime.explain(task)))).flat();
  }

  async explain(task: Task): Promise<Explanation[]> {
    const explanations = await this.#explainAll(this.#resolve(task));
    const chosen = explanations.find(({ verdict }) => verdict === "chosen");
    return explanations.map((one) => (one.verdict === "chosen" && one !== chosen ? { ...one, verdict: "possible" } : one));
  }

  async probe(): Promise<BackendProbe[]> {
    return (await Promise.all(this.#runtimes.map((runtime) => runtime.probe()))).flat();
  }

  async close(): Promise<void> {
    await Promise.all(this.#runtimes.map((runtime) => runtime.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** How far a runtime was from taking a task: the further on in negotiation it refused, the nearer. */
const refusals: readonly string[] = [
  "ERR_LIMIT_UNENFORCEABLE",
  "ERR_POLICY_DENIED",
  "ERR_DETERMINISM_UNSUPPORTED",
  "ERR_NETWORK_UNSUPPORTED",
  "ERR_PROFILE_UNSUPPORTED",
  "ERR_BACKEND_UNAVAILABLE",
  "ERR_ARTIFACT_UNSUPPORTED",
];

function distanceOf(code: string | undefined): number {
  const index = refusals.indexOf(code ?? "");
  return index === -1 ? refusals.length : index;
}
