import { readFileSync } from "node:fs";
import { createRuntime, defineTool } from "../../src/index.ts";
import { wasm } from "../../src/wasm/index.ts";
import { ProcessDriver } from "../../src/wasm/process/driver.ts";
import { readOptions } from "../../src/wasm/process/options.ts";

/** A service in a process of its own: runs the module that its first argument names, and says its driver's prefix on stdout. */
const [, , file = "", cgroup = "auto"] = process.argv;
const driver = new ProcessDriver(readOptions({ cgroup: cgroup === "none" ? "none" : "auto" }));
const runtime = createRuntime({ backend: wasm({ process: driver }), security: "hardened" });
const tool = await defineTool(
  { name: "sample", version: "1.0.0", description: "A module for a test", inputSchema: true, artifacts: { wasm: {} } },
  { wasm: readFileSync(file) },
);
const running = runtime.execute(
  { tool, resources: { timeout: "30s" } },
  { onEvent: ({ type }) => void process.stdout.write(`${type} ${driver.childPrefix}\n`) },
);
await running.catch((error: unknown) => process.stdout.write(`failed ${String(error)}\n`));
