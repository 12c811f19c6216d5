// Started by service.ts: the service with the tools of the soak. Prints its address, then its resident memory each second.
import { readFile } from "node:fs/promises";
import { createService, parseConfig } from "../src/adapters/executor/index.ts";
import { createRegistry, defineTool, type Tool } from "../src/index.ts";

async function openTool(name: string, command?: string): Promise<Tool> {
  const base = { name, version: "1.0.0", description: "A guest of the soak", inputSchema: { type: "object" } };
  if (command !== undefined) return defineTool({ ...base, artifacts: { command: { argv: ["sh", "-c", command] } } });
  return defineTool({ ...base, artifacts: { wasm: {} } }, { wasm: await readFile(new URL("../bench/guests/echo.wasm", import.meta.url)) });
}

const service = await createService({
  config: parseConfig({
    port: 0,
    security: "dev",
    backends: { wasm: {}, unsafe: { acceptUnsafe: true } },
    concurrency: { running: 256, queued: 1024 },
    limits: { maxJsonBytes: 256 * 1024 },
    log: { level: "silent" },
  }),
  tools: createRegistry([await openTool("echo"), await openTool("fails", "exit 3"), await openTool("sleeps", "sleep 30")]),
});
const { url } = await service.listen();
console.log(JSON.stringify({ url }));
const timer = setInterval(() => {
  globalThis.gc?.();
  console.log(JSON.stringify({ residentMiB: process.memoryUsage.rss() / 2 ** 20 }));
}, 1000);
process.once("SIGTERM", () => {
  clearInterval(timer);
  void service.close();
});
