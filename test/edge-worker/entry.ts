import type { WorkerEnv } from "../../src/edge/worker.ts";
import { createWorker, type WorkerHandler } from "../../src/edge/worker.ts";
import { openDynamic } from "toolruntime:dynamic";
import { openEngine as engine } from "toolruntime:engine";
import { tools } from "toolruntime:tools";

export { Executions } from "../../src/edge/worker.ts";

const worker = createWorker({ tools, engine, dynamic: openDynamic, version: "1.2.3" });

/** Puts into the bucket whatever it is told, as somebody would who may write there. */
async function putAside(request: Request, { ARTIFACTS: bucket }: WorkerEnv): Promise<Response> {
  const key = decodeURIComponent(new URL(request.url).pathname.slice("/test/r2/".length));
  const bytes = new Uint8Array(await request.arrayBuffer());
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  await bucket?.put(key, bytes, { sha256: Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("") });
  return new Response("put");
}

/** The worker as it is, and a back door for tests. */
const handler: WorkerHandler = {
  fetch: (request, env, context) =>
    new URL(request.url).pathname.startsWith("/test/r2/") ? putAside(request, env) : worker.fetch(request, env, context),
};
export default handler;
