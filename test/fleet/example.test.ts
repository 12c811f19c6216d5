import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { fromRoot } from "./node-process.ts";
import { until } from "./support.ts";

interface Example {
  /** All that it printed so far. */
  text(): string;
  readonly ended: Promise<number | null>;
  interrupt(): void;
  /** Processes that it started, and what they started. */
  processes(): string[];
  leftFiles(): string[];
}

/** Starts the example with a temporary folder of its own, and a variable by which whatever it starts is found. */
async function startExample(inputs: number): Promise<Example> {
  const folder = await mkdtemp(join(tmpdir(), "fleet-example-"));
  const mark = `FLEET_EXAMPLE_TEST=${folder}`;
  const child = spawn(process.execPath, [fromRoot("examples/fleet/start.ts"), "--inputs", String(inputs)], {
    env: { ...process.env, TMPDIR: folder, FLEET_EXAMPLE_TEST: folder, NODE_DISABLE_COMPILE_CACHE: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const ended = new Promise<number | null>((resolve) => {
    child.once("close", (code) => resolve(code));
  });
  const processes = (): string[] =>
    readdirSync("/proc").filter((pid) => {
      if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
      try {
        return readFileSync(`/proc/${pid}/environ`, "latin1").includes(mark);
      } catch {
        return false;
      }
    });
  onTestFinished(async () => {
    for (const pid of processes()) process.kill(Number(pid), "SIGKILL");
    await ended;
    await rm(folder, { recursive: true, force: true });
  });
  return { text: () => text, ended, interrupt: () => void child.kill("SIGINT"), processes, leftFiles: () => readdirSync(folder) };
}

/** The numbers of a tool's line in the table. */
function lineOf(text: string, tool: string): number[] {
  const line = text.split("\n").find((one) => one.startsWith(`${tool} `) && /^\S+(?:\s+\d+)+$/.test(one));
  return (line ?? "").trim().split(/\s+/).slice(1).map(Number);
}

describe("examples/fleet", () => {
  it("shows that nothing was lost or run twice, and leaves nothing", { timeout: 120_000 }, async () => {
    const example = await startExample(90);
    expect([await example.ended, example.text()]).toEqual([0, expect.stringContaining("Nothing was lost")]);
    const text = example.text();
    expect(text.match(/is killed$/gm)).toHaveLength(2);
    expect(text.match(/is back$/gm)).toHaveLength(2);
    expect(text).toContain("in the edge itself");
    const [answered, results, unknown, others, lost, doubled] = lineOf(text, "count-again");
    expect([answered, results, unknown, others, lost, doubled]).toEqual([90, 90, 0, 0, 0, 0]);
    const [all = 0, good = 0, died = 0, ...zeros] = lineOf(text, "count");
    expect([all, good + died, zeros]).toEqual([90, 90, [0, 0, 0, 0]]);
    expect(example.processes()).toEqual([]);
    expect(example.leftFiles()).toEqual([]);
  });

  it("ends everything at Ctrl-C", { timeout: 120_000 }, async () => {
    const example = await startExample(300);
    await until(() => example.text().includes("is killed"), 90_000, "a batch is on its way");
    expect(example.processes().length).toBeGreaterThan(3);
    example.interrupt();
    expect([await example.ended, example.text()]).toEqual([130, expect.stringContaining("nothing is left running")]);
    await until(() => example.processes().length === 0, 5000, "no process is left");
    expect(example.leftFiles()).toEqual([]);
  });
});
