import { afterAll, describe, it } from "vitest";
import { conformanceSuite } from "../../src/conformance/index.ts";
import { wasmTarget } from "./targets.ts";

const target = await wasmTarget({ profile: "hardened" });
afterAll(() => target.close());

// Most of them wait most of their time.
await conformanceSuite({ describe: describe.concurrent, it }, target.options);
