import { fileURLToPath } from "node:url";
import { createRuntime } from "../src/index.ts";
import { loadTool } from "../src/internal/node/tool-folder.ts";
import { wasm } from "../src/wasm/index.ts";

const sampleEvery = 10_000;

export interface SequentialReport {
  readonly executions: number;
  readonly seconds: number;
  /** Resident memory in MiB: after the first ten thousand, the median of the rest, the last. */
  readonly residentMiB: { readonly first: number; readonly median: number; readonly last: number; readonly max: number };
  /** Growth per million executions in MiB, by least squares over the samples. */
  readonly growthMiBPerMillion: number;
}

/** Runs a sample tool over and over in this process and watches resident memory. */
export async function soakSequential(
  executions: number,
  onProgress: (done: number, residentMiB: number) => void,
): Promise<SequentialReport> {
  const backend = wasm();
  const tool = await loadTool(fileURLToPath(new URL("../examples/tools/hash", import.meta.url)));
  const samples: number[] = [];
  const start = performance.now();
  {
    await using runtime = createRuntime({ backend, security: "dev" });
    for (let done = 1; done <= executions; done++) {
      const { exitCode } = await runtime.execute({ tool, input: { text: `call ${done}` } });
      if (exitCode !== 0) throw new Error(`execution ${done} ended with exit code ${exitCode}`);
      if (done % sampleEvery === 0) {
        // A collection before each sample, so that garbage that waits is not taken for growth.
        globalThis.gc?.();
        const residentMiB = process.memoryUsage.rss() / 2 ** 20;
        samples.push(residentMiB);
        onProgress(done, residentMiB);
      }
    }
  }
  await backend.close();
  const sorted = samples.toSorted((a, b) => a - b);
  return {
    executions,
    seconds: (performance.now() - start) / 1000,
    residentMiB: { first: samples[0] ?? 0, median: sorted[sorted.length >> 1] ?? 0, last: samples.at(-1) ?? 0, max: sorted.at(-1) ?? 0 },
    growthMiBPerMillion: slope(samples) * (1_000_000 / sampleEvery),
  };
}

function slope(values: readonly number[]): number {
  const meanX = (values.length - 1) / 2;
  const meanY = values.reduce((sum, value) => sum + value, 0) / values.length;
  let top = 0;
  let bottom = 0;
  for (const [x, y] of values.entries()) {
    top += (x - meanX) * (y - meanY);
    bottom += (x - meanX) ** 2;
  }
  return bottom === 0 ? 0 : top / bottom;
}
