import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { unstable_startWorker } from "wrangler";
import { problemSchema, type Problem } from "../../src/wire.ts";
import { builtAliases, noDynamic, writeTools } from "../../bench/edge/bundle.ts";
import { guestNames, guestTool } from "./tools.ts";

process.env["WRANGLER_SEND_METRICS"] = "false";
process.env["CLOUDFLARE_CF_FETCH_ENABLED"] = "false";

function file(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

export const tokens = {
  alice: { token: "alice-0123456789abcdef", principal: "alice", tenant: "red" },
  bob: { token: "bob-0123456789abcdef", principal: "bob", tenant: "blue" },
  reader: { token: "reader-0123456789abcdef", principal: "reader", tenant: "red", scopes: ["read"] },
} as const;
export type Who = keyof typeof tokens;

export interface WorkerSetup {
  /** Default: the one with tokens for all of `tokens`, in profile standard. */
  readonly vars?: Readonly<Record<string, string>>;
  /** Parts of a wrangler configuration; default: a bucket and the object for executions. */
  readonly bindings?: Readonly<Record<string, unknown>>;
  /** Whether tools of the bucket run in isolates of their own. */
  readonly isDynamic?: boolean;
  /** Default: this folder's entry, with a back door to the bucket. */
  readonly main?: string;
}

const allBindings = {
  r2_buckets: [{ binding: "ARTIFACTS", bucket_name: "artifacts" }],
  durable_objects: { bindings: [{ name: "EXECUTIONS", class_name: "Executions" }] },
  migrations: [{ tag: "v1", new_sqlite_classes: ["Executions"] }],
};

export const standardVars = { TOOLRUNTIME_SECURITY: "standard", TOOLRUNTIME_TOKENS: JSON.stringify(Object.values(tokens)) };

/** A worker in wrangler's own runtime, with guests that were built for it. What it keeps outlives a restart. */
export class TestWorker implements AsyncDisposable {
  readonly #folder: string;
  readonly #config: string;
  #running: Awaited<ReturnType<typeof unstable_startWorker>> | undefined;
  #url = "";

  private constructor(folder: string) {
    this.#folder = folder;
    this.#config = join(folder, "wrangler.json");
  }

  static async open(setup: WorkerSetup = {}): Promise<TestWorker> {
    const { vars = standardVars, bindings = allBindings, main = file("entry.ts"), isDynamic = false } = setup;
    const folder = await mkdtemp(join(tmpdir(), "toolruntime-worker-"));
    const worker = new TestWorker(folder);
    const tools = await writeTools(await Promise.all(guestNames.map(guestTool)), join(folder, "tools"));
    const config = {
      name: `test-${basename(folder)
        .toLowerCase()
        .replaceAll(/[^a-z0-9]+/g, "-")}`,
      main,
      compatibility_date: "2026-11-01",
      compatibility_flags: ["enable_request_signal"],
      alias: { ...builtAliases(tools), "toolruntime:dynamic": isDynamic ? file("../../src/wasm/loader/worker.ts") : noDynamic },
      vars,
      ...bindings,
      ...(isDynamic ? { worker_loaders: [{ binding: "LOADER" }] } : {}),
    };
    await writeFile(worker.#config, JSON.stringify(config));
    await worker.#start();
    return worker;
  }

  async #start(): Promise<void> {
    this.#running = await unstable_startWorker({
      config: this.#config,
      dev: {
        server: { hostname: "127.0.0.1", port: 0 },
        inspector: false,
        persist: join(this.#folder, "state"),
        logLevel: "none",
        watch: false,
      },
    });
    await this.#running.ready;
    this.#url = (await this.#running.url).href.replace(/\/$/, "");
  }

  get url(): string {
    return this.#url;
  }

  /** All isolates end, what is stored stays. */
  async restart(): Promise<void> {
    await this.#running?.dispose();
    await this.#start();
  }

  get(path: string, who?: Who, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`${this.#url}${path}`, { headers: { ...bearer(who), ...headers } });
  }

  /** The status of an answer to a request with another Host than the one that it is sent to. */
  statusFor(host: string, path: string): Promise<number | undefined> {
    const { port } = new URL(this.#url);
    return new Promise((resolve, reject) => {
      const sent = request({ host: "127.0.0.1", port, path, headers: { host } }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      });
      sent.once("error", reject);
      sent.end();
    });
  }

  send(method: string, path: string, { who, headers = {}, body, signal }: Sending = {}): Promise<Response> {
    return fetch(`${this.#url}${path}`, {
      method,
      headers: { ...bearer(who), ...headers },
      ...(body === undefined ? {} : { body }),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  run(task: unknown, { who = "alice", headers = {}, signal }: Omit<Sending, "body"> = {}): Promise<Response> {
    const sent = { who, headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(task) };
    return this.send("POST", "/v1/executions", signal === undefined ? sent : { ...sent, signal });
  }

  /** Puts an object into the bucket behind the service's back. */
  async putObject(key: string, body: string | Uint8Array<ArrayBuffer>): Promise<void> {
    const response = await fetch(`${this.#url}/test/r2/${encodeURIComponent(key)}`, { method: "PUT", body });
    expect(await response.text()).toBe("put");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running?.dispose();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

export interface Sending {
  readonly who?: Who;
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly signal?: AbortSignal;
}

function bearer(who: Who | undefined): Record<string, string> {
  return who === undefined ? {} : { authorization: `Bearer ${tokens[who].token}` };
}

/** The problem document of an answer, checked against its schema and its status. */
export async function problemOf(response: Response): Promise<Problem> {
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const problem = problemSchema.parse(await response.json());
  expect(problem.status).toBe(response.status);
  return problem;
}
