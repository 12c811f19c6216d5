// A service with runs going on, to be killed. Its arguments: the daemon's socket, the scratch folder, the image, what is to run.
import { containerd } from "../../../src/backends/containerd/index.ts";
import { createRuntime } from "../../../src/index.ts";
import { acceptEngines, toolOf } from "../support.ts";

const [, , socketPath = "", scratch = "", reference = "", ...argv] = process.argv;
const backend = containerd({ socketPath, scratch, acceptEngines });
const runtime = createRuntime({ backend, security: "standard", timeout: "60s" });
const tool = await toolOf({ reference }, argv);
const onEvent = ({ type }: { readonly type: string }): void => {
  if (type === "started") process.stdout.write("started\n");
};
await Promise.all([runtime.execute({ tool }, { onEvent }), runtime.execute({ tool }, { onEvent })]);
