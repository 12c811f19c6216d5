import { describe, expect, test } from "vitest";
import type { LimitReading } from "../../src/limits.ts";
import { parseDeterminism } from "../../src/internal/determinism.ts";
import { createRuntime, type Result, type Task } from "../../src/runtime.ts";
import { executionRequestSchema, resultSchema } from "../../src/wire.ts";
import { codeOf, exitedWell, fullCapability, readyProbe, scriptedBackend, toolWith } from "./support.ts";

const now = "2026-01-31T12:00:00Z";

/** Values from somebody who does not use our types. */
function untyped(value: object): NonNullable<Task["deterministic"]> {
  return Object.assign({ seed: 1, now }, value);
}

describe("seed and now", () => {
  test.each<[unknown, string]>([
    [1, "1"],
    ["1", "1"],
    [-5, "-5"],
    [-0, "0"],
    ["", ""],
    ["\u0000é", "\u0000é"],
  ])("the seed %j stands for the text %j", (seed, text) => {
    expect(parseDeterminism(untyped({ seed })).seed).toBe(text);
  });

  test.each([1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, null, undefined, {}, [], 1n, "x".repeat(1001)])(
    "%s is no seed",
    async (seed) => {
      expect(await codeOf(() => parseDeterminism(untyped({ seed })))).toBe("ERR_ARGUMENT_INVALID");
    },
  );

  test.each<[unknown, number]>([
    [0, 0],
    [1_769_860_800_000, 1_769_860_800_000],
    [now, 1_769_860_800_000],
    ["2026-01-31T13:00:00.250+01:00", 1_769_860_800_250],
    ["1970-01-01", 0],
  ])("the time %j is %d ms", (given, ms) => {
    expect(parseDeterminism(untyped({ now: given })).nowMs).toBe(ms);
  });

  // A time without a zone, and a text that only `Date.parse` of some engine takes, are other times on other machines.
  test.each([-1, 0.5, Number.NaN, 1e15, "2026-01-31T12:00:00", "now", "31 Jan 2026", "2026", "2026-13-01", "", null, undefined, {}, 1n])(
    "%s is no time",
    async (given) => {
      expect(await codeOf(() => parseDeterminism(untyped({ now: given })))).toBe("ERR_ARGUMENT_INVALID");
    },
  );
});

function deterministicBackend(readings: readonly LimitReading[] = []) {
  return scriptedBackend({
    probe: async () => readyProbe({ ...fullCapability, limits: { ...fullCapability.limits, fuel: { by: "module" } }, deterministic: true }),
    run: async (_, io) => {
      io.started();
      return { ...exitedWell, readings };
    },
  });
}

async function resultOf(backend: ReturnType<typeof scriptedBackend>, task: Omit<Task, "tool">): Promise<Result> {
  await using runtime = createRuntime({ backend, security: "dev" });
  return await runtime.execute({ tool: await toolWith(), ...task });
}

