/** Runs one module in a process of its own and prints how it ended and what the process took: `node run-alone.ts <file> <memory>`. */
import { readFile } from "node:fs/promises";
import { createRuntime, defineTool } from "../../../src/index.ts";
import { wasm } from "../../../src/wasm/index.ts";

const [file = "", memory = "64Mi"] = process.argv.slice(2);
const tool = await defineTool(
  { name: "attack", version: "1.0.0", description: "An attack", inputSchema: true, artifacts: { wasm: {} } },
  { wasm: await readFile(file) },
);
const runtime = createRuntime({ backend: wasm(), security: "dev" });
const startBytes = process.memoryUsage().rss;
const { exitCode, exit, limits } = await runtime.execute({ tool, resources: { memory } });
console.log(JSON.stringify({ exitCode, exit, limits, startBytes, peakBytes: process.resourceUsage().maxRSS * 1024 }));
