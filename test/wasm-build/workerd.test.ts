import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bundle, findBinary, openWorker, type Worker } from "../../bench/engines.ts";
import { createRuntime } from "../../src/index.ts";
import { loadTool } from "../../src/internal/node/tool-folder.ts";
import { jcoTranspiler } from "../../src/wasm/component/jco/index.ts";
import { wasm } from "../../src/wasm/index.ts";
import { scratchFolder, type Scratch } from "../registry/support.ts";
import { bytesOf } from "../engines/backend/tools.ts";
import { buildSamples, filesUnder, sampleNames, samplesFolder, samplesOf, type Sample } from "./support.ts";
import type { BackendName, WorkerAnswer } from "./worker.ts";

const found = findBinary("workerd");
const isMissing = "missing" in found;
if (isMissing) console.log(`Not run on workerd: ${found.missing}`);

const deterministic = { seed: "seed", now: "2026-01-31T12:00:00Z" };
const names = await sampleNames();
const samples = (await Promise.all(names.map(samplesOf))).flat();

let scratch: Scratch;
let worker: Worker;

beforeAll(async () => {
  if (isMissing) return;
  scratch = await scratchFolder();
  await buildSamples(names, scratch.path);
  const files = [...(await filesUnder(scratch.path))].filter(([path]) => path.endsWith(".wasm"));
  const main = `import { tools } from ${JSON.stringify(join(scratch.path, "index.js"))};
    import { openWorker } from "./worker.ts";
    export default await openWorker(tools);`;
  const code = await bundle(main, fileURLToPath(new URL(".", import.meta.url)));
  worker = await openWorker(code, { modules: Object.fromEntries(files) });
}, 120_000);
afterAll(async () => {
  await worker?.[Symbol.asyncDispose]();
  await scratch?.[Symbol.asyncDispose]();
});

async function ask(
  backend: BackendName,
  sample: Partial<Sample> & { readonly resources?: object },
  isDeterministic = false,
): Promise<WorkerAnswer> {
  const body = JSON.stringify({ ...sample, backend, ...(isDeterministic ? { deterministic } : {}) });
  const text = await (await fetch(worker.url, { method: "POST", body })).text();
  if (!text.startsWith("{")) throw new Error(text);
  return JSON.parse(text);
}

const backends: readonly BackendName[] = ["wasm", "builtWasm"];

describe.skipIf(isMissing).each(backends)("%s() on workerd, with nothing but what toolruntime build made", (backend) => {
  test("has tools of every ABI", async () => {
    const all = await Promise.all(names.map(async (name) => (await loadTool(join(samplesFolder, name))).manifest.artifacts.wasm?.abi));
    expect(new Set(all)).toEqual(new Set(["wasi-p1", "extism", "component"]));
  });

  test.each(samples.map((sample) => [`${sample.tool}, ${sample.title}`, sample] as const))("%s is as on Node", async (_, sample) => {
    const tool = await loadTool(join(samplesFolder, sample.tool));
    await using runtime = createRuntime({ backend: wasm({ components: jcoTranspiler() }), security: "standard" });
    const files = Object.fromEntries(Object.entries(sample.files).map(([path, base64]) => [path, bytesOf(base64)]));
    const expected = await runtime.execute({ tool, input: sample.input, files });
    const { result, error } = await ask(backend, sample);
    expect(error).toBeUndefined();
    expect(result).toMatchObject({ exitCode: 0, output: expected.output, stdout: expected.stdout });
    expect(result?.files.map(({ path, digest }) => [path, digest])).toEqual(expected.files.map(({ path, digest }) => [path, digest]));
    // What the manifest promises, where it promises anything.
    expect(result?.output).toEqual("output" in sample ? sample.output : expected.output);
  });

  test.each(names)("%s gives the same output and fuel as on Node in deterministic runs", async (name) => {
    const sample = samples.find(({ tool }) => tool === name);
    if (sample === undefined) throw new Error("it has no example");
    await using runtime = createRuntime({ backend: wasm({ components: jcoTranspiler() }), security: "standard" });
    const files = Object.fromEntries(Object.entries(sample.files).map(([path, base64]) => [path, bytesOf(base64)]));
    const expected = await runtime.execute({ tool: await loadTool(join(samplesFolder, name)), input: sample.input, files, deterministic });
    const { result, error } = await ask(backend, sample, true);
    expect(error).toBeUndefined();
    const fuelOf = ({ limits }: Pick<typeof expected, "limits">) => limits.find(({ limit }) => limit === "fuel")?.peak;
    expect(result?.stdout).toBe(expected.stdout);
    expect(result === undefined ? undefined : fuelOf(result)).toBe(fuelOf(expected));
    expect(fuelOf(expected)).toBeGreaterThan(0);
  });

  test("holds different memory limits with the same modules", async () => {
    for (const name of ["hash", "text-stats", "html-to-text"]) {
      const sample = samples.find(({ tool }) => tool === name);
      for (const memory of [32, 48, 64]) {
        const { result } = await ask(backend, { ...sample, resources: { memory: `${memory}Mi` } });
        const receipt = result?.limits.find(({ limit }) => limit === "memory");
        expect([name, receipt?.applied]).toEqual([name, expect.any(Number)]);
        expect(receipt?.applied).toBeLessThanOrEqual(memory * 2 ** 20);
        expect(receipt?.applied).toBeGreaterThan((memory - 16) * 2 ** 20);
      }
    }
  });

  test("compiles nothing, neither while it starts nor in a request", async () => {
    const { compiled, result } = await ask(backend, samples[0] ?? {});
    expect([result?.exitCode, compiled]).toEqual([0, 0]);
  });
});

describe.skipIf(isMissing)("a tool that was not built, on workerd", () => {
  test.each(backends)("is refused by %s(), which says what to do", async (backend) => {
    const { error } = await ask(backend, { tool: "bytes" });
    expect(error).toMatchObject({ code: "ERR_ARTIFACT_UNSUPPORTED", started: false });
    expect(error?.message).toContain("toolruntime build");
  });

  test("would have been compiled inside the request, and a Worker Loader may do that", async () => {
    const { error, compiled } = await ask("wasm", { tool: "bytes" });
    expect(compiled).toBeGreaterThan(0);
    expect(error?.message).toContain("Worker Loader");
  });
});
