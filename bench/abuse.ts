import { readFile } from "node:fs/promises";
import { createRuntime, defineTool, ToolRuntimeError, type Runtime, type Tool } from "../src/index.ts";
import { wasm } from "../src/wasm/index.ts";
import { openEcho, echoInput } from "./echo.ts";
import { median, type Effort } from "./measure.ts";
import type { Report } from "./meter.ts";

/** What never ends by itself, by the module of the abuse corpus that does it. */
const attacks: readonly { readonly name: string; readonly file: string }[] = [
  { name: "endless loop", file: "loop" },
  { name: "tail calls in a loop", file: "tail-loop" },
  { name: "tail calls by a table", file: "tail-loop-table" },
  { name: "memory.fill in a loop", file: "fill-loop" },
  { name: "memory.copy in a loop", file: "copy-loop" },
  { name: "table.fill in a loop", file: "fill-table-loop" },
  { name: "host calls in a loop", file: "host-calls" },
  { name: "large host calls in a loop", file: "large-host-calls" },
];

const timeoutMs = 400;
const pauseMs = 1;
/** How long a victim works without an attacker, for comparison. */
const quietMs = 400;

interface Attack {
  /** How long after its deadline the run had ended, by its caller's clock, in ms. */
  readonly overshootMs: number;
  /** The longest that the event loop did not come round, in ms. */
  readonly gapMs: number;
  /** What the victim's calls took beside the attack, and without it, in ms. */
  readonly times: readonly number[];
  readonly quiet: readonly number[];
}

interface Row {
  readonly name: string;
  readonly overshootMs: number;
  readonly gapMs: number;
  readonly victimP99Ms: number;
  readonly quietP99Ms: number;
  readonly victimCalls: number;
}

async function attackTool(file: string): Promise<Tool> {
  const bytes = await readFile(new URL(`../test/abuse/modules/${file}.wasm`, import.meta.url));
  return defineTool(
    { name: file, version: "1.0.0", description: "Does not end by itself", inputSchema: true, artifacts: { wasm: { abi: "wasi-p1" } } },
    { wasm: bytes },
  );
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Looks at the event loop once in each of its turns. */
function watchGaps(): () => number {
  let longest = 0;
  let last = performance.now();
  let isOver = false;
  const look = (): void => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (!isOver) setImmediate(look);
  };
  setImmediate(look);
  return () => {
    isOver = true;
    return longest;
  };
}

/** One well-behaved call after the other, with a pause between, until it is told to stop; gives how long each took, in ms. */
function startVictim(runtime: Runtime, tool: Tool): () => Promise<number[]> {
  const times: number[] = [];
  const state = { isOver: false };
  const working = (async () => {
    while (!state.isOver) {
      const start = performance.now();
      await runtime.execute({ tool, input: echoInput });
      times.push(performance.now() - start);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    return times;
  })();
  return () => {
    state.isOver = true;
    return working;
  };
}

async function overshoot(runtime: Runtime, tool: Tool): Promise<number> {
  const start = performance.now();
  try {
    await runtime.execute({ tool, resources: { timeout: timeoutMs } });
  } catch (error) {
    if (error instanceof ToolRuntimeError && error.code === "ERR_LIMIT_TIMEOUT") return performance.now() - start - timeoutMs;
    throw error;
  }
  throw new Error(`the attack "${tool.manifest.name}" ended by itself`);
}

async function measure(runtime: Runtime, victim: Tool, attacker: Tool): Promise<Attack> {
  const stopQuiet = startVictim(runtime, victim);
  await new Promise((resolve) => setTimeout(resolve, quietMs));
  const quiet = await stopQuiet();
  const stopVictim = startVictim(runtime, victim);
  const stopGaps = watchGaps();
  const overshootMs = await overshoot(runtime, attacker);
  const gapMs = stopGaps();
  return { overshootMs, gapMs, times: await stopVictim(), quiet };
}

/** Attacks that do not end, inline, beside a victim: how late they end, what the event loop and the victim feel of them. */
export async function benchAbuse({ rounds }: Effort): Promise<Report[]> {
  const backend = wasm();
  await using runtime = createRuntime({ backend, security: "standard" });
  const victim = await openEcho();
  const rows: Row[] = [];
  for (const { name, file } of attacks) {
    const attacker = await attackTool(file);
    // The first warms up.
    await measure(runtime, victim, attacker);
    const found: Attack[] = [];
    for (let round = 0; round < rounds; round++) found.push(await measure(runtime, victim, attacker));
    const times = found.flatMap((one) => one.times);
    rows.push({
      name,
      overshootMs: median(found.map((one) => one.overshootMs)),
      gapMs: median(found.map((one) => one.gapMs)),
      victimP99Ms: percentile(times, 0.99),
      quietP99Ms: percentile(
        found.flatMap((one) => one.quiet),
        0.99,
      ),
      victimCalls: times.length,
    });
  }
  await backend.close();
  return [{ data: { title: "attacks inline", timeoutMs, rows }, text: toText(rows) }];
}

function toText(rows: readonly Row[]): string {
  const cells = [
    ["", "ended after its deadline, ms", "longest gap, ms", "victim p99, ms", "without the attack", "ratio", "victim's calls"],
    ...rows.map((row) => [
      row.name,
      row.overshootMs.toFixed(2),
      row.gapMs.toFixed(2),
      row.victimP99Ms.toFixed(2),
      row.quietP99Ms.toFixed(2),
      `${(row.victimP99Ms / row.quietP99Ms).toFixed(2)}x`,
      String(row.victimCalls),
    ]),
  ];
  const widths = cells[0]?.map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0))) ?? [];
  const pad = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  return `attacks inline, deadline ${timeoutMs} ms, medians\n${cells.map((line) => `  ${line.map(pad).join("  ")}`).join("\n")}\n`;
}
