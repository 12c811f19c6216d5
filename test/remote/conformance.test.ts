import { describe, expect, it } from "vitest";
import { conformanceCases, runConformance, type Verdict } from "../../src/conformance/index.ts";
import { unsafeTarget, wasmTarget, type Target } from "../conformance/targets.ts";
import { remoteTarget } from "./target.ts";

type OpenTarget = () => Promise<Target>;

/** What became of cases, with the reasons of those that were left out or failed. */
async function verdictsOf(open: OpenTarget, only: readonly string[], concurrency: number): Promise<Map<string, string>> {
  const target = await open();
  try {
    const verdicts = await runConformance(target.options, { only, concurrency });
    return new Map(verdicts.map((verdict) => [verdict.id, describeVerdict(verdict)]));
  } finally {
    await target.close();
  }
}

function describeVerdict(verdict: Verdict): string {
  if (verdict.outcome === "skipped") return `skipped: ${verdict.reason}`;
  return verdict.outcome === "failed" ? `failed: ${verdict.error.message}` : "passed";
}

/** Cases race against timeouts: those that differ where others run beside are judged again by themselves. */
async function compare(openHere: OpenTarget, openThere: OpenTarget) {
  let ids: readonly string[] = conformanceCases.map(({ id }) => id);
  const [here, there] = [new Map<string, string>(), new Map<string, string>()];
  for (const concurrency of [2, 1, 1]) {
    for (const [id, verdict] of await verdictsOf(openHere, ids, concurrency)) here.set(id, verdict);
    for (const [id, verdict] of await verdictsOf(openThere, ids, concurrency)) there.set(id, verdict);
    ids = ids.filter((id) => here.get(id) !== there.get(id) || here.get(id)?.startsWith("failed") === true);
    if (ids.length === 0) break;
  }
  return { here, there };
}

describe("the conformance suite through the remote backend gives the verdicts that it gives locally", () => {
  it.for([
    { behind: "wasm", profile: "dev" },
    { behind: "wasm", profile: "standard" },
    { behind: "unsafe", profile: "dev" },
  ] as const)("$behind in profile $profile", { timeout: 600_000 }, async ({ behind, profile }) => {
    const openHere = behind === "wasm" ? () => wasmTarget({ profile }) : () => unsafeTarget();
    const { here, there } = await compare(openHere, () => remoteTarget(behind, profile));
    expect(Object.fromEntries(there)).toEqual(Object.fromEntries(here));
    expect([...there.values()].filter((verdict) => verdict === "passed").length).toBeGreaterThan(80);
  });
});
