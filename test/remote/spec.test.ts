import { describe, expect, it } from "vitest";
import { membersOf } from "../../src/adapters/remote/spec.ts";
import { Relay, Diverged } from "../../src/adapters/remote/relay.ts";
import type { Plan, RunIo } from "../../src/backend.ts";
import { parseResources, type Limit, type LimitValues, type Resources } from "../../src/limits.ts";
import { negotiate } from "../../src/internal/negotiate.ts";
import { codeOf, fullCapability, readyProbe, toolWith } from "../unit/support.ts";

type Asked = {
  readonly resources: Resources;
  readonly atMost?: readonly Limit[];
  readonly own?: LimitValues;
  readonly maxima?: LimitValues;
};

/** What would hold of a limit on a service with its own defaults and maxima. */
async function heldOf(limit: Limit, { resources, atMost, own = {}, maxima = {} }: Asked) {
  const tool = await toolWith();
  const demand = {
    backend: "here",
    tool,
    profile: "standard",
    task: parseResources(resources),
    runtime: own,
    maxima,
    bestEffort: [],
  } as const;
  const { limits } = negotiate(
    { ...demand, allowsBestEffort: false, deterministic: false, ...(atMost === undefined ? {} : { atMost }) },
    readyProbe(fullCapability),
  );
  return limits.find((one) => one.limit === limit);
}

describe("a ceiling", () => {
  it("is held where it is the lowest, and gives way to whatever is lower", async () => {
    const ceiling = { resources: { memory: "64Mi" }, atMost: ["memory"] } as const;
    const valueOf = async (more: Partial<Asked>) => (await heldOf("memory", { ...ceiling, ...more }))?.value;
    expect(await valueOf({ own: { memory: 2 ** 30 } })).toBe(64 * 2 ** 20);
    expect(await valueOf({ own: { memory: 16 * 2 ** 20 } })).toBe(16 * 2 ** 20);
    expect(await valueOf({ own: { memory: 2 ** 30 }, maxima: { memory: 2 ** 31 } })).toBe(64 * 2 ** 20);
    expect(await valueOf({ maxima: { memory: 8 * 2 ** 20 } })).toBe(8 * 2 ** 20);
  });

  it("is said to be one in the plan, so that it goes on as one", async () => {
    expect(await heldOf("memory", { resources: { memory: 1000 }, atMost: ["memory"] })).toMatchObject({
      value: 1000,
      origin: "task",
      isCeiling: true,
    });
    expect(await heldOf("memory", { resources: { memory: 1000 } })).not.toHaveProperty("isCeiling");
    // One that no value stands for is none.
    expect(await heldOf("memory", { resources: {}, atMost: ["memory"] })).not.toHaveProperty("isCeiling");
  });

  it("that is no ceiling is refused over the maximum, and an unknown one always", async () => {
    const asked = { resources: { memory: "64Mi" }, maxima: { memory: 2 ** 20 } } as const;
    expect(await codeOf(heldOf("memory", asked))).toBe("ERR_POLICY_DENIED");
    expect(await codeOf(heldOf("memory", { ...asked, atMost: ["memory", "nothing" as Limit] }))).toBe("ERR_ARGUMENT_INVALID");
  });
});

describe("what is asked of a node", () => {
  const limits = [
    { limit: "memory", value: 1, origin: "profile", mechanism: "module" },
    { limit: "timeout", value: 2, origin: "runtime", mechanism: "timer" },
    { limit: "fuel", value: 3, origin: "task", mechanism: "module" },
    { limit: "output", value: 4, origin: "task", isCeiling: true, mechanism: "runtime" },
  ] as const;

  it("names as ceilings what the caller did not ask for, where the node knows of them", async () => {
    const tool = await toolWith();
    const plan: Plan = {
      digest: tool.digest,
      tool,
      artifact: "wasm",
      profile: "dev",
      isolation: "wasm",
      limits,
      network: "none",
      graceMs: 0,
    };
    const members = (features: readonly string[]) => membersOf(plan, { env: {} }, { security: "dev", features: new Set(features) });
    expect(members(["at-most"])).toMatchObject({
      resources: { memory: 1, timeout: 2, fuel: 3, output: 4 },
      atMost: ["memory", "timeout", "output"],
    });
    expect(members([])).not.toHaveProperty("atMost");
  });
});

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A relay and what it has passed on. */
function open(mayRunTwice: boolean) {
  const passed: string[] = [];
  const note = (data: Uint8Array): void => void passed.push(new TextDecoder().decode(data));
  const io: RunIo = {
    id: "x",
    stdin: bytes(""),
    files: [],
    env: {},
    maxOutputFiles: 1,
    stdout: note,
    stderr: note,
    started: () => undefined,
    file: async () => undefined,
    signal: new AbortController().signal,
  };
  const relay = new Relay(io, mayRunTwice);
  const attempt = () => {
    const self = {};
    return { io: relay.ioFor(self, io.signal, () => undefined), over: () => relay.release(self) };
  };
  return { relay, passed, attempt };
}

describe("what stands between attempts and their listener", () => {
  it("passes on what is new, however it is cut", () => {
    const { relay, passed, attempt } = open(true);
    const first = attempt();
    first.io.stdout(bytes("one "));
    first.io.stderr(bytes("err"));
    first.io.stdout(bytes("two"));
    first.over();
    const second = attempt();
    for (const part of ["o", "ne tw", "o three"]) second.io.stdout(bytes(part));
    second.io.stderr(bytes("errors"));
    expect(passed).toEqual(["one ", "err", "two", " three", "ors"]);
    expect(relay.mayRepeat).toBe(true);
  });

  it("takes nothing of an attempt that says something else", () => {
    const { passed, attempt } = open(true);
    const first = attempt();
    first.io.stdout(bytes("one"));
    first.over();
    const second = attempt();
    second.io.stdout(bytes("on"));
    expect(() => second.io.stdout(bytes("x"))).toThrow(Diverged);
    expect(passed).toEqual(["one"]);
  });

  it("hears one attempt at a time", () => {
    const { passed, attempt } = open(true);
    const [first, second] = [attempt(), attempt()];
    second.io.stdout(bytes("two"));
    expect(() => first.io.stdout(bytes("two"))).toThrow(Diverged);
    second.over();
    first.io.stdout(bytes("two more"));
    expect(passed).toEqual(["two", " more"]);
  });

  it("lets nobody take over what is too long to be compared, has left files, or may not run twice", async () => {
    const long = open(true);
    long.attempt().io.stdout(bytes("x".repeat(65_536)));
    expect(long.relay.mayRepeat).toBe(true);
    const one = open(true);
    one.attempt().io.stdout(bytes("x".repeat(65_537)));
    expect(one.relay.mayRepeat).toBe(false);
    const files = open(true);
    await files.attempt().io.file({ path: "a", content: bytes("") });
    expect(files.relay.mayRepeat).toBe(false);
    expect(open(false).relay.mayRepeat).toBe(false);
  });
});
