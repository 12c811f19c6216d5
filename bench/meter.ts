import { readFile } from "node:fs/promises";
import { readSections, sectionIds } from "../src/wasm/binary.ts";
import { meterModule } from "../src/wasm/meter/index.ts";
import { kernels, type Kernel } from "./kernels/list.ts";
import { median } from "./measure.ts";
import { runOn, type Engine, type EngineFigures } from "./meter-engines.ts";
import { measureRewriting, type RewriteFigures } from "./meter-rewrite.ts";
import type { Figures, Job } from "./meter-runner.ts";

export interface MeterEffort {
  readonly rounds: number;
  readonly engines: readonly Engine[];
}

/** What a bench found, for programs and for people. */
export interface Report {
  readonly data: unknown;
  readonly text: string;
}

interface Prepared {
  readonly kernel: Kernel;
  readonly job: Job;
  /** Of the code section, metered to plain. */
  readonly codeRatio: number;
}

interface Row {
  readonly kernel: string;
  readonly language: string;
  readonly plainMs: number;
  readonly meteredMs: number;
  /** Median of the rounds' ratios. */
  readonly ratio: number;
  /** Of the shortest runs: what other work on the machine moves least. */
  readonly bestRatio: number;
  readonly fuel: number;
  readonly fuelPerMs: number;
  readonly codeRatio: number;
}

function codeBytes(bytes: Uint8Array): number {
  const code = readSections(bytes).find(({ id }) => id === sectionIds.code);
  return code === undefined ? 0 : code.end - code.start;
}

async function prepare(kernel: Kernel): Promise<Prepared> {
  const plain = new Uint8Array(await readFile(new URL(`kernels/${kernel.file}`, import.meta.url)));
  const metered = meterModule(plain).bytes;
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
  const job = { name: kernel.file, n: kernel.n, plain: base64(plain), metered: base64(metered) };
  return { kernel, job, codeRatio: codeBytes(metered) / codeBytes(plain) };
}

function toRow({ kernel, codeRatio }: Prepared, { plainMs, meteredMs, fuel }: Figures): Row {
  return {
    kernel: kernel.name,
    language: kernel.language,
    plainMs: median(plainMs),
    meteredMs: median(meteredMs),
    ratio: median(meteredMs.map((value, round) => value / (plainMs[round] ?? Number.NaN))),
    bestRatio: Math.min(...meteredMs) / Math.min(...plainMs),
    fuel,
    fuelPerMs: fuel / median(meteredMs),
    codeRatio,
  };
}

function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** The same module has the same checksum and the same fuel everywhere, or the figures are of different work. */
function checkSame(results: readonly EngineFigures[]): void {
  const [first, ...others] = results;
  for (const { engine, figures } of others) {
    for (const [index, { name, checksum, fuel }] of figures.entries()) {
      const expected = first?.figures[index];
      if (expected?.checksum === checksum && expected.fuel === fuel) continue;
      throw new Error(
        `kernel "${name}" differs on "${engine}": checksum ${checksum} for ${expected?.checksum}, fuel ${fuel} for ${expected?.fuel}`,
      );
    }
  }
}

function toLines(cells: readonly (readonly string[])[], textColumns: number): string {
  const widths = cells[0]?.map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0))) ?? [];
  const pad = (cell: string, column: number): string =>
    column < textColumns ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  return cells.map((line) => `  ${line.map(pad).join("  ").trimEnd()}\n`).join("");
}

function toReport({ engine, version, figures }: EngineFigures, prepared: readonly Prepared[]): Report {
  const rows = prepared.flatMap((entry, index) => {
    const found = figures[index];
    return found === undefined ? [] : [toRow(entry, found)];
  });
  const title = `metered against plain, ${engine} ${version}`;
  const mean = geometricMean(rows.map(({ ratio }) => ratio));
  const meanOfBest = geometricMean(rows.map(({ bestRatio }) => bestRatio));
  const worst = rows.reduce((most, row) => (row.ratio > most.ratio ? row : most));
  const cells = [
    ["kernel", "language", "plain ms", "metered ms", "ratio", "of best runs", "fuel/ms", "code size"],
    ...rows.map((row) => [
      row.kernel,
      row.language,
      row.plainMs.toFixed(1),
      row.meteredMs.toFixed(1),
      `${row.ratio.toFixed(3)}x`,
      `${row.bestRatio.toFixed(3)}x`,
      Math.round(row.fuelPerMs).toLocaleString("en"),
      `${row.codeRatio.toFixed(2)}x`,
    ]),
    ["geometric mean", "", "", "", `${mean.toFixed(3)}x`, `${meanOfBest.toFixed(3)}x`, "", ""],
    ["worst", "", "", "", `${worst.ratio.toFixed(3)}x`, `${worst.kernel}, ${worst.language}`, "", ""],
  ];
  return { data: { title, engine, version, rows, geometricMean: mean, worst: worst.ratio }, text: `${title}\n${toLines(cells, 2)}` };
}

function toRewriteReport(rows: readonly RewriteFigures[]): Report {
  const title = `rewriting against compiling, node ${process.versions.node}`;
  const cells = [
    ["module", "kB", "compile ms", "first rewrite ms", "rewrite ms", "rewrite/compile", "size"],
    ...rows.map((row) => [
      row.module,
      (row.bytes / 1000).toFixed(0),
      row.compileMs.toFixed(1),
      row.firstMs.toFixed(1),
      row.meterMs.toFixed(1),
      `${row.ratio.toFixed(2)}x`,
      `${row.sizeRatio.toFixed(2)}x`,
    ]),
  ];
  return { data: { title, rows }, text: `${title}\n${toLines(cells, 1)}` };
}

/** What metering costs: the kernels metered against plain on each engine, and the rewriting itself against compiling. */
export async function benchMeter({ rounds, engines }: MeterEffort): Promise<Report[]> {
  const prepared = await Promise.all(kernels.map(prepare));
  const jobs = prepared.map(({ job }) => job);
  const results: EngineFigures[] = [];
  for (const engine of engines) results.push(await runOn(engine, { jobs, rounds }));
  checkSame(results);
  return [...results.map((result) => toReport(result, prepared)), toRewriteReport(await measureRewriting(rounds))];
}
