import type { BatchAnswer } from "../../src/client.ts";

/** A batch and what became of it. */
export interface Row {
  readonly tool: string;
  readonly inputs: number;
  readonly answers: readonly BatchAnswer[];
  /** Every number that a tool has written, as often as it did. */
  readonly written: readonly number[];
}

interface Facts {
  readonly answered: number;
  readonly results: number;
  /** The node died, and the tool had started or may have. */
  readonly unknown: number;
  readonly otherErrors: number;
  /** Inputs without an answer, or with a result but no effect. */
  readonly lost: number;
  /** Inputs with more than one answer. */
  readonly answeredTwice: number;
  readonly ranTwice: number;
}

function factsOf({ inputs, answers, written }: Row): Facts {
  const times = new Map<number, number>();
  for (const n of written) times.set(n, (times.get(n) ?? 0) + 1);
  const answered = new Set(answers.map(({ index }) => index));
  const results = answers.filter(({ status }) => status === "result");
  const errors = answers.flatMap((answer) => (answer.status === "error" ? [answer.error] : []));
  const unknown = errors.filter(({ started }) => started).length;
  return {
    answered: answered.size,
    results: results.length,
    unknown,
    otherErrors: errors.length - unknown,
    lost: inputs - answered.size + results.filter(({ index }) => !times.has(index)).length,
    answeredTwice: answers.length - answered.size,
    ranTwice: [...times.values()].filter((count) => count > 1).length,
  };
}

/** A tool that may run twice gives a result for every input; any other one never runs twice, and says where it is not known. */
function holds(tool: string, { otherErrors, unknown, lost, answeredTwice, ranTwice }: Facts): boolean {
  if (lost + answeredTwice + otherErrors > 0) return false;
  return tool === "count-again" ? unknown === 0 : ranTwice === 0;
}

export function toTable(rows: readonly Row[]): { readonly text: string; readonly holds: boolean } {
  const facts = rows.map((row) => ({ tool: row.tool, facts: factsOf(row) }));
  const head = ["tool", "answered", "results", "node died, tool had started", "other errors", "lost", "answered twice", "ran twice"];
  const lines = facts.map(({ tool, facts: { answered, results, unknown, otherErrors, lost, answeredTwice, ranTwice } }) =>
    [tool, answered, results, unknown, otherErrors, lost, answeredTwice, ranTwice].map(String),
  );
  const widths = head.map((title, column) => Math.max(title.length, ...lines.map((line) => line[column]?.length ?? 0)));
  const show = (cells: readonly string[]): string =>
    cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join("  ");
  const isGood = facts.every(({ tool, facts: all }) => holds(tool, all));
  const verdict = isGood
    ? 'Nothing was lost. "count", which must not, ran no input twice; "count-again", which may, has a result for each.'
    : "This is wrong: something was lost, or ran twice that must not.";
  return { text: [head, ...lines].map(show).join("\n") + `\n\n${verdict}`, holds: isGood };
}
