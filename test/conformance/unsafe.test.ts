import { afterAll, describe, it } from "vitest";
import { conformanceSuite } from "../../src/conformance/index.ts";
import { unsafeTarget } from "./targets.ts";

const target = await unsafeTarget();
afterAll(() => target.close());

await conformanceSuite({ describe, it }, target.options);
