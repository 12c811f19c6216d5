import type { Runtime } from "../../runtime.ts";
import { check, fail, pause, show } from "../assert.ts";
import type { AbuseOptions } from "./bench.ts";

/** A request of somebody else may take so long while an attack goes on, in ms. */
const victimMostMs = 2000;
const victimPauseMs = 50;
/** How long what a run has started may take to be gone, in ms. */
const goneMostMs = 2000;
const gonePollMs = 50;

/** Well-behaved calls, one after the other, while an attack goes on. */
export class Victim {
  readonly #runtime: Runtime;
  readonly #tool: AbuseOptions["victim"];
  readonly #problems: string[] = [];
  #isStopped = false;
  #calls = 0;
  #loop: Promise<void> | undefined;

  constructor(runtime: Runtime, tool: AbuseOptions["victim"]) {
    this.#runtime = runtime;
    this.#tool = tool;
  }

  start(): void {
    this.#loop ??= this.#callAgain();
  }

  /** @throws where a call failed, gave something else than its own answer, or was too slow. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#loop;
    check(this.#calls > 0, "the victim made no call");
    if (this.#problems.length > 0) fail(`a well-behaved call suffered: ${this.#problems.slice(0, 3).join("; ")}`);
  }

  async #callAgain(): Promise<void> {
    do {
      await this.#callOnce();
      await pause(victimPauseMs);
    } while (!this.#isStopped);
  }

  async #callOnce(): Promise<void> {
    const input = { call: this.#calls++, nonce: crypto.randomUUID() };
    const before = performance.now();
    try {
      const { stdout } = await this.#runtime.execute({ tool: this.#tool, input });
      if (stdout !== JSON.stringify(input)) this.#problems.push(`it got ${show(stdout)}`);
    } catch (error) {
      this.#problems.push(String(error));
    }
    const tookMs = Math.round(performance.now() - before);
    if (tookMs > victimMostMs) this.#problems.push(`it took ${tookMs} ms`);
  }
}

/** Polls until nothing is there that was not there before. */
export async function nothingLeft(snapshot: AbuseOptions["snapshot"], before: ReadonlySet<string>): Promise<void> {
  const until = performance.now() + goneMostMs;
  for (;;) {
    const left = (await snapshot()).filter((one) => !before.has(one));
    if (left.length === 0) return;
    if (performance.now() > until) fail(`${left.length} things are left ${goneMostMs} ms after the run: ${left.slice(0, 5).join(", ")}`);
    await pause(gonePollMs);
  }
}

export function noCanary(canary: string, seen: string, where: string): void {
  check(!seen.includes(canary), `the canary of the service's environment appears in ${where}`);
}

/** The service goes on. */
export async function stillServes(runtime: Runtime): Promise<void> {
  const probes = await runtime.probe();
  check(
    probes.some(({ status }) => status === "ready"),
    "no backend is ready after the attack",
  );
}
