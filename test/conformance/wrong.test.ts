import { describe, expect, it } from "vitest";
import { conformanceCases, runConformance } from "../../src/conformance/index.ts";
import { unsafeTarget, wasmTarget } from "./targets.ts";
import { wrongRuntimes, type WrongRuntime } from "./wrong/index.ts";

const settings = {
  wasm: { openTarget: wasmTarget, concurrency: 12 },
  unsafe: { openTarget: unsafeTarget, concurrency: 4 },
} as const;

/** The cases that a wrong runtime fails, in the suite's order. */
async function failedCases({ base, open, only }: WrongRuntime): Promise<Map<string, string>> {
  const { openTarget, concurrency } = settings[base];
  const target = await openTarget({ open, promptMs: 3000 });
  try {
    const ids = conformanceCases.flatMap(({ id }) => ((only?.(id) ?? true) ? [id] : []));
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
