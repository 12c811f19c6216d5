import type { ProofOutcome, ProofReport, ProvedCase, ProvedLimit } from "../../internal/proof.ts";
import type { Limit } from "../../limits.ts";

/** By which cases of the conformance suite a tool is driven into each limit. */
const casesOfLimit: Readonly<Record<Limit, readonly string[]>> = {
  timeout: ["timeout-sleeping", "timeout-computing", "timeout-ends-tool"],
  cpuTime: ["cpu-time-limit"],
  // Nothing goes wrong for a tool that has less of a processor than it would take: its receipt is read back.
  cpu: ["limit-receipts"],
  fuel: ["fuel-limit", "fuel-counted", "fuel-at-every-end"],
  memory: ["memory-limit", "memory-within-limit", "memory-receipt-measured"],
  output: ["output-limit", "output-limit-exact", "output-limit-endless"],
  disk: ["disk-limit"],
  processes: ["processes-limit"],
};

/** What the cases say of one limit. */
export function judgeLimit(limit: Limit, declared: string | undefined, cases: readonly ProvedCase[]): ProvedLimit {
  const about = cases.filter(
    ({ suite, id, outcome }) => suite === "conformance" && casesOfLimit[limit].includes(id) && outcome !== "not tried",
  );
  const outcome = declared === undefined || about.length === 0 ? "not tried" : outcomeOf(about);
  const ms = about.reduce((sum, one) => sum + (one.ms ?? 0), 0);
  return {
    limit,
    ...(declared === undefined ? {} : { declared }),
    outcome,
    cases: about.map(({ id }) => id),
    ...(outcome === "not tried" ? {} : { ms }),
  };
}

function outcomeOf(cases: readonly ProvedCase[]): ProofOutcome {
  return cases.some(({ outcome }) => outcome === "broken") ? "broken" : "held";
}

/** Whether nothing in it is broken and something was proved. */
export function isProved({ backends }: ProofReport): boolean {
  const verdicts = new Set(backends.flatMap(({ profiles }) => profiles.map(({ verdict }) => verdict)));
  return verdicts.has("proved") && !verdicts.has("broken");
}
