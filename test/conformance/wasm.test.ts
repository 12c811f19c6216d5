import { afterAll, describe, it } from "vitest";
import { conformanceSuite } from "../../src/conformance/index.ts";
import { wasmTarget } from "./targets.ts";

const target = await wasmTarget();
afterAll(() => target.close());

await conformanceSuite({ describe, it }, target.options);
