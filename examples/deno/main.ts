import { createRuntime, memoryBlobStore, memoryExecutionStore } from "toolruntime";
import { bearerTokens, createApp, type ServiceState } from "toolruntime/edge";
import { folderRegistry } from "toolruntime/executor";
import { wasm } from "toolruntime/wasm";

const token = Deno.env.get("TOOLRUNTIME_TOKEN");
if (token === undefined || token.length < 16) throw new Error("Cannot start: TOOLRUNTIME_TOKEN must have at least 16 characters");
const graceMs = 10_000;

const tools = await folderRegistry({
  folder: Deno.env.get("TOOLS") ?? "tools",
  onProblem: ({ error }) => console.error(error.message),
});
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

const server = Deno.serve(
  {
    hostname: "127.0.0.1",
    port: Number(Deno.env.get("PORT") ?? 8787),
    onListen: ({ port }) => console.log(`Listening on http://127.0.0.1:${port}`),
  },
  (request) => app.fetch(request),
);

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Takes no new work, lets what runs end within the grace, ends the rest, and gives each its answer. */
async function stop(): Promise<void> {
  state.isDraining = true;
  for (const until = Date.now() + graceMs; state.running > 0 && Date.now() < until;) await pause(20);
  await runtime.close();
  await backend.close();
  await tools.close();
  await Promise.race([server.shutdown(), pause(500)]);
  Deno.exit(0);
}
Deno.addSignalListener("SIGTERM", () => void stop());
Deno.addSignalListener("SIGINT", () => void stop());
