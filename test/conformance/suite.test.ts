import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { conformanceCases, conformanceSuite, runConformance } from "../../src/conformance/index.ts";
import { wasmTarget } from "./targets.ts";
import { wrongRuntimes } from "./wrong/index.ts";

const guests = new URL("../../src/conformance/guests/", import.meta.url);

describe("the conformance suite", () => {
  it("has stable, unique ids", () => {
    const ids = conformanceCases.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/);
  });

  it("registers every case once, those that do not apply as skipped with the reason", async () => {
    const run: string[] = [];
    const skipped: string[] = [];
    const target = await wasmTarget();
    const it = Object.assign((name: string) => run.push(name), { skip: (name: string) => skipped.push(name) });
    await conformanceSuite({ describe: (_name, body) => body(), it }, target.options);
    await target.close();
    expect(run.length + skipped.length).toBe(conformanceCases.length);
    expect(run.some((name) => name.startsWith("exit-code: "))).toBe(true);
    expect(skipped).toContain("exit-signal: skipped, only command can do that, this is wasm");
    expect(skipped).toContain("limit-undeclared-refused: skipped, the backend enforces every limit there is");
  });

  it("gives verdicts without a test runner", async () => {
    const target = await wasmTarget();
    const verdicts = await runConformance(target.options, { only: ["exit-signal", "exit-code"] });
    expect(verdicts).toEqual([
      { id: "exit-code", outcome: "passed" },
      { id: "exit-signal", outcome: "skipped", reason: "only command can do that, this is wasm" },
    ]);
    await expect(runConformance(target.options, { only: ["no-such-case"] })).rejects.toThrow("no-such-case");
    await target.close();
  });

  it("refuses to test a backend that takes none of its guests", async () => {
    const target = await wasmTarget();
    await expect(runConformance({ ...target.options, guests: { command: { argv: ["true"] } } })).rejects.toThrow("takes a guest");
    await target.close();
  });

  it("is itself tested: each case that a wrong runtime is to fail exists", () => {
    const ids = new Set(conformanceCases.map(({ id }) => id));
    const missing = wrongRuntimes.flatMap(({ name, fails }) => fails.filter((id) => !ids.has(id)).map((id) => `${name}: ${id}`));
    expect(missing).toEqual([]);
    expect(wrongRuntimes.filter(({ fails }) => fails.length === 0)).toEqual([]);
  });
});

describe("the probe", () => {
  it("is the module that came of these sources", async () => {
    const lines = (await readFile(new URL("probe.digests", guests), "utf8")).trim().split("\n");
    const recorded = Object.fromEntries(lines.map((line) => line.split(/\s+/).toReversed()));
    expect(Object.keys(recorded).toSorted()).toEqual(["json.h", "probe.c", "probe.wasm"]);
    const digests = Object.keys(recorded).map(async (name) => {
      const bytes = await readFile(new URL(name, guests));
      return [name, createHash("sha256").update(bytes).digest("hex")] as const;
    });
    // Where they differ: run src/conformance/guests/build.sh.
    expect(Object.fromEntries(await Promise.all(digests))).toEqual(recorded);
  });

  it("is small and imports WASI preview 1 alone", async () => {
    const bytes = await readFile(new URL("probe.wasm", guests));
    expect(bytes.length).toBeLessThan(60_000);
    const imports = WebAssembly.Module.imports(new WebAssembly.Module(bytes));
    expect([...new Set(imports.map(({ module }) => module))]).toEqual(["wasi_snapshot_preview1"]);
  });
});
