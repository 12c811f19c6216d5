/** One measured thing: what it costs in µs per call, over several rounds. */
export interface Series {
  readonly name: string;
  readonly microseconds: readonly number[];
}

export interface Row {
  readonly name: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Median of the rounds' ratios to the first subject, round by round. */
  readonly ratio: number;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = Number.NaN, high = Number.NaN] = sorted.length % 2 === 1 ? [sorted[middle], sorted[middle]] : [sorted[middle - 1], sorted[middle]];
  return (low + high) / 2;
}

export interface Subject {
  readonly name: string;
  readonly run: () => unknown;
}

/** Runs the subjects in turn, round by round, so that a machine whose speed drifts drifts for all of them. */
export async function compare(subjects: readonly Subject[], { rounds, calls }: { rounds: number; calls: number }): Promise<Series[]> {
  const series = subjects.map(({ name }) => ({ name, microseconds: [] as number[] }));
  for (let round = -1; round < rounds; round++) {
    for (const [index, subject] of subjects.entries()) {
      const start = performance.now();
      for (let call = 0; call < calls; call++) await subject.run();
      // The first round warms up and does not count.
      if (round >= 0) series[index]?.microseconds.push(((performance.now() - start) * 1000) / calls);
    }
  }
  return series;
}

export function toRows(series: readonly Series[]): Row[] {
  const floor = series[0]?.microseconds ?? [];
  return series.map(({ name, microseconds }) => ({
    name,
    median: median(microseconds),
    min: Math.min(...microseconds),
    max: Math.max(...microseconds),
    ratio: median(microseconds.map((value, round) => value / (floor[round] ?? Number.NaN))),
  }));
}

function format(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(2);
}

/** A table for people. */
export function toTable(title: string, unit: string, rows: readonly Row[]): string {
  const cells = [["", `median ${unit}`, "min", "max", "ratio"], ...rows.map((row) => [row.name, format(row.median), format(row.min), format(row.max), `${row.ratio.toFixed(2)}x`])];
  const widths = cells[0]?.map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0))) ?? [];
  const lines = cells.map((line) => line.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join("  "));
  return `${title}\n${lines.map((line) => `  ${line}`).join("\n")}\n`;
}
