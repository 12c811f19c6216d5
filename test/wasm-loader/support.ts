import { fileURLToPath } from "node:url";
import { bundle, openWorker, type Worker } from "../../bench/engines.ts";
import { bundleIsolate } from "../../scripts/isolate-bundle.ts";
import type { ToolData } from "../engines/backend/tools.ts";
import type { WireError } from "../engines/workerd/attacker.ts";
import { canary } from "../engines/workerd/oracle.ts";
import type { LoaderAnswer, LoaderRequest, ServiceOptions, ToolRequest } from "./worker.ts";

export interface Answer extends Omit<LoaderAnswer, "error"> {
  readonly error?: WireError;
}

/** A worker that takes longer to answer is taken for hung. */
const answerMostMs = 20_000;

/** A worker that runs tools in isolates. */
export class Service implements AsyncDisposable {
  readonly worker: Worker;

  constructor(worker: Worker) {
    this.worker = worker;
  }

  async #post(path: string, body: object, signal?: AbortSignal): Promise<Response> {
    const most = AbortSignal.timeout(answerMostMs);
    const init = { method: "POST", body: JSON.stringify(body), signal: signal === undefined ? most : AbortSignal.any([most, signal]) };
    const response = await fetch(`${this.worker.url}${path}`, init);
    if (response.status !== 200) throw new Error(`the worker answered ${response.status}: ${await response.text()}`);
    return response;
  }

  /** Gives the worker a tool, and its digest to whoever asks. */
  async add({ name = "", ...tool }: ToolRequest & { readonly name?: string }): Promise<string> {
    const response = await this.#post(`/tool${name === "" ? "" : `?name=${encodeURIComponent(name)}`}`, tool);
    return response.text();
  }

  async run(request: LoaderRequest, signal?: AbortSignal): Promise<Answer> {
    const response = await this.#post("/run", request, signal);
    return (await response.json()) as Answer;
  }

  async probe(): Promise<unknown> {
    return (await fetch(`${this.worker.url}/readyz`)).json();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.worker[Symbol.asyncDispose]();
  }
}

export interface OpenOptions {
  readonly tools?: readonly ToolData[];
  /** QuickJS's module, for snippets. */
  readonly quickJs?: Uint8Array;
  readonly maxIsolates?: number;
  /** In the place of the engine's bundle. */
  readonly engine?: string;
}

export async function openService({ tools = [], engine, quickJs, ...more }: OpenOptions = {}): Promise<Service> {
  const snippets = quickJs === undefined ? {} : { quickJs: Buffer.from(quickJs).toString("base64") };
  const options: ServiceOptions = { tools, engine: engine ?? (await bundleIsolate()), ...snippets, ...more };
  const main = `import { openService } from "./worker.ts"; export default await openService(${JSON.stringify(options)});`;
  const code = await bundle(main, fileURLToPath(new URL(".", import.meta.url)));
  const worker = await openWorker(code, {
    env: { [canary.name]: canary.value },
    flags: ["enable_request_signal"],
    loader: "LOADER",
  });
  return new Service(worker);
}
