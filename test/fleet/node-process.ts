import { spawn, type ChildProcessByStdio } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { ServiceConfigInput } from "../../src/adapters/executor/index.ts";

export function fromRoot(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url));
}

const program = fromRoot("src/cli/main.ts");
const startMs = 30_000;

export const fleetToken = "fleet-0123456789abcdef";

export interface NodeProcessOptions {
  readonly name: string;
  /** Its configuration, its state and the scratch folders of its runs are in there. */
  readonly folder: string;
  /** The folder of its tools. */
  readonly tools: string;
  /** Wins over what a node of the fleet has by itself. */
  readonly config?: ServiceConfigInput;
  /** A module that the process loads before all else. */
  readonly preload?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

type Child = ChildProcessByStdio<null, Readable, Readable>;

/** An executor node in a process of its own, on a loopback port that it keeps when it is started again. */
export class NodeProcess implements AsyncDisposable {
  readonly name: string;
  readonly folder: string;
  readonly #options: NodeProcessOptions;
  #child: Child | undefined;
  #ended: Promise<Ending> = Promise.resolve({ code: null, signal: null });
  #port = 0;
  #log = "";

  private constructor(options: NodeProcessOptions) {
    this.#options = options;
    this.name = options.name;
    this.folder = options.folder;
  }

  static async start(options: NodeProcessOptions): Promise<NodeProcess> {
    const node = new NodeProcess(options);
    await node.start();
    return node;
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** 0 where it is not there. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** All that it wrote since it was started first. */
  get log(): string {
    return this.#log;
  }

  /** Settles when the process that was started last has ended. */
  get ended(): Promise<Ending> {
    return this.#ended;
  }

  /** Where `unsafe` makes the folders of its runs. */
  get scratch(): string {
    return join(this.folder, "scratch");
  }

  /** Starts it on the port and the state that it had, and waits until it answers. */
  async start(): Promise<void> {
    const { preload, env = {} } = this.#options;
    const args = [...(preload === undefined ? [] : ["--import", preload]), program, "node", "--config", await this.#writeConfig()];
    const child: Child = spawn(process.execPath, args, {
      env: { PATH: `${dirname(process.execPath)}:${process.env["PATH"] ?? ""}`, HOME: process.env["HOME"] ?? "", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once("close", (code, signal) => resolve({ code, signal }));
    });
    child.stderr.on("data", (chunk: Buffer) => (this.#log += chunk.toString()));
    this.#port = await this.#listening(child);
    await this.#ready();
  }

  async #writeConfig(): Promise<string> {
    const { name, folder, tools, config = {} } = this.#options;
    const file = join(folder, "toolruntime.json");
    await mkdir(folder, { recursive: true });
    const own = {
      port: this.#port,
      security: "dev",
      tools,
      watch: false,
      backends: { wasm: {}, unsafe: { acceptUnsafe: true, scratch: this.scratch } },
      tokens: [{ token: fleetToken, principal: "edge", tenant: "fleet" }],
      graceMs: 2000,
      audit: { file: join(folder, "audit.jsonl") },
      name,
      state: { folder: join(folder, "state") },
      log: { level: "warn" },
    };
    await writeFile(file, JSON.stringify({ ...own, ...config }));
    return file;
  }

  #listening(child: Child): Promise<number> {
    return new Promise((resolve, reject) => {
      let text = "";
      child.stdout.on("data", (chunk: Buffer) => {
        text += chunk.toString();
        const port = /http:\/\/127\.0\.0\.1:(\d+)/.exec(text)?.[1];
        if (port !== undefined) resolve(Number(port));
      });
      child.once("close", () => reject(new Error(`The node "${this.name}" ended before it listened: ${text}${this.#log}`)));
    });
  }

  async #ready(): Promise<void> {
    const until = performance.now() + startMs;
    while (performance.now() < until) {
      const response = await fetch(`${this.url}/readyz`).catch(() => undefined);
      if (response?.ok === true) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`The node "${this.name}" is not ready: ${this.#log}`);
  }

  /** As a crash ends it. */
  async kill(): Promise<void> {
    await this.stop("SIGKILL");
  }

  /** Sends a signal and waits for the end. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<Ending> {
    this.signal(signal);
    return this.#ended;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  call(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, { ...init, headers: { authorization: `Bearer ${fleetToken}`, ...init.headers } });
  }

  post(body: object, headers: Record<string, string> = {}): Promise<Response> {
    const sent = { "content-type": "application/json", ...headers };
    return this.call("/v1/executions", { method: "POST", headers: sent, body: JSON.stringify(body) });
  }

  /** Lines of its audit log, oldest first. */
  get auditFile(): string {
    return join(this.folder, "audit.jsonl");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
