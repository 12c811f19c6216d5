import { ToolRuntimeError } from "../errors.ts";
import { parseQuantity, type Quantity } from "../limits.ts";
import type { FileInput, Result, Runtime, Task } from "../runtime.ts";
import { isTool, type Tool, type ToolRef } from "../tool.ts";
import { fuelOf, type BatchBudget } from "./batch/budget.ts";
import { FanOut, type BatchRun, type Done, type Settled } from "./batch/fan-out.ts";

/** An input with what belongs to it. */
export interface MapItem {
  /** Default `{}`. */
  readonly input?: unknown;
  readonly files?: Readonly<Record<string, FileInput>>;
  /** The caller's own name for it; comes back with its answer. */
  readonly key?: string;
}

/** The terminal answer of one input. `index` counts the inputs from 0, as they were read. */
export type MapAnswer = Settled<Result> & { readonly key?: string };

export interface MapOptions {
  /** What `inputs` gives: inputs of the tool, or each a {@link MapItem}. Default `"inputs"`. */
  readonly as?: "inputs" | "items";
  /** How many inputs run at once. Default 8. */
  readonly concurrency?: number;
  /** One for the whole batch. Default: none. */
  readonly budget?: BatchBudget;
  /** Gives the answers in the order of the inputs. Default: in the order in which they come. */
  readonly ordered?: boolean;
  /** Ends the batch: what runs is ended and answered, then the iteration throws `ERR_ABORTED`. */
  readonly signal?: AbortSignal;
  /**
   * How often at most an input is tried again whose error advises it: where its tool has not started, or says by
   * `annotations.idempotentHint` that it may run twice. A full queue is waited out besides. Default 3.
   */
  readonly retries?: number;
  /** What each run gets besides its input. */
  readonly task?: Omit<Task, "tool" | "input" | "files">;
  /** For each run, from when it is asked for: ms, or `"30s"`. */
  readonly deadline?: Quantity;
}

export interface MapWork extends MapOptions {
  readonly tool: Tool | ToolRef;
  /** Read as far as answers are taken, and no further ahead than twice `concurrency`; four times where `ordered`. */
  readonly inputs: Iterable<unknown> | AsyncIterable<unknown>;
}

/** How many runs of a batch go on at once where nobody says. */
export const defaultConcurrency = 8;
export const defaultRetries = 3;

/**
 * Runs one tool over many inputs and gives each its one terminal answer: a result, or an error. When a part of the budget is
 * used up nothing more starts; time ends what runs, fuel and failures let it end; each input that is left is still read and
 * answered with `ERR_BUDGET_EXHAUSTED`, whose `details.budget` says which part. Leaving the loop ends what runs and waits
 * for it.
 *
 * @throws `ERR_ARGUMENT_INVALID`; `ERR_ABORTED`, or what `inputs` failed with, once all that was read has its answer.
 */
export async function* mapInputs(runtime: Runtime, work: MapWork): AsyncGenerator<MapAnswer, void, void> {
  const { tool, inputs, as = "inputs", concurrency = defaultConcurrency, budget = {}, ordered = false, signal, deadline } = work;
  const keys = new Map<number, string>();
  const task: Task = { ...work.task, tool };
  const run = async (given: unknown, { index, signal: ended, fuelCap, ticket }: BatchRun): Promise<Done<Result>> => {
    const { key, ...item } = as === "items" ? itemOf(given) : { input: given };
    if (key !== undefined) keys.set(index, key);
    const call = { signal: ended, ...(deadline === undefined ? {} : { deadline }), ...(ticket === undefined ? {} : { ticket }) };
    const result = await runtime.execute(withFuel({ ...task, ...definedOf(item) }, fuelCap), call);
    return { value: result, fuel: fuelOf(result.limits), isFailure: result.exitCode !== 0 };
  };
  const fanOut = new FanOut<unknown, Result>({
    inputs,
    run,
    concurrency,
    ordered,
    budget,
    signal,
    retries: work.retries ?? defaultRetries,
    mayRunTwice: mayRunTwice(tool),
  });
  for await (const answer of fanOut.answers()) {
    const key = keys.get(answer.index);
    keys.delete(answer.index);
    yield key === undefined ? answer : { ...answer, key };
  }
}

/** Whether a tool says of itself that running it twice does no more than once. */
export function mayRunTwice(tool: Tool | ToolRef): boolean {
  return isTool(tool) && tool.manifest.annotations?.idempotentHint === true;
}

function itemOf(given: unknown): MapItem {
  if (typeof given === "object" && given !== null && !Array.isArray(given)) return given;
  throw new ToolRuntimeError("ERR_INPUT_INVALID", 'Cannot read the item: it is no object with "input", "files" or "key"');
}

/** An absent input is the tool's `{}`. */
function definedOf({ input, files }: MapItem): Pick<Task, "input" | "files"> {
  return { ...(input === undefined ? {} : { input }), ...(files === undefined ? {} : { files }) };
}

/** Holds a run to what is left of a budget of fuel, which raises no limit and is refused by no maximum. */
export function withFuel(task: Task, left: number | undefined): Task {
  if (left === undefined) return task;
  const own = task.resources?.fuel;
  const fuel = own === undefined ? left : Math.min(left, parseQuantity("fuel", own));
  return { ...task, resources: { ...task.resources, fuel }, atMost: [...(task.atMost ?? []), "fuel"] };
}
