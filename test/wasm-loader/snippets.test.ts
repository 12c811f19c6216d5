import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findBinary } from "../../bench/engines.ts";
import { createRuntime, defineTool, type ManifestInput } from "../../src/index.ts";
import { wasm } from "../../src/wasm/index.ts";
import { quickJs } from "../../src/wasm/javascript/node.ts";
import { readQuickJs } from "../wasm-javascript/support.ts";
import { openService, type Answer, type Service } from "./support.ts";

const found = findBinary("workerd");
const isMissing = "missing" in found;
if (isMissing) console.log(`Not run on workerd: ${found.missing}`);

const inline = createRuntime({ backend: wasm({ javascript: quickJs() }), security: "standard" });
let service: Service;

beforeAll(async () => {
  if (!isMissing) service = await openService({ quickJs: await readQuickJs() });
});
afterAll(async () => {
  await inline.close();
  if (!isMissing) await service[Symbol.asyncDispose]();
});

function manifestOf(name: string, source: string): ManifestInput {
  return { name, version: "1.0.0", description: "A snippet", inputSchema: true, artifacts: { code: { language: "javascript", source } } };
}

async function run(source: string, resources: { readonly timeout?: number; readonly fuel?: number } = {}): Promise<Answer> {
  await service.add({ manifest: manifestOf("snippet", source), base64: "" });
  return service.run({ tool: "snippet", security: "standard", input: { text: "hello" }, resources, deterministic: { seed: 1, now: 0 } });
}

describe.skipIf(isMissing)("a snippet in an isolate", () => {
  it.each([
    ["a value", "export default (input) => input.text.toUpperCase();"],
    ["a promise", "export default async (input) => [await input.text, Math.random(), Date.now()];"],
    ["what it prints", "export default (input) => { console.log(input); return 1; };"],
    ["what it throws", 'export default () => { throw new TypeError("no"); };'],
  ])("gives the same result and takes the same fuel as in the service itself: %s", async (_, source) => {
    const { result } = await run(source);
    const tool = await defineTool(manifestOf("snippet", source));
    const here = await inline.execute({ tool, input: { text: "hello" }, deterministic: { seed: 1, now: 0 } });
    const facts = ({ output, exitCode, stdout, stderr, limits }: typeof here): object => ({
      output,
      exitCode,
      stdout,
      stderr,
      fuel: limits.find(({ limit }) => limit === "fuel")?.peak,
    });
    expect(result === undefined ? undefined : facts(result)).toEqual(facts(here));
  });

  it("that never ends is ended by time and by fuel", async () => {
    const endless = "export default () => { for (;;); };";
    expect((await run(endless, { timeout: 150 })).error?.code).toBe("ERR_LIMIT_TIMEOUT");
    expect((await run(endless, { fuel: 5_000_000 })).error?.code).toBe("ERR_LIMIT_FUEL");
  });

  it("finds neither the network nor the platform", async () => {
    const { result } = await run(
      "export default () => [typeof fetch, typeof WebSocket, typeof WebAssembly, typeof process, typeof caches].join();",
    );
    expect(result?.output).toBe("undefined,undefined,undefined,undefined,undefined");
  });
});
