import { describe, expect, it } from "vitest";
import { conformanceCases, runConformance } from "../../src/conformance/index.ts";
import { unsafeTarget, wasmTarget } from "./targets.ts";
import { wrongRuntimes, type WrongRuntime } from "./wrong/index.ts";
import { wrongDeterminism } from "./wrong/determinism.ts";
import { wrongFuel } from "./wrong/fuel.ts";
import { wrongLimits } from "./wrong/limits.ts";
import { wrongMemory } from "./wrong/memory.ts";

const settings = {
  wasm: { openTarget: wasmTarget, concurrency: 12 },
  unsafe: { openTarget: unsafeTarget, concurrency: 4 },
} as const;

/** Cases that take seconds, most of them of the processor: against what is wrong with limits, and against what must fail them. */
const dear: ReadonlySet<string> = new Set(["memory-limit", "memory-within-limit", "cpu-time-limit", "deadline-passed"]);

/** What counts, fixes and keeps apart touches none of the other cases; all of them were run against these once. */
const near = /^(?:exit|result|limit|timeout|output-limit|fuel|deterministic|fresh|explain)-/;
const narrow = new Set([...wrongFuel, ...wrongDeterminism, ...wrongMemory]);

function isWorthwhile(wrong: WrongRuntime, id: string): boolean {
  if (wrong.only?.(id) === false || (narrow.has(wrong) && !near.test(id))) return false;
  return !dear.has(id) || wrongLimits.includes(wrong) || wrong.fails.includes(id);
}

/** The cases that a wrong runtime fails, in the suite's order. */
async function failedCases(wrong: WrongRuntime): Promise<Map<string, string>> {
  const { base, open } = wrong;
  const { openTarget, concurrency } = settings[base];
  const target = await openTarget({ open, promptMs: 3000 });
  try {
    const ids = conformanceCases.flatMap(({ id }) => (isWorthwhile(wrong, id) ? [id] : []));
    const verdicts = await runConformance(target.options, { only: ids, concurrency });
    return new Map(verdicts.flatMap((one) => (one.outcome === "failed" ? [[one.id, one.error.message] as const] : [])));
  } finally {
    await target.close();
  }
}

describe("the suite finds a runtime out that", () => {
  it.for(wrongRuntimes)("$name", { timeout: 120_000 }, async (wrong) => {
    const failed = await failedCases(wrong);
    expect(Object.fromEntries(failed)).toEqual(Object.fromEntries(wrong.fails.map((id) => [id, expect.any(String)])));
  });
});
