import { ToolRuntimeError, toToolRuntimeError } from "../errors.ts";
import { mayRunTwice, withFuel } from "../internal/batch.ts";
import { fuelOf } from "../internal/batch/budget.ts";
import type { BatchRun, Done } from "../internal/batch/fan-out.ts";
import { indexIn, type BatchRequest } from "../internal/batch/request.ts";
import { errorOfProblem } from "../internal/client/failures.ts";
import { Courtesy } from "./courtesy.ts";
import { sha256 } from "../internal/digest.ts";
import { canonicalJson } from "../internal/json.ts";
import { parseQuantity } from "../limits.ts";
import type { Task } from "../runtime.ts";
import type { Outcome } from "../store.ts";
import type { Tool } from "../tool.ts";
import { problemSchema, resultSchema } from "../wire.ts";
import type { Identity } from "./auth.ts";
import { invalid, parseBytes } from "./body.ts";
import type { Settings } from "./options.ts";
import { outcomeOf } from "./reply.ts";
import { newExecutionId, type Runner } from "./runner.ts";
import { parseRequest, taskOf } from "./task.ts";

/** An input as it came: a value out of a JSON body, or the bytes of a line that nobody has read yet. */
export type GivenInput = { readonly value: unknown } | { readonly bytes: Uint8Array };

/** A result as the JSON that the run's outcome has. */
export interface ItemResult {
  readonly id: string;
  readonly json: string;
  readonly isKept: boolean;
}

export interface ItemOptions {
  readonly runner: Runner;
  readonly settings: Settings;
  readonly identity: Identity;
  readonly requestId: string;
  readonly head: BatchRequest;
  readonly tool: Tool;
  /** The batch's idempotency key. */
  readonly key: string | undefined;
}

interface ItemTask {
  readonly index: number;
  readonly task: Task;
  /** What the item's own key stands for. */
  readonly content: string;
  readonly signal: AbortSignal;
  readonly isCapped: boolean;
  readonly ticket: string | undefined;
}

/** How often at most a key of its own is made for one item that failed by the platform's fault. */
const maxKeys = 16;
/** Runs the inputs of one batch as executions, each under a key of its own where the batch has one. */
export class ItemRunner {
  readonly #options: ItemOptions;
  readonly #common: object;
  readonly #mayRunTwice: boolean;
  readonly #courtesy: Courtesy;

  constructor(options: ItemOptions) {
    this.#options = options;
    const { tool, env, resources, security, bestEffort, deterministic } = options.head;
    const common = { tool, env, resources, security, bestEffort, deterministic };
    this.#common = common;
    this.#mayRunTwice = mayRunTwice(options.tool);
    this.#courtesy = new Courtesy(options.settings.runtime);
  }

