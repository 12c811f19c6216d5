import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildNative, nativeTools } from "../../examples/tools/build/native.ts";
import { unsafe } from "../../src/backends/unsafe/index.ts";
import { toToolRuntimeError } from "../../src/errors.ts";
import { createRuntime, defineTool, memoryBlobStore, type Runtime, type Tool } from "../../src/index.ts";
import { wasm } from "../../src/wasm/index.ts";
import { Random } from "../engines/identity/random.ts";
import { readFixtures, sampleMakers } from "../engines/identity/sample-cases.ts";
import { filesOf, load } from "./support.ts";

/**
 * The sample tools of C and Rust, built for this machine from the sources of their modules: each input gives the same answer in the
 * sandbox as outside of it, to the last byte of its output and its files.
 */
const seed = 20_261_123;
const inputsPerTool = 40;
const rebuilds = process.env["TOOLRUNTIME_REBUILD"] === "1";
if (!rebuilds) console.info("The sample tools are not built for this machine: set TOOLRUNTIME_REBUILD=1 where the compilers are");

interface Call {
  readonly input: unknown;
  readonly files?: Readonly<Record<string, Uint8Array>>;
}

/** What a call came to, without what a clock or a count of instructions says of it. */
async function answer(runtime: Runtime, tool: Tool, call: Call): Promise<unknown> {
  try {
    const { output, exitCode, exit, stdout, stderr, files } = await runtime.execute({ tool, ...call });
    return { output, exitCode, exit, stdout, stderr, files: files.toSorted((a, b) => a.path.localeCompare(b.path)) };
  } catch (error) {
    const { code, message } = toToolRuntimeError(error);
    return { code, message };
  }
}

async function callsOf(tool: Tool, name: (typeof nativeTools)[number]): Promise<Call[]> {
  const fixtures = await readFixtures();
  const random = new Random(seed);
  const make = Object.entries(sampleMakers).find(([sample]) => sample === name)?.[1];
  if (make === undefined) throw new Error(`Cannot try the tool "${name}": nothing makes inputs for it`);
  const made = Array.from({ length: inputsPerTool }, () => make(random, fixtures));
  const examples = (tool.manifest.examples ?? []).map(async ({ input, files }) => ({ input, files: await filesOf(name, files) }));
  // What a query makes of the time or of random numbers differs from run to run.
  return [...(await Promise.all(examples)), ...made].filter(({ input }) => !/random|now|date/i.test(JSON.stringify(input)));
}

describe.runIf(rebuilds).each(nativeTools)("%s", (name) => {
  const blobs = memoryBlobStore();
  const commands = unsafe({ acceptUnsafe: true, warn: () => undefined });
  const sandbox = createRuntime({ backend: wasm(), security: "dev", blobs });
  const outside = createRuntime({ backend: commands, security: "dev", blobs });
  let native: Tool;

  beforeAll(async () => {
    const { manifest } = await load(name);
    native = await defineTool({ ...manifest, artifacts: { command: { argv: [await buildNative(name)] } } });
  }, 600_000);
  afterAll(async () => {
    await Promise.all([sandbox.close(), outside.close(), commands.close()]);
  });

  test("gives the same answers as a module and as a program of this machine", { timeout: 120_000 }, async () => {
    const tool = await load(name);
    const calls = await callsOf(tool, name);
    expect(calls.length).toBeGreaterThan(inputsPerTool / 2);
    for (const call of calls) expect(await answer(outside, native, call)).toEqual(await answer(sandbox, tool, call));
  });
});
