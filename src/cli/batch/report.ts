import type { ToolRuntimeError } from "../../errors.ts";
import { escapeJson } from "../escape.ts";
import { styled, type Terminal } from "../terminal.ts";

/** An answer of a batch, from here or from a service. */
export type Answer = { readonly index: number; readonly id?: string; readonly kept?: boolean } & (
  | { readonly status: "result"; readonly result: { readonly exitCode: number } }
  | { readonly status: "error"; readonly error: ToolRuntimeError }
);

const barWidth = 30;
const refreshMs = 200;
const encoder = new TextEncoder();

/** Prints the answers, and says on stderr how far the batch is. To be closed. */
export class Report {
  readonly #terminal: Terminal;
  readonly #total: number | undefined;
  readonly #startedAt = performance.now();
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #failures = new Map<string, number>();
  #answers = 0;
  #kept = 0;
  #failed = 0;

  /** `total`: how many inputs there are, where that is known. */
  constructor(terminal: Terminal, total: number | undefined) {
    this.#terminal = terminal;
    this.#total = total;
    this.#timer = setInterval(() => terminal.status(this.#line()), refreshMs);
  }

  get failed(): number {
    return this.#failed;
  }

  /** One line of JSON. Waits until the reader has taken it. */
  async add(answer: Answer): Promise<void> {
    const failure = failureOf(answer);
    this.#answers++;
    if (answer.kept === true) this.#kept++;
    if (failure !== undefined) {
      this.#failed++;
      this.#failures.set(failure, (this.#failures.get(failure) ?? 0) + 1);
    }
    await this.#terminal.tool("stdout", encoder.encode(`${escapeJson(JSON.stringify(answer))}\n`));
  }

  #line(): string {
    const seconds = `${Math.round((performance.now() - this.#startedAt) / 1000)} s`;
    const failed = this.#failed === 0 ? "" : `, ${this.#failed} failed`;
    if (this.#total === undefined) return `${this.#answers} inputs${failed} (${seconds})`;
    const part = this.#total === 0 ? 1 : Math.min(1, this.#answers / this.#total);
    const full = Math.floor(part * barWidth);
    const bar = "█".repeat(full) + "░".repeat(barWidth - full);
    return `${bar} ${this.#answers}/${this.#total} (${Math.floor(part * 100)} %)${failed} (${seconds})`;
  }

  close(): void {
    clearInterval(this.#timer);
    const seconds = (performance.now() - this.#startedAt) / 1000;
    const kept = this.#kept === 0 ? "" : `, ${this.#kept} of them from before`;
    const kinds = [...this.#failures].map(([kind, times]) => `${times} × ${kind}`).join(", ");
    const failed = this.#failed === 0 ? styled("green", "0 failed") : styled("red", `${this.#failed} failed (${kinds})`);
    this.#terminal.note(`toolruntime: ${this.#answers} inputs answered${kept}, `, failed, `, in ${seconds.toFixed(1)} s`);
  }
}

function failureOf(answer: Answer): string | undefined {
  if (answer.status === "error") return answer.error.code;
  const { exitCode } = answer.result;
  return exitCode === 0 ? undefined : `exit code ${exitCode}`;
}
