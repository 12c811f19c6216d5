import { formatLimit } from "../limits.ts";
import type { Explanation, Runtime, Task } from "../runtime.ts";
import { isTool } from "../tool.ts";
import { exitCodes } from "./exit-codes.ts";
import { styled, type Piece, type Terminal } from "./terminal.ts";

/** Says how a task would be run: which backend takes it, and what enforces each limit. Ends with 125 where none does. */
export async function printExplanations(
  terminal: Terminal,
  task: Task,
  runtime: Runtime,
  options: { readonly json?: boolean | undefined },
): Promise<number> {
  const explanations = await runtime.explain(task);
  const code = explanations.some(({ verdict }) => verdict === "chosen") ? exitCodes.ok : exitCodes.refused;
  if (options.json === true) {
    terminal.json(explanations);
    return code;
  }
  const { tool } = task;
  terminal.print(styled("bold", isTool(tool) ? `${tool.manifest.name} ${tool.manifest.version}` : tool.name));
  for (const explanation of explanations) printExplanation(terminal, explanation);
  return code;
}

function printExplanation(terminal: Terminal, explanation: Explanation): void {
  const { backend, security, verdict, artifact, isolation, limits, reason, code } = explanation;
  const colour = verdict === "refused" ? "red" : "green";
  terminal.print();
  terminal.print(styled("bold", backend), ": ", styled(colour, verdict), ` in profile ${security}`);
  if (verdict === "refused") {
    terminal.print("  ", code ?? "", ": ", reason ?? "");
    return;
  }
  terminal.print(`  artifact ${artifact ?? "?"}, isolation ${isolation ?? "?"}`);
  const rows = (limits ?? []).map(({ limit, value, origin, mechanism, clampedFrom }): Piece[] => [
    `  ${limit}`,
    formatLimit(limit, value) + (clampedFrom === undefined ? "" : ` (cut from ${formatLimit(limit, clampedFrom)})`),
    origin,
    mechanism === "none" ? styled("yellow", "none: nothing enforces it") : mechanism,
  ]);
  terminal.table([["  limit", "value", "from", "enforced by"].map((text) => styled("dim", text)), ...rows]);
}
