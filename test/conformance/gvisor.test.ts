import { afterAll, describe, expect, it, test } from "vitest";
import { conformanceSuite } from "../../src/conformance/index.ts";
import { findDaemons, gvisorTarget } from "./containers.ts";

const daemons = findDaemons();
const required = (process.env["TOOLRUNTIME_REQUIRE"] ?? "").split(",");

test("gvisor is there where it is required", () => {
  if (typeof daemons === "string") console.log(`Not run on gvisor: ${daemons}`);
  expect(required.includes("gvisor") && typeof daemons === "string").toBe(false);
});

const profiles = ["dev", "standard", "hardened"] as const;
const targets = typeof daemons === "string" ? [] : profiles.map((profile) => gvisorTarget(daemons, profile));
afterAll(() => Promise.all(targets.map((target) => target.close())));

for (const target of targets) await conformanceSuite({ describe, it }, target.options);
