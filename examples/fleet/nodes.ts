import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Child, file, program } from "./child.ts";

export interface FleetNodeOptions {
  readonly name: string;
  readonly folder: string;
  /** Who has it may run tools. */
  readonly token: string;
}

/** An executor node: `toolruntime node` in a process of its own, with a folder for its state. */
export class FleetNode {
  readonly #options: FleetNodeOptions;
  readonly #folder: string;
  #child: Child | undefined;

  constructor(options: FleetNodeOptions) {
    this.#options = options;
    this.#folder = join(options.folder, options.name);
  }

  get name(): string {
    return this.#options.name;
  }

  get url(): string {
    return this.#child?.url ?? "";
  }

  /** Starts it on the port and the state that it had, and waits until it listens. */
  async start(): Promise<void> {
    const config = {
      name: this.name,
      port: this.#child === undefined ? 0 : Number(new URL(this.url).port),
      security: "dev",
      tools: file("tools"),
      watch: false,
      backends: { unsafe: { acceptUnsafe: true, scratch: join(this.#folder, "scratch") } },
      concurrency: { running: 8, queued: 64 },
      tokens: [{ token: this.#options.token, principal: "edge", tenant: "fleet" }],
      graceMs: 1000,
      log: { level: "error" },
    };
    const path = join(this.#folder, "toolruntime.json");
    await mkdir(this.#folder, { recursive: true });
    await writeFile(path, JSON.stringify(config));
    this.#child = await Child.start([program, "node", "--config", path]);
  }

  /** SIGKILL, as a crash or a power cut: it can end nothing and tell nobody. */
  async kill(): Promise<void> {
    await this.#child?.end("SIGKILL");
  }

  /** SIGTERM: it drains. */
  async stop(): Promise<void> {
    await this.#child?.end("SIGTERM");
  }
}
