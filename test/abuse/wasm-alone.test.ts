import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { openRuntime } from "../../src/adapters/executor/open-runtime.ts";
import { securityProfiles } from "../../src/profile.ts";
import { emptyCommand, padding } from "./modules/binary.ts";
import { defineAttack } from "./wasm-target.ts";

/** What cannot be seen from inside of a service that does other things too. */
const run = promisify(execFile);
const MiB = 2 ** 20;

interface Report {
  readonly exitCode: number;
  readonly startBytes: number;
  readonly peakBytes: number;
}

/** Runs a module of `modules` in this driver, in a process that does nothing else. */
async function runAlone(name: string, memory: string): Promise<Report> {
  const at = (path: string): string => new URL(path, import.meta.url).pathname;
  const { stdout } = await run(process.execPath, [at("modules/run-alone.ts"), at(`modules/${name}.wasm`), memory]);
  return JSON.parse(stdout) as Report;
}

test("B1: table.grow until it fails does not abort the process", async () => {
  expect((await runAlone("grow-tables", "64Mi")).exitCode).toBe(200_000);
});

test("B2: touching every page stays inside the limit, resident", async () => {
  const { exitCode, startBytes, peakBytes } = await runAlone("touch-memory", "64Mi");
  expect(exitCode).toBeGreaterThan(1000);
  expect(peakBytes - startBytes).toBeLessThan(64 * MiB + 32 * MiB);
});

test("B5: a module over the operator's size is refused in each profile although it is a good one", async () => {
  const tool = await defineAttack("padded", emptyCommand({ imports: [padding(1000)] }));
  await using usual = await openRuntime({ backend: "wasm", security: "dev" });
  expect((await usual.execute({ tool })).exitCode).toBe(0);
  await using small = await openRuntime({ backend: "wasm", options: { maxArtifactBytes: 1000, process: { spares: 0 } }, security: "dev" });
  for (const security of securityProfiles)
    await expect(small.execute({ tool, security })).rejects.toMatchObject({ code: "ERR_ARTIFACT_TOO_LARGE" });
});
