import { afterAll, describe, it } from "vitest";
import { conformanceSuite } from "../../src/conformance/index.ts";
import { wasmTarget } from "./targets.ts";

for (const profile of ["dev", "standard"] as const) {
  const target = await wasmTarget({ profile });
  afterAll(() => target.close());

  await conformanceSuite({ describe, it }, target.options);
}
