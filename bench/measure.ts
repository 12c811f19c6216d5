/** What one call of a subject costs in µs, by round: the median of its calls and their mean, which garbage and page faults move. */
export interface Series {
  readonly name: string;
  readonly medians: readonly number[];
  readonly means: readonly number[];
}

export interface Row {
  readonly name: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Median of the rounds' ratios to the first subject, round by round. */
  readonly ratio: number;
}

export interface BenchTable {
  readonly title: string;
  readonly unit: string;
  readonly rows: readonly Row[];
}

export interface Effort {
  /** Rounds that count, after one that warms up. */
  readonly rounds: number;
  readonly calls: number;
}

export interface Subject {
  readonly name: string;
  readonly run: () => unknown;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const high = sorted[sorted.length >> 1] ?? Number.NaN;
  return sorted.length % 2 === 1 ? high : (high + (sorted[(sorted.length >> 1) - 1] ?? Number.NaN)) / 2;
}

async function timeCalls({ run }: Subject, calls: number): Promise<number[]> {
  const times: number[] = [];
  for (let call = 0; call < calls; call++) {
    const start = performance.now();
    await run();
    times.push((performance.now() - start) * 1000);
  }
  return times;
}

/** Runs the subjects in turn, round by round, so that a machine whose speed drifts drifts for all of them. */
export async function compare(subjects: readonly Subject[], { rounds, calls }: Effort): Promise<Series[]> {
  const series = subjects.map(({ name }) => ({ name, medians: [] as number[], means: [] as number[] }));
  for (let round = -1; round < rounds; round++) {
    for (const [index, subject] of subjects.entries()) {
      const times = await timeCalls(subject, calls);
      // The first round warms up and does not count.
      if (round < 0) continue;
      series[index]?.medians.push(median(times));
      series[index]?.means.push(times.reduce((sum, time) => sum + time, 0) / times.length);
    }
  }
  return series;
}

/** The rows of a table from each subject's figures by round; the first subject is the floor. */
export function toRows(figures: readonly { readonly name: string; readonly values: readonly number[] }[]): Row[] {
  const floor = figures[0]?.values ?? [];
  return figures.map(({ name, values }) => ({
    name,
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
    ratio: median(values.map((value, round) => value / (floor[round] ?? Number.NaN))),
  }));
}

/** Two tables: what the middle call costs, and what calls cost on average. */
export function toTables(title: string, series: readonly Series[]): BenchTable[] {
  return [
    { title: `${title}, median call`, unit: "µs", rows: toRows(series.map(({ name, medians }) => ({ name, values: medians }))) },
    { title: `${title}, mean call`, unit: "µs", rows: toRows(series.map(({ name, means }) => ({ name, values: means }))) },
  ];
}

function format(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(2);
}

/** A table for people. */
export function toText({ title, unit, rows }: BenchTable): string {
  const cells = [
    ["", `median ${unit}`, "min", "max", "ratio"],
    ...rows.map((row) => [row.name, format(row.median), format(row.min), format(row.max), `${row.ratio.toFixed(2)}x`]),
  ];
  const widths = cells[0]?.map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0))) ?? [];
  const pad = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  return `${title}\n${cells.map((line) => `  ${line.map(pad).join("  ")}`).join("\n")}\n`;
}