  /** Finds what the whole batch would be refused for. */
  async prepare(): Promise<void> {
    const { identity, settings } = this.#options;
    const { task } = await taskOf(parseRequest(this.#common), identity.tenant, settings);
    await this.#courtesy.ask(task);
  }

  /** @throws the error that the run ended with; with `details.kept` where an earlier sending brought it about. */
  async run(given: GivenInput, { index, signal, fuelCap, ticket }: BatchRun): Promise<Done<ItemResult>> {
    const { head, identity, settings, key } = this.#options;
    const value = "bytes" in given ? parseBytes(given.bytes, settings).value : given.value;
    const request = parseRequest({ ...this.#common, ...itemOf(value, head.as) });
    const { task } = await taskOf(request, identity.tenant, settings);
    const content = key === undefined ? "" : canonicalJson(value);
    const isCapped = fuelCap !== undefined;
    const item = { index: indexIn(head, index), task: withFuel(task, fuelCap), content, signal, isCapped, ticket };
    if (key !== undefined) return this.#runOnce(item, key);
    const id = newExecutionId();
    return settle(await this.#perform(id, item), id, false);
  }

  async #perform(id: string, { task, signal, ticket }: ItemTask): Promise<Outcome> {
    const { runner, settings, identity, requestId, head, tool } = this.#options;
    const deadline = head.deadline === undefined ? undefined : parseQuantity("timeout", head.deadline);
    await this.#courtesy.enter(signal);
    const run = this.#courtesy.hold(() => runner.start({ id, tool, task, deadline, identity, requestId, ticket }));
    settings.keepAlive?.(run.done);
    const end = (): void => run.cancel("its batch was ended");
    signal.addEventListener("abort", end, { once: true });
    if (signal.aborted) end();
    try {
      return await run.done;
    } finally {
      signal.removeEventListener("abort", end);
    }
  }

  /** Runs once for each input of a batch, however often the batch is sent. */
  async #runOnce(item: ItemTask, key: string): Promise<Done<ItemResult>> {
    const { settings, identity } = this.#options;
    const digest = await sha256(item.content);
    const fingerprint = await sha256(`${canonicalJson(this.#common)}\n${item.content}`);
    const own = (await sha256(`${key}\n${item.index}\n${digest}`)).slice("sha256:".length);
    for (let generation = 0; ;) {
      const executionId = newExecutionId();
      const name = generation === 0 ? `batch:${own}` : `batch:${own}.${generation}`;
      const claim = await settings.executions.claim({ tenant: identity.tenant, key: name, fingerprint, executionId });
      if (claim.kind === "conflict") throw conflict();
      if (claim.kind === "first") {
        const outcome = await this.#perform(executionId, item).catch(async (error: unknown) => {
          await claim.release(outcomeOf(toToolRuntimeError(error), this.#options.requestId, 0));
          throw error;
        });
        await (this.#isKept(outcome, item) ? claim.keep(outcome) : claim.release(outcome));
        return settle(outcome, executionId, false);
      }
      const outcome = claim.outcome ?? (await claim.wait(item.signal));
      // Whoever held the key has let go of it.
      if (!outcome.isFinal) continue;
      if (this.#mayRunTwice && generation < maxKeys && isPlatformFault(outcome)) generation++;
      else return settle(outcome, claim.executionId, true);
    }
  }

  /** What the batch's own budget ended may run again under a larger one, where the tool may run twice. */
  #isKept(outcome: Outcome, { isCapped, signal }: ItemTask): boolean {
    if (!outcome.isFinal || outcome.kind === "result" || !this.#mayRunTwice) return outcome.isFinal;
    const { code } = problemOf(outcome);
    return !(code === "ERR_LIMIT_FUEL" && isCapped) && !(code === "ERR_ABORTED" && signal.aborted);
  }
}

function itemOf(value: unknown, as: BatchRequest["as"]): object {
  if (as !== "items") return { input: value };
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid("the item", "it is no object");
  const strange = Object.keys(value).find((key) => key !== "input" && key !== "files");
  if (strange === undefined) return value;
  throw invalid("the item", `it has the key ${JSON.stringify(strange.slice(0, 100))}; it takes "input" and "files"`);
}

function conflict(): ToolRuntimeError {
  return new ToolRuntimeError(
    "ERR_IDEMPOTENCY_CONFLICT",
    "Cannot run the input: the batch's idempotency key was used with another tool or other limits; send it with a key of its own",
  );
}

function problemOf({ json }: Outcome) {
  return problemSchema.parse(JSON.parse(json));
}

function isPlatformFault(outcome: Outcome): boolean {
  return outcome.kind === "error" && problemOf(outcome).retryable;
}

/** What an outcome means to the budget. @throws the error that it tells of. */
function settle(outcome: Outcome, id: string, isKept: boolean): Done<ItemResult> {
  if (outcome.kind === "error") {
    const error = errorOfProblem(problemOf(outcome), { peer: "the service", mayHaveStarted: true });
    throw error.with({ id, ...(isKept ? { details: { kept: true } } : {}) });
  }
  const { limits, exitCode } = resultSchema.parse(JSON.parse(outcome.json));
  return { value: { id, json: outcome.json, isKept }, fuel: fuelOf(limits), isFailure: exitCode !== 0 };
}
