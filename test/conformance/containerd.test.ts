import { afterAll, describe, expect, it, test } from "vitest";
import { conformanceSuite } from "../../src/conformance/index.ts";
import { containerdTarget, findDaemons } from "./containers.ts";

const daemons = findDaemons();
const required = (process.env["TOOLRUNTIME_REQUIRE"] ?? "").split(",");

test("containerd is there where it is required", () => {
  if (typeof daemons === "string") console.log(`Not run on containerd: ${daemons}`);
  expect(required.includes("containerd") && typeof daemons === "string").toBe(false);
});

const targets = typeof daemons === "string" ? [] : (["dev", "standard"] as const).map((profile) => containerdTarget(daemons, profile));
afterAll(() => Promise.all(targets.map((target) => target.close())));

for (const target of targets) await conformanceSuite({ describe, it }, target.options);
