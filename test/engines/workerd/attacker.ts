import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { bundle, openWorker, type Worker } from "../../../bench/engines.ts";
import type { ToolRuntimeError } from "../../../src/index.ts";
import type { WasmOptions } from "../../../src/wasm/index.ts";
import { deploy } from "../backend/built.ts";
import { attackTools } from "./attacks.ts";
import { canary, Oracle, type Suffering } from "./oracle.ts";
import type { RunAnswer, RunRequest } from "./worker.ts";

export type WireError = ReturnType<ToolRuntimeError["toJSON"]> & Pick<ToolRuntimeError, "code" | "started" | "details" | "partial">;

export interface Attack extends Omit<RunAnswer, "error"> {
  readonly error?: WireError;
  readonly suffering: Suffering;
}

/** A worker that takes longer to answer is taken for hung. */
const answerMostMs = 8000;

/** What came of an attack, in a word. */
export function codeOf({ error, result }: Attack): string {
  if (error !== undefined) return error.code;
  return result?.exit.kind === "trapped" ? `trapped: ${result.exit.trap}` : `exited ${result?.exitCode}`;
}

export interface AttackerOptions {
  /** Whether the worker's clocks stand still while code runs, as they do on Cloudflare's own machines. */
  readonly clocks: "moving" | "frozen";
  readonly wasm?: Pick<WasmOptions, "maxInstances" | "maxArtifactBytes">;
}

/** A worker with all the attacks in it, and what attacks it with a victim beside. */
export class Attacker implements AsyncDisposable {
  readonly worker: Worker;
  readonly oracle: Oracle;
  readonly #attacks: Attack[] = [];

  constructor(worker: Worker) {
    this.worker = worker;
    this.oracle = new Oracle(worker);
  }

  async #attack(path: string, body: string | Uint8Array<ArrayBuffer>): Promise<Omit<Attack, "suffering">> {
    const value = await (
      await fetch(`${this.worker.url}${path}`, { method: "POST", body, signal: AbortSignal.timeout(answerMostMs) })
    ).text();
    this.oracle.see(value);
    expect(value).toMatch(/^\{/);
    return JSON.parse(value);
  }

  async run(request: RunRequest): Promise<Attack> {
    const { value, suffering } = await this.oracle.withVictim(() => this.#attack("/run", JSON.stringify(request)));
    const attack = { ...value, suffering };
    this.#attacks.push(attack);
    return attack;
  }

  /** Has modules made ready inside requests, one after the other, and gives the codes that they are refused with. */
  async ingest(modules: readonly Uint8Array<ArrayBuffer>[], digest?: string): Promise<WireError[]> {
    const path = `/ingest${digest === undefined ? "" : `?digest=${digest}`}`;
    const errors: WireError[] = [];
    await this.oracle.withVictim(async () => {
      for (const bytes of modules) {
        const { error } = await this.#attack(path, bytes);
        if (error === undefined) throw new Error("the worker ran what it can only have compiled in a request");
        errors.push(error);
      }
    });
    return errors;
  }

  /** Says of all runs since the last time how they ended, and what the event loop and the victim felt of them. */
  summary(): string | undefined {
    const attacks = this.#attacks.splice(0);
    if (attacks.length === 0) return undefined;
    const most = (of: (attack: Attack) => number): string => Math.max(...attacks.map(of)).toFixed(0);
    const codes = [...new Set(attacks.map(codeOf))].join(", ");
    const overshoot = attacks
      .filter(({ error }) => error?.code === "ERR_LIMIT_TIMEOUT")
      .map(({ error, tookMs }) => tookMs - Number(error?.details["value"]));
    const late = overshoot.length === 0 ? "" : `, ${Math.max(...overshoot).toFixed(0)} ms after the deadline`;
    const victim = `victim at most ${most(({ suffering }) => suffering.slowestMs)} ms`;
    return `${codes}${late}; longest gap ${most(({ gapMs }) => gapMs)} ms, ${most(({ turns }) => turns)} turns, ${victim}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.worker[Symbol.asyncDispose]();
  }
}

/** Starts a worker, and waits until it has served once. */
export async function openAttacker({ clocks, wasm = {} }: AttackerOptions): Promise<Attacker> {
  const data = attackTools();
  const { modules, code: built } = await deploy(data);
  const service = `await openService({ data: ${JSON.stringify(data)}, built, wasm: ${JSON.stringify(wasm)} })`;
  const frozen = `freezeClocks(); export default movesClocks(${service});`;
  const main = `import { openService } from "./worker.ts";
    import { freezeClocks, movesClocks } from "./frozen-clock.ts";
    ${built}
    ${clocks === "frozen" ? frozen : `export default ${service};`}`;
  const code = await bundle(main, fileURLToPath(new URL(".", import.meta.url)));
  // The flag tells a worker that its caller has gone: workerd drops the rest of such a request without a word.
  const worker = await openWorker(code, { env: { [canary.name]: canary.value }, flags: ["enable_request_signal"], modules });
  await (await fetch(`${worker.url}/victim?nonce=first`)).text();
  return new Attacker(worker);
}
