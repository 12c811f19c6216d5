import { ToolRuntimeError, toToolRuntimeError } from "../errors.ts";
import { defaultConcurrency, defaultRetries } from "../internal/batch.ts";
import { FanOut, type Settled } from "../internal/batch/fan-out.ts";
import type { BatchCounts, BatchEnd } from "../internal/batch/messages.ts";
import { indexIn } from "../internal/batch/request.ts";
import type { ExecutionInfo } from "../store.ts";
import { ItemRunner, type GivenInput, type ItemOptions, type ItemResult } from "./batch-items.ts";
import { problemOf } from "./reply.ts";
import { toolName } from "./runner.ts";

/** An event of a batch as JSON. `reference`: the same of an item, without what its execution has too. */
export interface BatchLine {
  readonly type: "item" | "progress" | "end";
  readonly seq: number;
  readonly json: string;
  readonly reference?: string;
}

/** How often a batch says how far it is. */
const progressMs = 1000;

export function newBatchId(): string {
  return `ba_${crypto.randomUUID().replaceAll("-", "")}`;
}

/** A batch while it goes on in this process. */
export class LiveBatch {
  readonly id = newBatchId();
  readonly info: ExecutionInfo;
  readonly done: Promise<void>;
  readonly #options: ItemOptions;
  readonly #fanOut: FanOut<GivenInput, ItemResult>;
  readonly #ended = Promise.withResolvers<void>();
  readonly #controller = new AbortController();
  readonly #counts = { results: 0, errors: 0, kept: 0 };
  #seq = 0;

  /** @throws `ERR_ARGUMENT_INVALID` for a budget that cannot be read. */
  constructor(options: ItemOptions, items: ItemRunner, inputs: Iterable<GivenInput> | AsyncIterable<GivenInput>) {
    const { head, identity, settings, tool } = options;
    const { tenant, principal } = identity;
    this.#options = options;
    this.done = this.#ended.promise;
    this.info = { id: this.id, tenant, principal, tool: toolName(tool), createdAt: new Date().toISOString() };
    const { timeout, fuel, failures } = head.budget ?? {};
    this.#fanOut = new FanOut({
      inputs,
      run: (given, run) => {
        if (settings.state.isDraining) this.drain(shuttingDown());
        return items.run(given, run);
      },
      concurrency: head.concurrency ?? defaultConcurrency,
      ordered: head.ordered ?? false,
      retries: head.retries ?? defaultRetries,
      mayRunTwice: tool.manifest.annotations?.idempotentHint === true,
      signal: this.#controller.signal,
      budget: {
        ...(timeout === undefined ? {} : { timeout }),
        ...(fuel === undefined ? {} : { fuel }),
        ...(failures === undefined ? {} : { failures }),
      },
    });
  }

  get counts(): BatchCounts {
    const { read, running, failed, usedFuel } = this.#fanOut.progress;
    return { read, running, ...this.#counts, failed, fuel: usedFuel };
  }

  /** Ends what runs. */
  cancel(why: string): void {
    this.#controller.abort(new ToolRuntimeError("ERR_ABORTED", `Cannot finish the batch: ${why}`));
  }

  /** Starts nothing more and lets end what runs. */
  drain(error: ToolRuntimeError): void {
    this.#fanOut.drain(error);
  }

  /** Gives its events: an item for each input, now and then how far it is, the end. A slow reader holds it back. */
  async *lines(): AsyncGenerator<BatchLine, void, void> {
    let failure: ToolRuntimeError | undefined;
    let saidAt = performance.now();
    try {
      for await (const answer of this.#fanOut.answers()) {
        // An input that the shutdown kept from running has no answer: whoever sends the batch again has it run.
        if (answer.status === "error" && answer.error.code === "ERR_CLOSED" && !answer.error.started) continue;
        yield this.#itemLine(answer);
        if (performance.now() - saidAt < progressMs) continue;
        saidAt = performance.now();
        yield { type: "progress", seq: this.#seq, json: JSON.stringify({ type: "progress", counts: this.counts }) };
      }
    } catch (error) {
      failure = toToolRuntimeError(error);
    } finally {
      this.#ended.resolve();
    }
    const seq = ++this.#seq;
    yield { type: "end", seq, json: JSON.stringify({ type: "end", seq, ...this.#endOf(failure) }) };
  }

  #itemLine(answer: Settled<ItemResult>): BatchLine {
    const seq = ++this.#seq;
    const index = indexIn(this.#options.head, answer.index);
    if (answer.status === "result") {
      const { id, json, isKept } = answer.result;
      this.#counts.results++;
      if (isKept) this.#counts.kept++;
      const head = JSON.stringify({ type: "item", seq, index, id, ...(isKept ? { kept: true } : {}) });
      return { type: "item", seq, json: `${head.slice(0, -1)},"result":${json}}`, reference: head };
    }
    const { error } = answer;
    const isKept = error.details["kept"] === true;
    this.#counts.errors++;
    if (isKept) this.#counts.kept++;
    const problem = problemOf(error, this.#options.requestId);
    const id = error.id === undefined ? {} : { id: error.id };
    return { type: "item", seq, json: JSON.stringify({ type: "item", seq, index, ...id, ...(isKept ? { kept: true } : {}), problem }) };
  }

  #endOf(failure: ToolRuntimeError | undefined): BatchEnd {
    const counts = this.counts;
    const { exhaustedBy } = this.#fanOut.progress;
    if (failure === undefined)
      return exhaustedBy === undefined ? { state: "done", counts } : { state: "exhausted", budget: exhaustedBy, counts };
    const problem = problemOf(failure, this.#options.requestId);
    return { state: failure.code === "ERR_ABORTED" && this.#controller.signal.aborted ? "cancelled" : "failed", counts, problem };
  }
}

function shuttingDown(): ToolRuntimeError {
  return new ToolRuntimeError("ERR_CLOSED", "Cannot go on with the batch: the service is shutting down; send it again with its key");
}
