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
  // API Gateway waits 30 s, and the function's own timeout must be longer than what a tool may take.
  maxima: { timeout: "25s" },
});

/** Lives as long as the execution environment. Lambda ends that without a word, and never while a request is answered. */
export const app = createApp({
  runtime,
  tools,
  blobs,
  executions: memoryExecutionStore(),
  authenticate: bearerTokens([{ token, principal: "owner", tenant: "default" }]),
  // Which names lead here is API Gateway's or the function URL's to say.
  hosts: "any",
});
