import { ToolRuntimeError } from "../../src/errors.ts";
import { ingestModule, type Making } from "../../src/wasm/ingest.ts";
import { BinaryError, meterModule, type MeteredModule } from "../../src/wasm/meter/index.ts";
import type { Choices } from "./choices.ts";
import { runFueled } from "./fueled.ts";
import type { Generated } from "./generate.ts";

const making: Making = { tool: "t", deterministic: false };
/** What one module may take in one of its steps. */
export const mostMs = 2000;

/** Milliseconds of this thread's processor time: others use the machine too. */
export function processorMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

export interface Ingested {
  /** How it was taken, or by what it was refused: without names and numbers, so that they can be counted. */
  readonly outcome: string;
  /** What must not have been. */
  readonly wrong?: string;
}

/** Puts bytes through ingest and through the rewriter, each in one of its modes, and looks at what comes out. */
export async function ingestAny(bytes: Uint8Array<ArrayBuffer>, choices: Choices): Promise<Ingested> {
  const deterministic = choices.once(3);
  const memory = choices.once(2) ? 16 * 2 ** 20 : "import";
  const start = choices.once(2) ? "export" : "keep";
  const attempts: (() => Promise<MeteredModule>)[] = [
    () => ingestModule(bytes, { ...making, deterministic }, { allows: () => true, memory, start }),
    async () => meterModule(bytes, { memory, start, deterministic, names: choices.once(2) ? "keep" : "drop" }),
  ];
  const outcomes: string[] = [];
  for (const attempt of attempts) {
    const before = processorMs();
    try {
      const { bytes: metered } = await attempt();
      if (!WebAssembly.validate(metered)) return { outcome: "broken", wrong: "what came out is no module" };
      outcomes.push("taken");
    } catch (error) {
      const isExpected = error instanceof BinaryError || error instanceof ToolRuntimeError;
      if (!isExpected) return { outcome: "crashed", wrong: `threw ${error instanceof Error ? error.stack : typeof error}` };
      outcomes.push(kindOf(error));
    }
    const ms = processorMs() - before;
    if (ms > mostMs) return { outcome: "slow", wrong: `took ${ms.toFixed(0)} ms` };
  }
  const [outcome = "nothing", second] = outcomes;
  const isOneTaken = (outcome === "taken") !== (second === "taken");
  return isOneTaken && !outcome.startsWith("ERR_IMPORT_DENIED") ? { outcome, wrong: `ingest: ${outcome}; meter: ${second}` } : { outcome };
}

/** A message without what is of this module alone. */
function kindOf(error: Error): string {
  const code = error instanceof ToolRuntimeError ? `${error.code}: ` : "";
  const text = error.message.replace(/^.*?: it /, "").replaceAll(/"(?:[^"\\]|\\.)*"/g, '"…"');
  return code + text.replaceAll(/0x[\da-f]+|\d+/g, "n");
}

/** Runs a module that may be anything: it has to come to an end. What was wrong with that. */
export function runAny(bytes: Uint8Array<ArrayBuffer>, generated: Generated): string | undefined {
  let rewritten: MeteredModule;
  try {
    rewritten = meterModule(bytes, { memory: 4 * 2 ** 20 });
  } catch {
    return undefined;
  }
  const metered = { module: new WebAssembly.Module(rewritten.bytes), generated, rewritten, initialFuel: 0 };
  const before = processorMs();
  try {
    const run = runFueled(metered, (checkpoint) => (checkpoint < 50 ? 10_000 : -1));
    if (run.late > 0) return `came to ${run.late} checkpoints after its end`;
  } catch (error) {
    // The harness misses an export of a mutant's.
    if (!(error instanceof TypeError)) throw error;
  }
  const ms = processorMs() - before;
  return ms > mostMs ? `ran for ${ms.toFixed(0)} ms` : undefined;
}
