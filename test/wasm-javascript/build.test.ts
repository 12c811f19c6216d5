import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { bundle, findBinary, openWorker } from "../../bench/engines.ts";
import type { Result } from "../../src/index.ts";
import { makeArtifact } from "../../src/wasm/index.ts";
import { quickJs } from "../../src/wasm/javascript/node.ts";
import { scratchFolder } from "../registry/support.ts";
import { buildSamples, filesUnder, samplesOf } from "../wasm-build/support.ts";
import { snippet } from "./support.ts";

const sample = "text-template";
const found = findBinary("workerd");
if ("missing" in found) console.log(`Not run on workerd: ${found.missing}`);

const folder = fileURLToPath(new URL(".", import.meta.url));

it.skipIf("missing" in found)(
  "is ended on workerd by its fuel where the clock stands still, while others are served",
  { timeout: 120_000 },
  async () => {
    const source = "export default ({ endless }) => { while (endless); return 'done'; };";
    const { modules, ...artifact } = await makeArtifact(await snippet(source), { javascript: quickJs(), deterministic: false });
    const main = `import main from "./main.wasm";
    import { freezeClocks, movesClocks } from "../engines/workerd/frozen-clock.ts";
    import { createRuntime, defineTool } from "../../src/index.ts";
    import { builtWasm } from "../../src/wasm/built.ts";
    freezeClocks();
    const code = { language: "javascript", digest: ${JSON.stringify(artifact.of)} };
    const manifest = { name: "snippet", version: "1.0.0", description: "Of the tests", inputSchema: true, artifacts: { code } };
    const tool = await defineTool(manifest, { compiled: [{ ...${JSON.stringify(artifact)}, modules: { main } }] });
    const runtime = createRuntime({ backend: builtWasm(), security: "standard" });
    export default movesClocks({
      fetch: async (request) =>
        runtime.execute({ tool, ...(await request.json()) }).then(
          ({ output }) => Response.json({ output }),
          ({ code, details }) => Response.json({ code, details }),
        ),
    });`;
    await using worker = await openWorker(await bundle(main, folder), {
      modules: { "main.wasm": Object.values(modules)[0] ?? new Uint8Array() },
    });
    const ask = async (task: object): Promise<unknown> => (await fetch(worker.url, { method: "POST", body: JSON.stringify(task) })).json();
    expect(await ask({ input: {} })).toEqual({ output: "done" });
    let isOver = false;
    const endless = ask({ input: { endless: true }, resources: { fuel: 10_000_000_000, timeout: "60s" } }).finally(() => (isOver = true));
    const served: boolean[] = [];
    for (let count = 0; count < 5; count++) {
      expect(await ask({ input: {} })).toEqual({ output: "done" });
      served.push(isOver);
    }
    // At least the first was served while the other still ran.
    expect(served[0]).toBe(false);
    expect(await endless).toMatchObject({ code: "ERR_LIMIT_FUEL", details: { value: 10_000_000_000 } });
  },
);

it.skipIf("missing" in found)("runs on workerd as toolruntime build wrote it", { timeout: 120_000 }, async () => {
  await using scratch = await scratchFolder();
  await buildSamples([sample], scratch.path);
  const modules = Object.fromEntries([...(await filesUnder(scratch.path))].filter(([path]) => path.endsWith(".wasm")));
  expect(Object.keys(modules).toSorted()).toEqual(["quickjs/main.deterministic.wasm", "quickjs/main.wasm"]);
  const main = `import { tools } from ${JSON.stringify(join(scratch.path, "index.js"))};
    import { createRuntime, defineTool } from "../../src/index.ts";
    import { builtWasm } from "../../src/wasm/built.ts";
    const [{ manifest, compiled }] = tools;
    const tool = await defineTool(manifest, { compiled });
    const runtime = createRuntime({ backend: builtWasm(), security: "standard" });
    export default {
      fetch: async (request) => Response.json(await runtime.execute({ tool, ...(await request.json()) })),
    };`;
  await using worker = await openWorker(await bundle(main, folder), { modules });
  const ask = async (task: object): Promise<Result> =>
    (await (await fetch(worker.url, { method: "POST", body: JSON.stringify(task) })).json()) as Result;
  for (const { input, output } of await samplesOf(sample)) {
    expect(await ask({ input })).toMatchObject({ exitCode: 0, output, backend: { artifact: "code", isolation: "wasm" } });
    const deterministic = { seed: "seed", now: "2026-01-31T12:00:00Z" };
    expect(await ask({ input, deterministic })).toMatchObject({ exitCode: 0, output });
  }
});
