import { ToolRuntimeError } from "../../errors.ts";
import type { LimitReceipt, Resources } from "../../limits.ts";
import type { ExecutionEvent, Result, Runtime, RuntimeOptions, Task } from "../../runtime.ts";
import type { ManifestInput, Tool } from "../../tool.ts";
import { fail, within } from "../assert.ts";
import { mostMs, type AbuseFacts } from "./case.ts";

/** Makes a tool of one of the attack programs. */
export interface Attacker {
  (program: string, args: readonly string[], manifest: Partial<Pick<ManifestInput, "outputSchema" | "resources">>): Promise<Tool>;
}

/** What the corpus is run against. */
export interface AbuseOptions {
  /** How tests and reports call it. */
  readonly name: string;
  /** Opens a runtime with these options. The suite closes it. */
  readonly open: (options: Omit<RuntimeOptions, "backend">) => Runtime | Promise<Runtime>;
  readonly attacker: Attacker;
  /** A set-uid Python of another user's in the attacker's image, as a path there. Without one nothing tries to become that user. */
  readonly setUid?: string;
  /** A well-behaved tool that writes its input to stdout: what goes on while others attack. */
  readonly victim: Tool;
  /** Names everything that a run can leave on the machine and that is there right now. */
  readonly snapshot: () => Promise<readonly string[]>;
  /** A value in the service's own environment, to appear nowhere. */
  readonly canary: string;
  /** What the service has logged so far, where it logs. */
  readonly logged?: () => string;
  /** Default `"dev"`. */
  readonly profile?: RuntimeOptions["security"];
  /** Gets the one line that lists what is not held. Default: `console.info`. */
  readonly report?: (line: string) => void;
}

export interface AttackSettings {
  readonly args?: readonly string[];
  readonly resources?: Resources;
  readonly manifest?: Parameters<Attacker>[2];
  readonly task?: Omit<Task, "tool" | "resources">;
  /** Added to the runtime's own. */
  readonly runtime?: Omit<RuntimeOptions, "backend" | "security">;
  /** A run must be over by then, whatever became of it. Default: what its `timeout` and the grace allow. */
  readonly withinMs?: number;
}

/** What became of an attack. */
export interface Ended {
  readonly result?: Result;
  readonly error?: ToolRuntimeError;
  readonly limits: readonly LimitReceipt[];
  /** All bytes of stdout that events carried. */
  readonly stdout: Uint8Array;
  readonly tookMs: number;
}

const defaultTimeoutMs = 10_000;

/** What one case attacks with. Keeps a record of everything that came to light, to be searched for the canary. */
export class AbuseBench {
  readonly facts: AbuseFacts;
  readonly #options: AbuseOptions;
  readonly #seen: string[] = [];
  readonly #opened: Runtime[] = [];

  constructor(options: AbuseOptions, facts: AbuseFacts) {
    this.#options = options;
    this.facts = facts;
  }

  /** Everything that a caller could have seen so far. */
  get seen(): string {
    return this.#seen.join("\n");
  }

  async open(options: AttackSettings["runtime"] = {}): Promise<Runtime> {
    const runtime = await this.#options.open({ security: this.facts.profile, ...options });
    this.#opened.push(runtime);
    return runtime;
  }

  /** Runs an attack program once. Never rejects for what becomes of it. */
  async attack(program: string, settings: AttackSettings = {}): Promise<Ended> {
    const runtime = await this.open(settings.runtime);
    const tool = await this.#options.attacker(program, settings.args ?? [], settings.manifest ?? {});
    const timeoutMs = typeof settings.resources?.timeout === "number" ? settings.resources.timeout : defaultTimeoutMs;
    const resources = { timeout: timeoutMs, ...settings.resources };
    const chunks: Uint8Array[] = [];
    const onEvent = (event: ExecutionEvent): void => {
      if (event.type === "stdout") chunks.push(event.bytes);
    };
    const startedAt = performance.now();
    const run = runtime.execute({ tool, resources, ...settings.task }, { onEvent });
    const most = settings.withinMs ?? mostMs(this.facts, timeoutMs);
    const outcome = await within(most, `the attack "${program}"`, run.then(asResult, asError));
    const stdout = concat(chunks);
    this.#record(outcome, stdout);
    const limits = outcome.result?.limits ?? outcome.error?.partial?.limits ?? [];
    return { ...outcome, limits, stdout, tookMs: performance.now() - startedAt };
  }

  #record({ result, error }: Outcome, stdout: Uint8Array): void {
    this.#seen.push(JSON.stringify(result) ?? "", JSON.stringify(error) ?? "", new TextDecoder().decode(stdout));
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) this.#seen.push(cause.message, cause.stack ?? "");
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#opened.map((runtime) => runtime.close()));
  }
}

type Outcome = Pick<Ended, "result" | "error">;

function asResult(result: Result): Outcome {
  return { result };
}

function asError(error: unknown): Outcome {
  return error instanceof ToolRuntimeError ? { error } : fail(`it rejected with ${String(error)}, expected a ToolRuntimeError`);
}

function concat(chunks: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(chunks.reduce((size, { length }) => size + length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}
