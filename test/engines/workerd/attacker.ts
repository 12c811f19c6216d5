import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { bundle, openWorker, type Worker } from "../../../bench/engines.ts";
import type { ToolRuntimeError } from "../../../src/index.ts";
import { attackTools } from "./attacks.ts";
import { canary, Oracle, type Suffering } from "./oracle.ts";
import type { RunAnswer, RunRequest } from "./worker.ts";

export type WireError = ReturnType<ToolRuntimeError["toJSON"]> & Pick<ToolRuntimeError, "code" | "started" | "details" | "partial">;

export interface Attack extends Omit<RunAnswer, "error"> {
  readonly error?: WireError;
  readonly suffering: Suffering;
}

export interface AttackerOptions {
  /** Whether the worker's clocks stand still while code runs, as they do on Cloudflare's own machines. */
  readonly clocks: "moving" | "frozen";
  readonly maxInstances?: number;
}

/** A worker with all the attacks in it, and what attacks it with a victim beside. */
export class Attacker implements AsyncDisposable {
  readonly worker: Worker;
  readonly oracle: Oracle;

  constructor(worker: Worker) {
    this.worker = worker;
    this.oracle = new Oracle(worker);
  }

  async #attack(path: string, body: string | Uint8Array<ArrayBuffer>): Promise<Attack> {
    const { value, suffering } = await this.oracle.withVictim(async () =>
      (await fetch(`${this.worker.url}${path}`, { method: "POST", body })).text(),
    );
    this.oracle.see(value);
    expect(value).toMatch(/^\{/);
    return { ...JSON.parse(value), suffering };
  }

  run(request: RunRequest): Promise<Attack> {
    return this.#attack("/run", JSON.stringify(request));
  }

  /** Has bytes made ready inside a request. */
  async ingest(bytes: Uint8Array<ArrayBuffer>, digest?: string): Promise<WireError> {
    const { error } = await this.#attack(`/ingest${digest === undefined ? "" : `?digest=${digest}`}`, bytes);
    if (error === undefined) throw new Error("the worker ran what it can only have compiled in a request");
    return error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.worker[Symbol.asyncDispose]();
  }
}

/** Starts a worker, and waits until it has served once. */
export async function openAttacker({ clocks, maxInstances }: AttackerOptions): Promise<Attacker> {
  const service = `await openService(${JSON.stringify(attackTools())}, ${JSON.stringify({ maxInstances })})`;
  const frozen = `freezeClocks(); export default movesClocks(${service});`;
  const main = `import { openService } from "./worker.ts";
    import { freezeClocks, movesClocks } from "./frozen-clock.ts";
    ${clocks === "frozen" ? frozen : `export default ${service};`}`;
  const code = await bundle(main, fileURLToPath(new URL(".", import.meta.url)));
  // The flag tells a worker that its caller has gone: workerd drops the rest of such a request without a word.
  const worker = await openWorker(code, { env: { [canary.name]: canary.value }, flags: ["enable_request_signal"] });
  await (await fetch(`${worker.url}/victim?nonce=first`)).text();
  return new Attacker(worker);
}
