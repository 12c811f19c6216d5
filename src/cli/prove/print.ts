import { styled, type Piece, type Terminal } from "../terminal.ts";
import type { ProofOutcome, ProofReport, ProvedCase, ProvedProfile } from "../../internal/proof.ts";
import { isProved } from "./report.ts";

function show(outcome: ProofOutcome): Piece {
  if (outcome === "held") return styled("green", "held");
  return outcome === "broken" ? styled("red", "BROKEN") : styled("dim", "not tried");
}

function verdictOf({ verdict, code }: ProvedProfile): Piece {
  if (verdict === "proved") return styled("green", "proved");
  if (verdict === "broken") return styled("red", "BROKEN");
  return verdict === "refused" ? styled("yellow", `refused with ${code ?? "an error"}`) : styled("dim", "not tried");
}

function seconds(ms: number | undefined): string {
  return ms === undefined ? "" : `${(ms / 1000).toFixed(1)} s`;
}

/** The report as tables: what is declared, what held, by which mechanism and in what time. */
export function printReport(terminal: Terminal, report: ProofReport): void {
  const { host, version, startedAt } = report;
  terminal.print(
    styled(
      "dim",
      `toolruntime ${version} on ${host.name}, ${host.platform} ${host.arch}, kernel ${host.kernel}, Node ${host.node}, ${startedAt}`,
    ),
  );
  for (const { backend, status, version: engine, reason, notes, profiles } of report.backends) {
    terminal.print();
    terminal.print(
      styled("bold", backend),
      engine === undefined ? "" : ` (${engine})`,
      status === "ready" ? "" : styled("red", ": unavailable"),
    );
    if (reason !== undefined) terminal.print("  why: ", reason);
    for (const note of notes) terminal.print("  note: ", note);
    for (const one of profiles) printProfile(terminal, one);
  }
  terminal.print();
  terminal.print(
    isProved(report) ? styled("green", "All that was tried held.") : styled("red", "Something is broken, or nothing was proved."),
  );
}

function printProfile(terminal: Terminal, one: ProvedProfile): void {
  const { profile, isolation, artifact, reason, limits, cases } = one;
  terminal.print();
  const wall = isolation === undefined ? "" : `, ${artifact} behind ${isolation}`;
  terminal.print(`  profile ${profile}${wall}: `, verdictOf(one));
  if (reason !== undefined) terminal.print("    ", reason);
  if (limits.length > 0) {
    const head = ["    limit", "declared", "outcome", "time", "cases"].map((text) => styled("dim", text));
    const rows = limits.map(({ limit, declared, outcome, ms, cases: ids }) => [
      `    ${limit}`,
      declared ?? styled("yellow", "nothing enforces it"),
      show(outcome),
      seconds(ms),
      ids.join(", "),
    ]);
    terminal.table([head, ...rows]);
  }
  printSuite(terminal, "conformance", cases);
  printSuite(terminal, "abuse", cases);
}

function printSuite(terminal: Terminal, suite: ProvedCase["suite"], all: readonly ProvedCase[]): void {
  const cases = all.filter((one) => one.suite === suite);
  if (cases.length === 0) return;
  const count = (outcome: ProofOutcome): number => cases.filter((one) => one.outcome === outcome).length;
  terminal.print(`    ${suite}: ${count("held")} held, ${count("broken")} broken, ${count("not tried")} not tried`);
  // Of a suite of a hundred only what is out of order; of the corpus each row.
  const shown = suite === "abuse" ? cases : cases.filter(({ outcome }) => outcome === "broken");
  terminal.table(shown.map(({ id, title, outcome, ms, reason }) => [`      ${id}`, show(outcome), seconds(ms), reason ?? title]));
}