describe("a deterministic task", () => {
  test("is refused where the backend does not say that it can, before anything starts", async () => {
    const backend = scriptedBackend();
    await using runtime = createRuntime({ backend, security: "dev" });
    const task = { tool: await toolWith(), deterministic: { seed: 1, now } };
    await expect(runtime.execute(task)).rejects.toMatchObject({ code: "ERR_DETERMINISM_UNSUPPORTED", started: false });
    expect(await runtime.explain(task)).toMatchObject([{ verdict: "refused", code: "ERR_DETERMINISM_UNSUPPORTED" }]);
    expect(backend.runs).toEqual([]);
  });

  test("is part of the plan and of its digest", async () => {
    const backend = deterministicBackend();
    await using runtime = createRuntime({ backend, security: "dev" });
    const tool = await toolWith();
    for (const deterministic of [
      { seed: 1, now },
      { seed: "1", now },
      { seed: 2, now },
      { seed: 1, now: 0 },
    ]) {
      await runtime.execute({ tool, deterministic });
    }
    await runtime.execute({ tool });
    const [first, same, ...others] = backend.plans;
    expect(first?.deterministic).toEqual({ seed: "1", nowMs: 1_769_860_800_000 });
    expect(Object.isFrozen(first?.deterministic)).toBe(true);
    expect(same?.digest).toBe(first?.digest);
    expect(new Set([first, ...others].map((plan) => plan?.digest)).size).toBe(4);
    expect(others.at(-1)?.deterministic).toBeUndefined();
  });

  test("shows the fuel that was counted, without a limit on it and with one", async () => {
    const readings: LimitReading[] = [{ limit: "fuel", source: "counter", peak: 1234 }];
    const deterministic = { seed: 1, now };
    const { limits } = await resultOf(deterministicBackend(readings), { deterministic });
    const counted = limits.find(({ limit }) => limit === "fuel");
    expect(counted).toMatchObject({ unit: "units", enforcedBy: "none", source: "counter", peak: 1234, hit: "no" });
    expect(counted?.requested).toBeUndefined();
    expect(counted?.applied).toBeUndefined();
    const limited = await resultOf(deterministicBackend([{ limit: "fuel", applied: 5000, peak: 1234, hit: "no" }]), {
      deterministic,
      resources: { fuel: 5000 },
    });
    expect(limited.limits.filter(({ limit }) => limit === "fuel")).toMatchObject([
      { requested: 5000, applied: 5000, peak: 1234, hit: "no", enforcedBy: "module" },
    ]);
    const plain = await resultOf(deterministicBackend(readings), {});
    expect(plain.limits.find(({ limit }) => limit === "fuel")).toEqual(counted);
  });

  test("goes over the wire, and so does a receipt that was only counted", async () => {
    const request = { tool: "sample", deterministic: { seed: "s", now } };
    expect(executionRequestSchema.parse(request)).toEqual(request);
    for (const deterministic of [{ seed: 1 }, { now }, { seed: 1, now, more: 1 }, { seed: true, now }]) {
      expect(executionRequestSchema.safeParse({ tool: "sample", deterministic }).success).toBe(false);
    }
    const result = await resultOf(deterministicBackend([{ limit: "fuel", peak: 7 }]), { deterministic: { seed: 1, now } });
    expect(resultSchema.parse(result).limits).toEqual(result.limits);
  });
});

describe("fuel", () => {
  test("that nothing counts is refused, and as best effort runs with a receipt that says so", async () => {
    const backend = scriptedBackend();
    await using runtime = createRuntime({ backend, security: "dev" });
    const task = { tool: await toolWith(), resources: { fuel: "1M" } };
    await expect(runtime.execute(task)).rejects.toMatchObject({ code: "ERR_LIMIT_UNENFORCEABLE", details: { limit: "fuel" } });
    const { limits } = await runtime.execute({ ...task, bestEffort: ["fuel"] });
    expect(limits.find(({ limit }) => limit === "fuel")).toMatchObject({ requested: 1_000_000, unit: "units", enforcedBy: "none" });
  });

  test("has no default, and no profile demands it", async () => {
    for (const security of ["dev", "standard", "hardened"] as const) {
      await using runtime = createRuntime({ backend: deterministicBackend(), security });
      const { limits } = await runtime.execute({ tool: await toolWith() });
      expect(limits.some(({ limit }) => limit === "fuel")).toBe(false);
    }
  });

  test("that the backend saw used up is ERR_LIMIT_FUEL", async () => {
    const backend = scriptedBackend({
      probe: async () => readyProbe({ ...fullCapability, limits: { fuel: { by: "module" } } }),
      run: async (_, io) => {
        io.started();
        return { ...exitedWell, readings: [], limitHit: { limit: "fuel", observed: 1001 } };
      },
    });
    await using runtime = createRuntime({ backend, security: "dev" });
    await expect(runtime.execute({ tool: await toolWith(), resources: { fuel: 1000 } })).rejects.toMatchObject({
      code: "ERR_LIMIT_FUEL",
      started: true,
      details: { limit: "fuel", value: 1000, observed: 1001 },
      message: expect.stringContaining("1000 units"),
    });
  });
});
