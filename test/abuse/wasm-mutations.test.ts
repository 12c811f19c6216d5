import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { createRuntime, defineTool, ToolRuntimeError } from "../../src/index.ts";
import { wasm } from "../../src/wasm/index.ts";
import { mutator } from "./modules/mutate.ts";

/** What is still a good module is run, in a way that may loop for ever: so for a moment only. */
const runtime = createRuntime({
  backend: wasm({ maxCacheBytes: 2 ** 20 }),
  security: "standard",
  timeout: 20,
  resources: { memory: "16Mi" },
});

async function outcomeOf(bytes: Uint8Array): Promise<string> {
  const tool = await defineTool(
    { name: "mutant", version: "1.0.0", description: "A mutant", inputSchema: true, artifacts: { wasm: { abi: "wasi-p1" } } },
    { wasm: bytes },
  );
  try {
    return (await runtime.execute({ tool })).exit.kind;
  } catch (error) {
    return error instanceof ToolRuntimeError ? error.code : `${error}`;
  }
}

function filesIn(folder: string): string[] {
  const url = new URL(folder, import.meta.url);
  return readdirSync(url, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".wasm") && !name.includes("node_modules"))
    .map((name) => new URL(name, url).pathname);
}

const files = ["modules/", "../wasi/guests/", "../../examples/tools/", "../../src/conformance/guests/"].flatMap(filesIn);
/** Large modules take long to validate, so there are fewer mutants of them. */
const seeds = files.map((file) => new Uint8Array(readFileSync(file)));
const small = seeds.filter(({ length }) => length <= 65_536);
const large = seeds.filter(({ length }) => length > 65_536);

async function hunt(from: readonly Uint8Array[], count: number, seed: number): Promise<Record<string, number>> {
  const mutate = mutator(seed);
  const tally: Record<string, number> = {};
  for (let index = 0; index < count; index++) {
    const bytes = from[index % from.length];
    if (bytes === undefined) throw new Error("nothing to mutate");
    const outcome = await outcomeOf(mutate(bytes));
    tally[outcome] = (tally[outcome] ?? 0) + 1;
  }
  return tally;
}

const clean = new Set([
  "exited",
  "trapped",
  "ERR_ARTIFACT_INVALID",
  "ERR_ARTIFACT_UNSUPPORTED",
  "ERR_IMPORT_DENIED",
  "ERR_LIMIT_COMPILE",
  "ERR_LIMIT_DISK",
  "ERR_LIMIT_MEMORY",
  "ERR_LIMIT_OUTPUT",
  "ERR_LIMIT_TIMEOUT",
]);

test("B4: the modules themselves run, or are refused with a code", async () => {
  for (const bytes of seeds) expect(clean).toContain(await outcomeOf(bytes));
});

test("B4: ten thousand mutations of good modules: no crash, no hang, each refusal with a code", { timeout: 300_000 }, async () => {
  expect([small.length > 10, large.length > 2]).toEqual([true, true]);
  const tally = await hunt(small, 9700, 1);
  for (const [outcome, count] of Object.entries(await hunt(large, 300, 2))) tally[outcome] = (tally[outcome] ?? 0) + count;
  console.log("B4:", JSON.stringify(tally));
  expect(Object.keys(tally).filter((outcome) => !clean.has(outcome))).toEqual([]);
  expect(tally["ERR_ARTIFACT_INVALID"]).toBeGreaterThan(5000);
  expect((tally["exited"] ?? 0) + (tally["trapped"] ?? 0)).toBeGreaterThan(200);
});

test("B4: bytes that are no module at all", async () => {
  const heads = [
    [],
    [0],
    [0, 0x61, 0x73, 0x6d],
    [0, 0x61, 0x73, 0x6d, 2, 0, 0, 0],
    [0, 0x61, 0x73, 0x6d, 13, 0, 1, 0],
    [0x7f, 0x45, 0x4c, 0x46],
  ];
  for (const head of heads) expect(clean).toContain(await outcomeOf(Uint8Array.from(head)));
  expect(await outcomeOf(new Uint8Array(1000))).toBe("ERR_ARTIFACT_INVALID");
  expect(await outcomeOf(new TextEncoder().encode("#!/bin/sh\n"))).toBe("ERR_ARTIFACT_INVALID");
});
