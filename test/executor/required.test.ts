import { describe, expect, it } from "vitest";
import { assertBackendName, openBackend, type BackendOptions } from "../../src/adapters/executor/index.ts";

/** Backends that must be ready, by name: CI sets it, so that a backend that is missing there is a failure and no skip. */
const required = (process.env["TOOLRUNTIME_REQUIRE"] ?? "").split(",").filter((name) => name !== "");

const options: BackendOptions = { wasm: {}, unsafe: { acceptUnsafe: true, warn: () => undefined } };

describe("the backends that TOOLRUNTIME_REQUIRE names", () => {
  it.skipIf(required.length > 0)("are none: nothing is required here", () => {
    expect(required).toEqual([]);
  });

  it.each(required)("%s is ready", async (name) => {
    assertBackendName(name);
    const backend = await openBackend(name, options[name]);
    const { status, reason } = await backend.probe();
    expect({ status, reason }).toEqual({ status: "ready", reason: undefined });
    await backend.close();
  });
});
