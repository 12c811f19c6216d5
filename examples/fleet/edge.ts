// What wrangler bundles: the worker as it is, with two tools more that it does not run itself.
import { openEngine as engine } from "toolruntime:engine";
import { tools } from "toolruntime:tools";
import { createWorker } from "../../src/edge/worker.ts";
import countAgain from "./tools/count-again/tool.json" with { type: "json" };
import count from "./tools/count/tool.json" with { type: "json" };

export default createWorker({
  tools: [...tools, { manifest: count, compiled: [] }, { manifest: countAgain, compiled: [] }],
  engine,
});
