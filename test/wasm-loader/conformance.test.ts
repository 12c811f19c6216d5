import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compiledText } from "../../bench/edge/bundle.ts";
import { bundle, findBinary, openWorker, type Worker } from "../../bench/engines.ts";
import { bundleIsolate } from "../../scripts/isolate-bundle.ts";
import { conformanceCases } from "../../src/conformance/index.ts";
import { defineProbe } from "../../src/conformance/probe.ts";
import { makeArtifact } from "../../src/wasm/made.ts";
import { canary } from "../engines/workerd/oracle.ts";
import type { CaseAnswer, SuiteOptions } from "./conformance-worker.ts";

/** The conformance suite inside of workerd: the worker runs the cases, each run in an isolate, or by what was built into the worker. */
const found = findBinary("workerd");
const isMissing = "missing" in found;
if (isMissing) console.log(`Not run on workerd: ${found.missing}`);

const folder = fileURLToPath(new URL(".", import.meta.url));
const probe = readFileSync(new URL("../../src/conformance/guests/probe.wasm", import.meta.url)).toString("base64");

async function openIsolates(): Promise<Worker> {
  const options: SuiteOptions = { engine: await bundleIsolate(), probe, canary };
  const main = `import { serveSuite } from "./conformance-worker.ts"; export default serveSuite(${JSON.stringify(options)});`;
  return openWorker(await bundle(main, folder), {
    env: { [canary.name]: canary.value },
    flags: ["enable_request_signal"],
    loader: "LOADER",
  });
}

/** The guest was made ready before the worker was deployed, in both variants, and is compiled while the worker starts. */
async function openBuilt(): Promise<Worker> {
  const tool = await defineProbe({ wasm: new Uint8Array(Buffer.from(probe, "base64")) });
  const variants: string[] = [];
  for (const deterministic of [false, true]) {
    const { modules, ...made } = await makeArtifact(tool, { deterministic });
    const compiled = Object.entries(modules).map(([name, bytes]) => `${JSON.stringify(name)}: ${compiledText(bytes)}`);
    variants.push(`{ ...${JSON.stringify(made)}, modules: { ${compiled.join(", ")} } }`);
  }
  const main = `
    import { serveSuite } from "./conformance-worker.ts";
    export default serveSuite({ canary: ${JSON.stringify(canary)}, probe: [${variants.join(", ")}] });`;
  return openWorker(await bundle(main, folder), { env: { [canary.name]: canary.value }, flags: ["enable_request_signal"] });
}

const modes = [
  { mode: "isolates", profile: "dev", open: openIsolates },
  { mode: "isolates", profile: "standard", open: openIsolates },
  { mode: "built tools", profile: "dev", open: openBuilt },
  { mode: "built tools", profile: "standard", open: openBuilt },
] as const;

describe.skipIf(isMissing).each(modes)("conformance of $mode in workerd, profile $profile", ({ profile, open }) => {
  let worker: Worker;
  let passed = 0;

  beforeAll(async () => {
    worker = await open();
  });
  afterAll(async () => {
    await worker[Symbol.asyncDispose]();
  });

  it.each(conformanceCases.map(({ id, title }) => [id, title] as const))("%s: %s", async (id, _title) => {
    const response = await fetch(`${worker.url}/?profile=${profile}&case=${encodeURIComponent(id)}`);
    const text = await response.text();
    expect(text).toMatch(/^\{/);
    const { outcome, why }: CaseAnswer = JSON.parse(text);
    if (outcome === "passed") passed++;
    else if (outcome === "failed") throw new Error(why);
  });

  // What a backend declares decides which cases apply.
  it("applies most of the cases", () => {
    expect(passed).toBeGreaterThan(conformanceCases.length / 2);
  });
});
