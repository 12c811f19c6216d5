import { createRuntime } from "../src/index.ts";
import { createRouter, type MapAnswer } from "../src/router.ts";
import { openSoakFleet, pause, toolOf, type SoakFleet } from "./fleet-nodes.ts";

/** What each run waits beside its effect: that there is always something to kill. */
const runMs = 20;
const killEveryMs = 10_000;
const downMs = 1000;

export interface BatchReport {
  readonly tool: string;
  readonly inputs: number;
  readonly seconds: number;
  readonly kills: number;
  /** How many answers there were of each kind: `result`, or a code and whether the tool had started. */
  readonly answers: Readonly<Record<string, number>>;
  /** Inputs with no answer, with more than one, and with a result that is another input's. */
  readonly missing: number;
  readonly doubled: number;
  readonly wrong: number;
  /** Inputs by how often their effect happened. */
  readonly effects: Readonly<Record<string, number>>;
  /** Answers that say that the tool had not started, of inputs that had an effect. */
  readonly denied: number;
  /** Results of inputs that had no effect. */
  readonly unfounded: number;
}

function kindOf(answer: MapAnswer): string {
  return answer.status === "result" ? "result" : `${answer.error.code}, ${answer.error.started ? "started" : "not started"}`;
}

function count<T>(values: Iterable<T>): Map<T, number> {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

/** Kills the nodes in turn until it is told to stop; gives how often it did. */
async function killInTurn({ nodes }: SoakFleet, signal: AbortSignal): Promise<number> {
  let kills = 0;
  for (;;) {
    await Promise.race([pause(killEveryMs), new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }))]);
    const node = nodes[kills % nodes.length];
    if (signal.aborted || node === undefined) return kills;
    kills++;
    await node.kill();
    await pause(downMs);
    await node.start();
  }
}

function reportOf(fleet: SoakFleet, { tool, inputs, answers }: { tool: string; inputs: number; answers: readonly MapAnswer[] }) {
  const effects = fleet.shelf.effects.counts();
  const byIndex = count(answers.map(({ index }) => index));
  const hasEffect = ({ index }: MapAnswer): boolean => effects.has(index);
  return {
    tool,
    inputs,
    answers: Object.fromEntries(count(answers.map(kindOf))),
    missing: inputs - byIndex.size,
    doubled: [...byIndex.values()].filter((times) => times > 1).length,
    wrong: answers.filter((one) => one.status === "result" && JSON.stringify(one.result.output) !== JSON.stringify({ n: one.index }))
      .length,
    effects: Object.fromEntries(count(Array.from({ length: inputs }, (_, n) => effects.get(n) ?? 0))),
    denied: answers.filter((one) => one.status === "error" && !one.error.started && hasEffect(one)).length,
    unfounded: answers.filter((one) => one.status === "result" && !hasEffect(one)).length,
  };
}

/** A batch over three nodes, of which one is killed every ten seconds and started again. */
export async function soakBatch(tool: string, inputs: number, tell: (done: number) => void): Promise<BatchReport> {
  await using fleet = await openSoakFleet({ concurrency: { running: 8, queued: 64 } });
  const backend = fleet.backend();
  const router = createRouter({ runtimes: [createRuntime({ backend, security: "dev" })] });
  const stop = new AbortController();
  const killing = killInTurn(fleet, stop.signal);
  const startedAt = performance.now();
  const answers: MapAnswer[] = [];
  const all = Array.from({ length: inputs }, (_, n) => ({ n, ms: runMs }));
  for await (const answer of router.map(toolOf(fleet.shelf, tool), all, { concurrency: 16 })) {
    answers.push(answer);
    if (answers.length % 1000 === 0) tell(answers.length);
  }
  const seconds = (performance.now() - startedAt) / 1000;
  stop.abort();
  const kills = await killing;
  await router.close();
  await backend.close();
  return { ...reportOf(fleet, { tool, inputs, answers }), seconds, kills };
}

/** Whether the promises of a batch were kept. */
export function batchHolds(report: BatchReport, isIdempotent: boolean): boolean {
  const { missing, doubled, wrong, unfounded, denied, effects, answers, inputs } = report;
  if (missing + doubled + wrong + unfounded + denied > 0) return false;
  if (isIdempotent) return answers["result"] === inputs;
  // Whatever else an error says, it says that the tool may have run.
  return Object.keys(effects).every((times) => Number(times) <= 1) && Object.keys(answers).every((kind) => !kind.endsWith("not started"));
}
