import { createRuntime, memoryBlobStore, memoryExecutionStore } from "toolruntime";
import { bearerTokens, createApp, type ServiceState } from "toolruntime/edge";
import { folderRegistry } from "toolruntime/executor";
import { wasm } from "toolruntime/wasm";

const { TOOLRUNTIME_TOKEN: token, TOOLS: folder = "tools", PORT: port = "8787" } = process.env;
if (token === undefined || token.length < 16) throw new Error("Cannot start: TOOLRUNTIME_TOKEN must have at least 16 characters");
const graceMs = 10_000;

const tools = await folderRegistry({ folder, onProblem: ({ error }) => console.error(error.message) });
const backend = wasm();
const blobs = memoryBlobStore();
const runtime = createRuntime({ backend, security: "standard", tools, blobs });
const state: ServiceState = { isDraining: false, running: 0 };
const app = createApp({
  runtime,
  tools,
  blobs,
  executions: memoryExecutionStore(),
  authenticate: bearerTokens([{ token, principal: "owner", tenant: "default" }]),
  // The names under which callers know the service; others are refused.
  hosts: ["localhost", "127.0.0.1"],
  state,
});

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(port),
  // In seconds, and more than a tool may take: Bun cuts off connections on which nothing moves, and an answer comes at the end.
  idleTimeout: 120,
  fetch: (request) => app.fetch(request),
});
console.log(`Listening on http://127.0.0.1:${server.port}`);

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Takes no new work, lets what runs end within the grace, ends the rest, and gives each its answer. */
async function stop(): Promise<void> {
  state.isDraining = true;
  for (const until = Date.now() + graceMs; state.running > 0 && Date.now() < until;) await pause(20);
  await runtime.close();
  await backend.close();
  await tools.close();
  await Promise.race([server.stop(), pause(500)]);
  await server.stop(true);
  process.exit(0);
}
process.once("SIGTERM", () => void stop());
process.once("SIGINT", () => void stop());
