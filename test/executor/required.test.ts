import { describe, expect, it } from "vitest";
import { assertBackendName, openBackend, type BackendOptions } from "../../src/adapters/executor/index.ts";
import { findDaemons } from "../conformance/containers.ts";

/** Backends that must be ready, by name: CI sets it, so that a backend that is missing there is a failure and no skip. */
const required = (process.env["TOOLRUNTIME_REQUIRE"] ?? "").split(",").filter((name) => name !== "");

const daemons = findDaemons();
const options: Omit<BackendOptions, "remote"> = {
  wasm: {},
  unsafe: { acceptUnsafe: true, warn: () => undefined },
  docker: typeof daemons === "string" ? {} : { socketPath: daemons.sockets.docker },
  containerd: typeof daemons === "string" ? {} : { socketPath: daemons.sockets.containerd },
  gvisor: typeof daemons === "string" ? {} : { imageFolder: daemons.imageFolder },
};

if (required.length === 0)
  console.log("No backend is required here: set TOOLRUNTIME_REQUIRE=wasm,unsafe,docker,containerd,gvisor to have a missing one fail");

describe.skipIf(required.length === 0)("the backends that TOOLRUNTIME_REQUIRE names", () => {
  it.each(required)("%s is ready", async (name) => {
    assertBackendName(name);
    const backend = await openBackend(name, options[name]);
    const { status, reason } = await backend.probe();
    expect({ status, reason }).toEqual({ status: "ready", reason: undefined });
    await backend.close();
  });
});
