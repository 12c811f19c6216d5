import { builtWasm } from "../../src/wasm/built.ts";
import { createRuntime, defineTool } from "../../src/index.ts";
import { createWorker, type WorkerHandler } from "../../src/edge/worker.ts";
import { openEngine as engine } from "toolruntime:engine";
import { tools } from "toolruntime:tools";
import { original } from "toolruntime:original";
import { handWire } from "../floor.ts";

const encoder = new TextEncoder();
const [built] = tools;
if (built === undefined) throw new Error("there is no tool");
const tool = await defineTool(built.manifest, { compiled: built.compiled });
const { name } = tool.manifest;
const byHand = handWire(original, name);
const runtime = createRuntime({ backend: builtWasm(), security: "standard" });
const service = createWorker({ tools, engine });

interface Asked {
  readonly subject: "hand" | "execute";
  readonly calls: number;
  readonly input: unknown;
}

function callByHand(input: unknown): unknown {
  return JSON.parse(byHand(encoder.encode(JSON.stringify(input))));
}

/** Milliseconds for so many calls. The clock of a worker is coarse, so a call is not timed by itself. */
async function time({ subject, calls, input }: Asked): Promise<{ readonly ms: number; readonly output: unknown }> {
  let output: unknown;
  const startedAt = performance.now();
  if (subject === "hand") for (let call = 0; call < calls; call++) output = callByHand(input);
  else for (let call = 0; call < calls; call++) ({ output } = await runtime.execute({ tool, input }));
  return { ms: performance.now() - startedAt, output };
}

/** A worker that runs a tool by hand and through the runtime, many times in one request or once for each. */
const handler: WorkerHandler = {
  async fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (pathname === "/time") return Response.json(await time(await request.json()));
    if (pathname !== "/hand") return service.fetch(request, env, context);
    const { input } = (await request.json()) as { readonly input: unknown };
    return Response.json({ output: callByHand(input) });
  },
};
export default handler;
