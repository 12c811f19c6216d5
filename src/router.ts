import { ToolRuntimeError } from "./errors.ts";
import type { MapAnswer, MapOptions } from "./internal/batch.ts";
import { weaker, type SecurityProfile } from "./profile.ts";
import type { Registry } from "./registry.ts";
import type { BackendLoad, BackendProbe, Call, Explanation, Result, Runtime, Task } from "./runtime.ts";
import { isTool, type Tool, type ToolRef } from "./tool.ts";

export type { BatchBudget } from "./internal/batch/budget.ts";
export type { MapAnswer, MapItem, MapOptions } from "./internal/batch.ts";

export interface RouterOptions {
  /** In order of preference. Closed with the router. At least one. */
  readonly runtimes: readonly Runtime[];
  /** Where a `ToolRef` is looked up before the runtimes see the task. */
  readonly tools?: Registry;
}

/** A runtime over several, which also runs one tool over many inputs. */
export interface Router extends Runtime {
  /**
   * Runs one tool over many inputs, read as far as answers are taken, and gives each its one terminal answer in the order in
   * which they come. When the budget is used up nothing more starts, and each input that is left is answered with
   * `ERR_BUDGET_EXHAUSTED`. Leaving the loop or an abort ends what runs and waits for it.
   *
   * @throws while it is iterated: `ERR_ARGUMENT_INVALID`, `ERR_TOOL_NOT_FOUND`, `ERR_ABORTED`, what `inputs` fails with.
   */
  map(tool: Tool | ToolRef, inputs: Iterable<unknown> | AsyncIterable<unknown>, options?: MapOptions): AsyncIterable<MapAnswer>;
}

/**
 * Sends each task to the first runtime that can hold all that the task, the tool and the profile demand. Which one is
 * settled before anything starts; a run that has started is never moved, and a demand is never lowered to find a place.
 *
 * @throws `ERR_ARGUMENT_INVALID` without runtimes.
 */
export function createRouter(options: RouterOptions): Router {
  return new RuntimeRouter(options);
}

class RuntimeRouter implements Router {
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

  async *map(
    tool: Tool | ToolRef,
    inputs: Iterable<unknown> | AsyncIterable<unknown>,
    options: MapOptions = {},
  ): AsyncGenerator<MapAnswer, void, void> {
    // Few callers have batches, and an isolate is asked before it has read all its code.
    const { mapInputs } = await import("./internal/batch.ts");
    yield* mapInputs(this, { ...options, tool: this.#resolve({ tool }).tool, inputs });
  }

  /** Lets the runtime that came nearest say why, so that the caller gets its error with all details. */
  async #refuse(task: Task, call: Call): Promise<Result> {
    const refused = await Promise.all(
      this.#runtimes.map(async (runtime) => {
        const explanations = await runtime.explain(task);
        return { runtime, distance: Math.min(...explanations.map(distanceOf)) };
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

  load(): readonly BackendLoad[] {
    return this.#runtimes.flatMap((runtime) => runtime.load());
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

function distanceOf({ code = "", delegates = false }: Explanation): number {
  // Nodes that are down might hold what a runtime that is there never will: the task is to be sent again, and not given up.
  if (delegates && code === "ERR_BACKEND_UNAVAILABLE") return -1;
  const index = refusals.indexOf(code);
  return index === -1 ? refusals.length : index;
}
