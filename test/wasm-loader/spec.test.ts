import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { describe, expect, it } from "vitest";
import { bundleIsolate } from "../../scripts/isolate-bundle.ts";
import { defineTool, type Plan } from "../../src/index.ts";
import { wasm } from "../../src/wasm/index.ts";
import { cpuMsOf, isolateCode, isolateIdentity, type IdentityParts } from "../../src/wasm/loader/spec.ts";
import { isolates, loaderDriver, type WorkerLoader, type WorkerStub } from "../../src/wasm/loader/index.ts";
import { makeArtifact } from "../../src/wasm/made.ts";
import { emptyCommand } from "../abuse/modules/binary.ts";

const tool = await defineTool(
  { name: "sample", version: "1.0.0", description: "A sample", inputSchema: true, artifacts: { wasm: { abi: "wasi-p1" } } },
  { wasm: emptyCommand() },
);

function planOf(change: Partial<Plan> = {}): Plan {
  return {
    digest: tool.digest,
    tool,
    artifact: "wasm",
    profile: "standard",
    isolation: "isolate",
    limits: [
      { limit: "timeout", value: 10_000, origin: "profile", mechanism: "checkpoint" },
      { limit: "memory", value: 2 ** 27, origin: "profile", mechanism: "module" },
    ],
    network: "none",
    graceMs: 1000,
    ...change,
  };
}

describe("what an isolate is loaded with", () => {
  it("is the engine, the metered module and facts; neither network nor bindings", async () => {
    const made = await makeArtifact(tool, { deterministic: false });
    const code = isolateCode({ plan: planOf(), made, engine: "engine", compatibilityDate: "2026-04-01" });
    const { modules, ...settings } = code;
    expect(settings).toEqual({
      compatibilityDate: "2026-04-01",
      compatibilityFlags: [],
      mainModule: "main.js",
      env: {},
      globalOutbound: null,
      limits: { cpuMs: 10_250, subRequests: 1 },
    });
    expect(Object.keys(modules).toSorted()).toEqual(["0.wasm", "engine.js", "facts.json", "main.js"]);
    const [metered] = Object.values(made.modules);
    expect(modules["0.wasm"]).toEqual({ wasm: metered?.slice().buffer });
    expect(JSON.stringify(modules["main.js"])).not.toContain("sample");
  });

  it("has the time of the plan and what the engine takes, up to what the platform takes", () => {
    const limit = (name: "cpuTime" | "timeout", value: number, mechanism = "checkpoint") =>
      ({ limit: name, value, origin: "task", mechanism }) as const;
    expect(cpuMsOf({ limits: [limit("timeout", 4000), limit("cpuTime", 99.5)] })).toBe(350);
    expect(cpuMsOf({ limits: [limit("timeout", 4000)] })).toBe(4250);
    expect(cpuMsOf({ limits: [limit("timeout", 4000, "none")] })).toBe(30_250);
    expect(cpuMsOf({ limits: [limit("timeout", 86_400_000)] })).toBe(300_000);
  });

  it("is known by all that it differs in", () => {
    const parts: IdentityParts = { plan: planOf(), made: "sha256:a", engine: "sha256:b", compatibilityDate: "2026-04-01" };
    const limited = (value: number, mechanism = "module"): Plan =>
      planOf({ limits: [{ limit: "memory", value, origin: "task", mechanism }] });
    const named = planOf({ tool: { ...tool, manifest: { ...tool.manifest, name: "other" } } });
    const all = [
      parts,
      { ...parts, made: "sha256:c" },
      { ...parts, engine: "sha256:c" },
      { ...parts, compatibilityDate: "2026-05-01" },
      { ...parts, plan: planOf({ profile: "dev" }) },
      { ...parts, plan: limited(2 ** 26) },
      { ...parts, plan: limited(2 ** 25) },
      { ...parts, plan: limited(2 ** 25, "none") },
      { ...parts, plan: named },
    ] as const;
    expect(new Set(all.map((one) => isolateIdentity(one))).size).toBe(all.length);
    // Where a limit comes from, and which run it is, makes no difference.
    const same = planOf({ deterministic: { seed: "1", nowMs: 0 }, limits: parts.plan.limits.map((one) => ({ ...one, origin: "task" })) });
    expect(isolateIdentity({ ...parts, plan: same })).toBe(isolateIdentity(parts));
  });
});

describe("the engine's bundle for isolates", () => {
  it("is one module without imports, small, and has nothing that reads manifests or meters modules", async () => {
    const text = await bundleIsolate();
    expect(text).not.toMatch(/\bimport\s*[({"*]|\bfrom\s*"/);
    expect(text).toMatch(/export\s*\{\s*\w+ as isolate\s*\}/);
    expect(text).not.toMatch(/zod|hono|inputSchema/i);
    expect(gzipSync(text).length).toBeLessThan(40_000);
  });
});

const worker: WorkerStub = { getEntrypoint: () => ({ fetch: async () => new Response(null) }) };
const loader: WorkerLoader = { get: () => worker, load: () => worker };

describe("the driver", () => {
  it("is portable: a bundler finds no import of node: in it", async () => {
    const entry = fileURLToPath(new URL("../../src/wasm/loader/index.ts", import.meta.url));
    const { errors } = await build({
      entryPoints: [entry],
      bundle: true,
      write: false,
      platform: "neutral",
      mainFields: ["module", "main"],
      conditions: ["workerd", "worker", "browser", "import"],
      logLevel: "silent",
    });
    expect(errors).toEqual([]);
  });

  it("says in its probe what is missing", async () => {
    const none = await loaderDriver({ loader: undefined, engine: "engine" }).probe();
    expect(none).toMatchObject({ status: "unavailable", reason: "there is no Worker Loader binding" });
    expect(await loaderDriver({ loader, engine: "" }).probe()).toMatchObject({ status: "unavailable" });
    expect(await loaderDriver({ loader, engine: "engine" }).probe()).toMatchObject({ status: "ready", artifacts: ["wasm"] });
  });

  it("makes a backend for the profiles dev and standard that enforces what the engine does by itself", async () => {
    const { capabilities } = await isolates({ loader, engine: "engine" }).probe();
    const [inline] = (await wasm().probe()).capabilities;
    expect(capabilities).toEqual([{ ...inline, isolation: "isolate" }]);
    expect(capabilities[0]?.profiles).toEqual(["dev", "standard"]);
  });
});
