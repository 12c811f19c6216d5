import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle, findBinary, openWorker, type Worker } from "../../bench/engines.ts";
import { bundleIsolate } from "../../scripts/isolate-bundle.ts";
import { conformanceCases } from "../../src/conformance/index.ts";
import { canary } from "../engines/workerd/oracle.ts";
import type { CaseAnswer, SuiteOptions } from "./conformance-worker.ts";

/** The conformance suite inside of workerd: the worker runs the cases, and each run is in an isolate. */
const found = findBinary("workerd");
const isMissing = "missing" in found;
if (isMissing) console.log(`Not run on workerd: ${found.missing}`);

const probe = readFileSync(new URL("../../src/conformance/guests/probe.wasm", import.meta.url)).toString("base64");

describe.skipIf(isMissing).each(["dev", "standard"] as const)("conformance of isolates in workerd, profile %s", (profile) => {
  let worker: Worker;
  let passed = 0;

  beforeAll(async () => {
    const options: SuiteOptions = { engine: await bundleIsolate(), probe, canary };
    const main = `import { serveSuite } from "./conformance-worker.ts"; export default serveSuite(${JSON.stringify(options)});`;
    const code = await bundle(main, fileURLToPath(new URL(".", import.meta.url)));
    worker = await openWorker(code, { env: { [canary.name]: canary.value }, flags: ["enable_request_signal"], loader: "LOADER" });
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
