import { gvisor } from "../../../src/backends/gvisor/index.ts";
import { createRuntime, defineTool } from "../../../src/index.ts";

/** Starts two runs that do not end, and says when they have started. Arguments: image folder, scratch folder, image, program. */
const [, , imageFolder = "", scratch = "", reference = "", ...argv] = process.argv;
const backend = gvisor({ imageFolder, acceptEngines: ["runsc@20221219.0.0"], scratch });
const runtime = createRuntime({ backend, security: "hardened", timeout: "45s" });
const about = { name: "long", version: "1.0.0", description: "Does not end", inputSchema: true };
const tool = await defineTool({ ...about, artifacts: { image: { reference, argv } } }, {});
const onEvent = ({ type }: { readonly type: string }): void => {
  if (type === "started") console.log("started");
};
await Promise.all([1, 2].map(() => runtime.execute({ tool }, { onEvent })));
