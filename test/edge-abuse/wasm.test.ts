import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { findBinary } from "../../bench/engines.ts";
import { resultSchema } from "../../src/wire.ts";
import { MiB, type WasmCase } from "../abuse/cases/case.ts";
import { hostCallCases } from "../abuse/cases/host-calls.ts";
import { malformedCases } from "../abuse/cases/malformed.ts";
import { memoryCases } from "../abuse/cases/memory.ts";
import { nameCases } from "../abuse/cases/names.ts";
import { outputCases } from "../abuse/cases/output.ts";
import { timeCases } from "../abuse/cases/time.ts";
import { callingModule } from "../abuse/modules/binary.ts";
import { Attacker, receiptOf, type Ended } from "../abuse/wasm-attacker.ts";
import { Oracle } from "../abuse/wasm-oracle.ts";
import { defineAttack } from "../abuse/wasm-target.ts";
import { echoTool } from "../edge/support.ts";
import { modulesOf } from "./deployed.ts";
import { EdgeTarget, isRefusedAtBuild, type Mode } from "./target.ts";

/** Groups A and B of the corpus, and C1, on the worker through HTTP: the cases that a service on Node is attacked with. */
const shared: readonly WasmCase[] = [...timeCases, ...memoryCases, ...malformedCases, ...nameCases, ...hostCallCases, ...outputCases];

/** What the worker's process may grow by in one case: some runs of 64 MiB at once, and what metering takes. */
const mostGrowthBytes = 512 * MiB;

const found = findBinary("workerd");
const isMissing = "missing" in found;
if (isMissing) console.log(`Not run on workerd: ${found.missing}`);

/** The cases, with what a worker whose tools lie in a bucket answers otherwise in their place. */
function casesOf(mode: Mode): readonly WasmCase[] {
  if (mode === "static") return shared;
  const others = shared.filter(({ title }) => title !== withoutDigest.title);
  expect(others).toHaveLength(shared.length - 1);
  return [...others, withoutDigest];
}

/**
 * Who can write into the bucket could put other bytes in the place of a tool's: so the list, which is the operator's, has to
 * name them. Of one that does not, nothing runs.
 */
const withoutDigest: WasmCase = {
  id: "B10",
  title: "tools whose manifests say the same but name no digest each run their own bytes",
  async attack(attacker) {
    const { target } = attacker;
    const before = target.log.length;
    const name = target.nextName();
    const codes = [0, 7, 9];
    for (const code of codes) {
      const bytes = callingModule([{ name: "proc_exit", args: [code], hasResult: false }]);
      const ended = await attacker.run({ module: () => defineAttack(name, async () => bytes) });
      expect(ended.problem).toMatchObject({ code: "ERR_TOOL_NOT_FOUND", started: false });
    }
    const said = () => target.log.slice(before).filter((line) => line.includes("must name the digest") && line.includes(`\\"${name}\\"`));
    await expect.poll(() => said().length).toBe(codes.length);
  },
};

describe.skipIf(isMissing).each(["static", "dynamic"] as const)("the worker, %s", (mode) => {
  const cases = casesOf(mode);
  let target: EdgeTarget;
  let oracle: Oracle;
  let attacker: Attacker;
  let memory: number;
  beforeAll(async () => {
    target = await EdgeTarget.open({ mode, modules: mode === "static" ? await modulesOf(cases) : [] });
  }, 240_000);
  afterAll(() => target?.close());

  /** Refused by the build, or of a tool that is in no list: there never was a run that the audit log could have. */
  const hasRun = (ended: Ended): boolean => !isRefusedAtBuild(ended) && ended.code !== "ERR_TOOL_NOT_FOUND";

  const holds = async (): Promise<void> => {
    await oracle.holds(attacker.ended.filter(hasRun));
    expect(target.peakMemory() - memory).toBeLessThan(mostGrowthBytes);
  };

  describe.each(["dev", "standard"] as const)("profile %s", (profile) => {
    beforeEach(async () => {
      memory = target.watchMemory();
      attacker = new Attacker(target, profile);
      oracle = await Oracle.begin(target, profile);
    });
    afterEach(holds);

    for (const { id, title, attack } of cases) test(`${id}: ${title}`, () => attack(attacker));

    test("F10: more memory than an isolate has room for is refused in standard, and clamped and said in dev", async () => {
      const name = await target.add(await echoTool(target.nextName()), {});
      const body = { tool: name, input: {}, resources: { memory: "128Mi" }, security: profile };
      const { status, text } = await target.request("POST", "/v1/executions", { body });
      const answer: unknown = JSON.parse(text);
      if (profile === "standard") expect(answer).toMatchObject({ status: 403, code: "ERR_POLICY_DENIED", started: false });
      else expect(receiptOf(resultSchema.parse(answer), "memory")).toMatchObject({ applied: 96 * MiB, clampedFrom: 128 * MiB });
      expect(status).toBe(profile === "standard" ? 403 : 200);
    });
  });

  describe("profile hardened", () => {
    beforeEach(async () => {
      memory = target.watchMemory();
      attacker = new Attacker(target, "hardened");
      oracle = await Oracle.begin(target, "standard");
    });
    afterEach(holds);

    // A worker is one wall. Whatever asks for two is refused, before anything of it is looked at.
    test.each(cases)("$id: nothing starts, for there is no second wall: $title", async ({ attack }) => {
      await attack(attacker).catch(() => undefined);
      const { ended } = attacker;
      expect(ended.length).toBeGreaterThan(0);
      expect(ended.filter(({ problem }) => problem?.started !== false)).toEqual([]);
      const refused = ended.filter(hasRun).map(({ code }) => code);
      expect(refused).toEqual(refused.map(() => "ERR_PROFILE_UNSUPPORTED"));
    });
  });
});
