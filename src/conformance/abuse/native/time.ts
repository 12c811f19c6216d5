import { check } from "../../assert.ts";
import type { AbuseBench } from "../bench.ts";
import { enforced, keepsTree, mostMs, type AbuseCase } from "../case.ts";
import { endedByLimit, failedByItself, ranWell } from "../outcomes.ts";

const timeoutMs = 1000;
const holds = enforced("timeout");

/** Runs programs that never end by themselves, all at once, and wants each ended by its timeout. */
function endsByTimeout(programs: readonly string[], args: readonly string[] = []) {
  return async (bench: AbuseBench): Promise<void> => {
    const runs = programs.map((program) => bench.attack(program, { args, resources: { timeout: timeoutMs } }));
    for (const ended of await Promise.all(runs)) endedByLimit(ended, "timeout");
  };
}

/** The tree is dug in before the timeout: each process that was started has said so. */
async function attackTree(bench: AbuseBench): Promise<void> {
  const stays = await bench.attack("tree.mjs", { args: ["stay"], resources: { timeout: 3000 }, withinMs: mostMs(bench.facts, 3000) });
  endedByLimit(stays, "timeout");
  const text = new TextDecoder().decode(stays.stdout);
  for (const one of ["session", "orphan", "stopped"])
    check(text.includes(`${one} up\n`), `the attack could not start its "${one}" process: ${text}`);
  const leaves = ranWell(await bench.attack("tree.mjs", { args: ["leave"] }));
  for (const one of ["session", "orphan", "stopped"]) check(leaves.stdout.includes(`${one} up\n`), `the attack left no "${one}" process`);
}

export const timeCases: readonly AbuseCase[] = [
  { id: "A1", title: "endless loop in the entry point", outcome: "LIMIT", holds, attack: endsByTimeout(["loop.mjs"]) },
  { id: "A2", title: "endless loop in start-up code", outcome: "LIMIT", holds, attack: endsByTimeout(["loop-at-start.mjs"]) },
  {
    id: "A5",
    title: "recursion until the stack ends",
    outcome: "TRAP",
    attack: async (bench) => {
      const { stderr } = failedByItself(await bench.attack("recursion.mjs"));
      check(stderr.includes("Maximum call stack"), "the tool's own error is not on stderr");
    },
  },
  {
    id: "A6",
    title: "waits for ever, asleep, blocked in a call, and on a pipe that nobody writes to",
    outcome: "LIMIT",
    holds,
    attack: endsByTimeout(["wait-timer.mjs", "wait-atomics.mjs", "wait-read.sh"]),
  },
  { id: "A7", title: "tiny calls of the kernel without end", outcome: "LIMIT", holds, attack: endsByTimeout(["system-calls.mjs"]) },
  {
    id: "A9",
    title: "a regular expression with exponential back-tracking",
    outcome: "LIMIT",
    holds,
    attack: endsByTimeout(["regexp.mjs"]),
  },
  {
    id: "A10",
    title: "ignores SIGTERM, daemonises, double-forks, starts a new session, stops itself",
    outcome: "LIMIT",
    holds: keepsTree,
    attack: attackTree,
  },
];
