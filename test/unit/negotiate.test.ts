import { describe, expect, test } from "vitest";
import type { Capability } from "../../src/backend.ts";
import { chooseCapability, negotiate, type Demand } from "../../src/internal/negotiate.ts";
import { profiles, securityProfiles, stricter, weaker } from "../../src/profile.ts";
import type { ManifestInput, Tool } from "../../src/tool.ts";
import { codeOf, errorOf, fullCapability, readyProbe, toolWith } from "./support.ts";

async function demandWith(changes: Partial<Demand> = {}, manifest: Partial<ManifestInput> = {}): Promise<Demand> {
  const tool: Tool = await toolWith(manifest);
  return {
    backend: "b",
    tool,
    profile: "dev",
    task: {},
    runtime: {},
    maxima: {},
    bestEffort: [],
    allowsBestEffort: true,
    deterministic: false,
    ...changes,
  };
}

const bare: Capability = { ...fullCapability, limits: {} };
const only = (limits: Capability["limits"]): Capability => ({ ...fullCapability, limits });
const negotiateLimits = (demand: Demand, capability: Capability) => negotiate(demand, readyProbe(capability)).limits;
const planned = (demand: Demand, limit: string, capability = fullCapability) =>
  negotiateLimits(demand, capability).find((one) => one.limit === limit);

describe("choice of a capability", () => {
  test("ERR_DETERMINISM_UNSUPPORTED where no capability that fits otherwise is deterministic", async () => {
    const demand = await demandWith({ deterministic: true });
    const fixed = { ...fullCapability, deterministic: true };
    expect(await codeOf(() => chooseCapability(demand, readyProbe(fullCapability)))).toBe("ERR_DETERMINISM_UNSUPPORTED");
    expect(await codeOf(() => chooseCapability(demand, readyProbe({ ...fixed, deterministic: false })))).toBe(
      "ERR_DETERMINISM_UNSUPPORTED",
    );
    expect(chooseCapability(demand, readyProbe(fullCapability, fixed))).toBe(fixed);
    expect(await codeOf(() => chooseCapability(demand, readyProbe({ ...fixed, isolation: "none", profiles: ["hardened"] })))).toBe(
      "ERR_PROFILE_UNSUPPORTED",
    );
    expect(chooseCapability(await demandWith(), readyProbe(fullCapability, fixed))).toBe(fullCapability);
  });

  test("ERR_BACKEND_UNAVAILABLE where the backend is not ready", async () => {
    const demand = await demandWith();
    const probe = { ...readyProbe(fullCapability), status: "unavailable", reason: "no daemon" } as const;
    expect(await codeOf(() => chooseCapability(demand, probe))).toBe("ERR_BACKEND_UNAVAILABLE");
  });

  test("ERR_ARTIFACT_UNSUPPORTED where the tool has nothing that the backend takes", async () => {
    const demand = await demandWith({}, { artifacts: { command: { argv: ["true"] } } });
    expect(await codeOf(() => chooseCapability(demand, readyProbe(fullCapability)))).toBe("ERR_ARTIFACT_UNSUPPORTED");
    expect(await codeOf(() => chooseCapability(demand, readyProbe()))).toBe("ERR_ARTIFACT_UNSUPPORTED");
  });

  test("ERR_PROFILE_UNSUPPORTED where the backend does not serve the profile, or its wall is too thin for it", async () => {
    const devOnly: Capability = { ...fullCapability, profiles: ["dev"] };
    const thin: Capability = { ...fullCapability, isolation: "wasm" };
    const standard = await demandWith({ profile: "standard" });
    const hardened = await demandWith({ profile: "hardened" });
    expect(await codeOf(() => chooseCapability(standard, readyProbe(devOnly)))).toBe("ERR_PROFILE_UNSUPPORTED");
    expect(await codeOf(() => chooseCapability(hardened, readyProbe(thin)))).toBe("ERR_PROFILE_UNSUPPORTED");
    expect(chooseCapability(standard, readyProbe(thin))).toBe(thin);
  });

  test("no wall at all is for dev alone, whatever the backend says of itself", async () => {
    const open: Capability = { ...fullCapability, isolation: "none" };
    expect(chooseCapability(await demandWith(), readyProbe(open))).toBe(open);
    for (const profile of ["standard", "hardened"] as const) {
      const demand = await demandWith({ profile });
      expect(await codeOf(() => chooseCapability(demand, readyProbe(open)))).toBe("ERR_PROFILE_UNSUPPORTED");
    }
  });

  test("ERR_NETWORK_UNSUPPORTED where the tool asks for hosts and nothing lets it through", async () => {
    const demand = await demandWith({}, { permissions: { network: ["example.org"] } });
    const open: Capability = { ...fullCapability, network: "unfiltered" };
    expect(await codeOf(() => chooseCapability(demand, readyProbe(fullCapability)))).toBe("ERR_NETWORK_UNSUPPORTED");
    expect(chooseCapability(demand, readyProbe(fullCapability, open))).toBe(open);
  });
});

