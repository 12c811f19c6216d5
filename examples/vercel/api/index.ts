import { handle } from "hono/vercel";
import { createRuntime, memoryBlobStore, memoryExecutionStore } from "toolruntime";
import { bearerTokens, createApp } from "toolruntime/edge";
import { folderRegistry } from "toolruntime/executor";
import { wasm } from "toolruntime/wasm";

const { TOOLRUNTIME_TOKEN: token, TOOLS: folder = "tools" } = process.env;
if (token === undefined || token.length < 16) throw new Error("Cannot start: TOOLRUNTIME_TOKEN must have at least 16 characters");

const tools = await folderRegistry({ folder, onProblem: ({ error }) => console.error(error.message) });
const blobs = memoryBlobStore({ maxTotalBytes: 64 * 2 ** 20 });
const runtime = createRuntime({
  backend: wasm(),
  security: "standard",
  tools,
  blobs,
  // Several requests share an instance.
  concurrency: { running: 16, queued: 64 },
});

const answer = handle(
  createApp({
    runtime,
    tools,
    blobs,
    executions: memoryExecutionStore(),
    authenticate: bearerTokens([{ token, principal: "owner", tenant: "default" }]),
    // Which names lead here is Vercel's to say.
    hosts: "any",
  }),
);

export { answer as DELETE, answer as GET, answer as POST };
