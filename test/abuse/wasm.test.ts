import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { securityProfiles } from "../../src/profile.ts";
import { verifyAudit } from "../../src/store.ts";
import type { WasmCase } from "./cases/case.ts";
import { hostCallCases } from "./cases/host-calls.ts";
import { malformedCases } from "./cases/malformed.ts";
import { memoryCases } from "./cases/memory.ts";
import { nameCases } from "./cases/names.ts";
import { outputCases } from "./cases/output.ts";
import { timeCases } from "./cases/time.ts";
import { Attacker } from "./wasm-attacker.ts";
import { Oracle } from "./wasm-oracle.ts";
import { Target } from "./wasm-target.ts";

/** Groups A and B of the corpus, and C1, in every profile: inline in dev and standard, in processes in hardened. */
const cases: readonly WasmCase[] = [...timeCases, ...memoryCases, ...malformedCases, ...nameCases, ...hostCallCases, ...outputCases];

const target = await Target.open();
afterAll(async () => {
  expect(await verifyAudit(target.auditLines())).toMatchObject({ ok: true });
  await target.close();
});

describe.each(securityProfiles)("profile %s", (profile) => {
  let oracle: Oracle;
  let attacker: Attacker;
  beforeEach(async () => {
    attacker = new Attacker(target, profile);
    oracle = await Oracle.begin(target, profile);
  });
  afterEach(() => oracle.holds(attacker.ended));

  for (const { id, title, attack } of cases) test(`${id}: ${title}`, () => attack(attacker));
});
