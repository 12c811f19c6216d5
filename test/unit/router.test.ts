import { expect, test } from "vitest";
import type { Backend, Capability } from "../../src/backend.ts";
import { createRegistry } from "../../src/registry.ts";
import { createRouter } from "../../src/router.ts";
import { createRuntime, type Runtime } from "../../src/runtime.ts";
import type { SecurityProfile } from "../../src/profile.ts";
import { codeOf, exitedWell, fullCapability, readyProbe, scriptedBackend, toolWith } from "./support.ts";

interface Part {
  readonly runtime: Runtime;
  readonly runs: readonly unknown[];
  readonly probes: () => number;
}

function part(name: string, capability: Capability | "unavailable", security: SecurityProfile = "dev", more: Partial<Backend> = {}): Part {
  let probes = 0;
  const probe = capability === "unavailable" ? { ...readyProbe(), status: "unavailable" as const, reason: "gone" } : readyProbe(capability);
  const backend = Object.assign(
    scriptedBackend({
      probe: async () => {
        probes++;
        return probe;
      },
      run: async () => exitedWell,
    }),
    { name, ...more },
  );
  return { runtime: createRuntime({ backend, security }), runs: backend.runs, probes: () => probes };
}

const weak: Capability = { ...fullCapability, isolation: "container", limits: {} };
const task = async () => ({ tool: await toolWith() });

test("without runtimes there is nothing to route to", async () => {
  expect(await codeOf(() => createRouter({ runtimes: [] }))).toBe("ERR_ARGUMENT_INVALID");
});

test("the first that can hold everything runs it, and only that one", async () => {
  const parts = [part("a", "unavailable"), part("b", weak), part("c", fullCapability), part("d", fullCapability)];
  const router = createRouter({ runtimes: parts.map(({ runtime }) => runtime) });
  const demanding = { ...(await task()), resources: { memory: "1Mi" } };
  expect((await router.execute(demanding)).backend.name).toBe("c");
  expect((await router.execute(await task())).backend.name).toBe("b");
  expect(parts.map(({ runs }) => runs.length)).toEqual([0, 1, 1, 0]);
});

test("a backend is not probed again for each task", async () => {
  const parts = [part("a", "unavailable"), part("b", fullCapability)];
  const router = createRouter({ runtimes: parts.map(({ runtime }) => runtime) });
  for (let count = 0; count < 5; count++) await router.execute(await task());
  expect(parts.map(({ probes }) => probes())).toEqual([1, 1]);
});

test("it says of each why, and which one it takes", async () => {
  const parts = [part("a", "unavailable"), part("b", weak), part("c", fullCapability), part("d", fullCapability)];
  const router = createRouter({ runtimes: parts.map(({ runtime }) => runtime) });
  const explained = await router.explain({ ...(await task()), resources: { memory: "1Mi" } });
  expect(explained.map(({ backend, verdict, code }) => [backend, verdict, code])).toEqual([
    ["a", "refused", "ERR_BACKEND_UNAVAILABLE"],
    ["b", "refused", "ERR_LIMIT_UNENFORCEABLE"],
    ["c", "chosen", undefined],
    ["d", "possible", undefined],
  ]);
  expect(parts.every(({ runs }) => runs.length === 0)).toBe(true);
});

test("never a weaker one: a floor that none can hold is refused, and nothing runs", async () => {
  const parts = [part("a", { ...fullCapability, isolation: "wasm" }), part("b", { ...fullCapability, profiles: ["dev", "standard"] })];
  const router = createRouter({ runtimes: parts.map(({ runtime }) => runtime) });
  expect(await codeOf(router.execute({ ...(await task()), security: "hardened" }))).toBe("ERR_PROFILE_UNSUPPORTED");
  expect(parts.every(({ runs }) => runs.length === 0)).toBe(true);
  expect((await router.execute({ ...(await task()), security: "standard" })).backend).toMatchObject({ name: "a", profile: "standard" });
});

test("its own profile is the weakest among its runtimes", () => {
  const of = (...securities: SecurityProfile[]) =>
    createRouter({ runtimes: securities.map((security) => part("x", fullCapability, security).runtime) }).security;
  expect([of("hardened"), of("hardened", "standard"), of("standard", "dev", "hardened")]).toEqual(["hardened", "standard", "dev"]);
});

test("the refusal is that of the runtime that came nearest", async () => {
  const command: Capability = { ...fullCapability, artifact: "command" };
  const thin: Capability = { ...fullCapability, profiles: ["dev"] };
  const refusal = async (...capabilities: (Capability | "unavailable")[]) => {
    const router = createRouter({ runtimes: capabilities.map((one, index) => part(`${index}`, one).runtime) });
    return codeOf(router.execute({ ...(await task()), security: "standard", resources: { cpu: 1 } }));
  };
  expect(await refusal("unavailable", command)).toBe("ERR_BACKEND_UNAVAILABLE");
  expect(await refusal(command, "unavailable", thin)).toBe("ERR_PROFILE_UNSUPPORTED");
  expect(await refusal(weak, thin, "unavailable", command)).toBe("ERR_LIMIT_UNENFORCEABLE");
  expect(await refusal(command, command)).toBe("ERR_ARTIFACT_UNSUPPORTED");
});

test("nodes that are down might hold what a runtime that is there never will", async () => {
  const thin = part("thin", { ...fullCapability, profiles: ["dev"] }).runtime;
  const nodes = part("nodes", "unavailable", "dev", { delegates: true }).runtime;
  const router = createRouter({ runtimes: [thin, nodes] });
  expect(await codeOf(router.execute({ ...(await task()), security: "standard" }))).toBe("ERR_BACKEND_UNAVAILABLE");
});

test("routers can stand in routers", async () => {
  const inner = createRouter({ runtimes: [part("a", "unavailable").runtime, part("b", fullCapability).runtime] });
  const router = createRouter({ runtimes: [part("c", "unavailable").runtime, inner, part("d", fullCapability).runtime] });
  expect((await router.execute(await task())).backend.name).toBe("b");
  const near = createRouter({ runtimes: [part("e", "unavailable").runtime, part("f", weak).runtime] });
  const refusing = createRouter({ runtimes: [part("g", "unavailable").runtime, near] });
  expect(await codeOf(refusing.execute({ ...(await task()), resources: { memory: "1Mi" } }))).toBe("ERR_LIMIT_UNENFORCEABLE");
});

test("a tool's name is looked up once, before the runtimes see the task", async () => {
  const router = createRouter({ runtimes: [part("a", fullCapability).runtime], tools: createRegistry([await toolWith()]) });
  expect((await router.execute({ tool: { name: "sample" } })).exitCode).toBe(0);
  expect(await codeOf(router.execute({ tool: { name: "other" } }))).toBe("ERR_TOOL_NOT_FOUND");
});

test("closing it closes all of them", async () => {
  const parts = [part("a", fullCapability), part("b", fullCapability)];
  await createRouter({ runtimes: parts.map(({ runtime }) => runtime) }).close();
  for (const { runtime } of parts) expect(await codeOf(runtime.execute(await task()))).toBe("ERR_CLOSED");
});