describe("where a limit's value comes from", () => {
  const manifest = { resources: { memory: "3Mi" } };

  test("task over runtime over tool over profile", async () => {
    const demand = await demandWith({ task: { memory: 1 }, runtime: { memory: 2 } }, manifest);
    expect(planned(demand, "memory")).toMatchObject({ value: 1, origin: "task" });
    expect(planned({ ...demand, task: {} }, "memory")).toMatchObject({ value: 2, origin: "runtime" });
    expect(planned({ ...demand, task: {}, runtime: {} }, "memory")).toMatchObject({ value: 3 * 2 ** 20, origin: "tool" });
    expect(planned(await demandWith(), "memory")).toMatchObject({ value: profiles.dev.defaults.memory, origin: "profile" });
  });

  test("a limit that no layer names is not in the plan", async () => {
    expect(planned(await demandWith(), "cpuTime")).toBeUndefined();
  });
});

describe("maxima", () => {
  const over = { task: { memory: 2 ** 50 } };

  test("dev cuts and says so", async () => {
    const most = (profiles.dev.defaults.memory ?? 0) * 10;
    expect(planned(await demandWith(over), "memory")).toMatchObject({ value: most, clampedFrom: 2 ** 50 });
  });

  test.each(["standard", "hardened"] as const)("%s refuses with ERR_POLICY_DENIED", async (profile) => {
    const demand = await demandWith({ ...over, profile });
    const { code, details } = await errorOf(() => negotiateLimits(demand, fullCapability));
    expect(code).toBe("ERR_POLICY_DENIED");
    expect(details).toMatchObject({ limit: "memory", requested: 2 ** 50 });
    const exact = (profiles[profile].defaults.memory ?? 0) * 10;
    expect(planned({ ...demand, task: { memory: exact } }, "memory")).toMatchObject({ value: exact });
    expect(await codeOf(() => negotiateLimits({ ...demand, task: { memory: exact + 1 } }, fullCapability))).toBe("ERR_POLICY_DENIED");
  });

  test("the operator's own maximum takes the place of the profile's, and his own value is never over it", async () => {
    const demand = await demandWith({ profile: "standard", maxima: { memory: 100 } });
    expect(await codeOf(() => negotiateLimits({ ...demand, task: { memory: 101 } }, fullCapability))).toBe("ERR_POLICY_DENIED");
    expect(planned({ ...demand, task: { memory: 100 } }, "memory")).toMatchObject({ value: 100 });
    expect(planned({ ...demand, runtime: { memory: 200 } }, "memory")).toMatchObject({ value: 200, origin: "runtime" });
  });

  test("a default that is over the operator's maximum is cut: nobody asked for it", async () => {
    const demand = await demandWith({ profile: "standard", maxima: { memory: 2 ** 20 } });
    expect(planned(demand, "memory")).toEqual({ limit: "memory", value: 2 ** 20, origin: "profile", mechanism: "host" });
  });

  test("a tool that asks for more than the maximum is refused outside dev", async () => {
    const demand = await demandWith({ profile: "standard", maxima: { memory: 2 ** 20 } }, { resources: { memory: "2Mi" } });
    expect(await codeOf(() => negotiateLimits(demand, fullCapability))).toBe("ERR_POLICY_DENIED");
  });
});

describe("what cannot be enforced", () => {
  test.each(["standard", "hardened"] as const)("%s refuses each limit that it demands", async (profile) => {
    for (const missing of profiles[profile].demands) {
      if (missing === "output") continue;
      const rest = Object.fromEntries(Object.entries(fullCapability.limits).filter(([name]) => name !== missing));
      const { code, details } = await errorOf(async () => negotiateLimits(await demandWith({ profile }), only(rest)));
      expect([code, details["limit"], details["demandedByProfile"]]).toEqual(["ERR_LIMIT_UNENFORCEABLE", missing, true]);
    }
  });

  test("dev refuses what the task or the operator asked for, and not what only the tool or the profile names", async () => {
    const explicit = { memory: 2 ** 20 };
    const demand = await demandWith();
    expect(await codeOf(() => negotiateLimits({ ...demand, task: explicit }, bare))).toBe("ERR_LIMIT_UNENFORCEABLE");
    expect(await codeOf(() => negotiateLimits({ ...demand, runtime: explicit }, bare))).toBe("ERR_LIMIT_UNENFORCEABLE");
    expect(planned(demand, "memory", bare)).toMatchObject({ mechanism: "none", origin: "profile" });
    expect(planned(await demandWith({}, { resources: explicit }), "memory", bare)).toMatchObject({ mechanism: "none", origin: "tool" });
  });

  test("bestEffort lets it go, with the mechanism none", async () => {
    const demand = await demandWith({ task: { memory: 2 ** 20 }, bestEffort: ["memory"] });
    expect(planned(demand, "memory", bare)).toMatchObject({ mechanism: "none", value: 2 ** 20 });
    expect(planned(demand, "memory")).toMatchObject({ mechanism: "host" });
  });

  test("bestEffort is refused for what the profile demands, and where the operator allows none", async () => {
    const demand = await demandWith({ bestEffort: ["memory"] });
    expect(await codeOf(() => negotiateLimits({ ...demand, profile: "standard" }, fullCapability))).toBe("ERR_POLICY_DENIED");
    expect(await codeOf(() => negotiateLimits({ ...demand, allowsBestEffort: false }, fullCapability))).toBe("ERR_POLICY_DENIED");
    expect(negotiateLimits({ ...demand, profile: "standard", bestEffort: ["cpuTime"] }, fullCapability)).toBeDefined();
  });

  test("bestEffort with a name that is no limit is a mistake", async () => {
    const demand = await demandWith();
    const bestEffort: Demand["bestEffort"] = JSON.parse('["memroy"]');
    expect(await codeOf(() => negotiateLimits({ ...demand, bestEffort }, fullCapability))).toBe("ERR_ARGUMENT_INVALID");
  });

  test("a value outside of what the enforcer can do counts as not enforced", async () => {
    const capability = only({ memory: { by: "host", min: 100, max: 200 } });
    const demand = await demandWith();
    for (const memory of [99, 201]) {
      expect(await codeOf(() => negotiateLimits({ ...demand, task: { memory } }, capability))).toBe("ERR_LIMIT_UNENFORCEABLE");
    }
    for (const memory of [100, 200]) {
      expect(planned({ ...demand, task: { memory } }, "memory", capability)).toMatchObject({ value: memory, mechanism: "host" });
    }
  });

  test("output is counted by the runtime, whatever the backend", async () => {
    expect(planned(await demandWith({ task: { output: 10 } }), "output", bare)).toMatchObject({ mechanism: "runtime", value: 10 });
  });
});

test("stricter and weaker are each other's mirror", () => {
  for (const a of securityProfiles) {
    for (const b of securityProfiles) {
      expect(stricter(a, b)).toBe(stricter(b, a));
      expect(weaker(a, b)).toBe(weaker(b, a));
      expect([stricter(a, b), weaker(a, b)].toSorted()).toEqual([a, b].toSorted());
    }
  }
  expect(stricter("dev", "hardened")).toBe("hardened");
});

test("each profile demands at least what the one before it demands, and gives at most as much", () => {
  const [, ...rest] = securityProfiles;
  for (const [index, profile] of rest.entries()) {
    const looser = profiles[securityProfiles[index] ?? "dev"];
    const rules = profiles[profile];
    expect(rules.demands).toEqual(expect.arrayContaining([...looser.demands]));
    expect(looser.isolation).toEqual(expect.arrayContaining([...rules.isolation]));
    for (const [limit, value] of Object.entries(rules.defaults)) {
      expect(value).toBeLessThanOrEqual(Object.entries(looser.defaults).find(([name]) => name === limit)?.[1] ?? 0);
    }
  }
});
