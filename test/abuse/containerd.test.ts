import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, test } from "vitest";
import { containerd } from "../../src/backends/containerd/index.ts";
import { abuseSuite, nativeCases } from "../../src/conformance/abuse/index.ts";
import { imageAttacker, linuxSnapshot } from "../../src/conformance/abuse/native/node.ts";
import { createRuntime, defineTool } from "../../src/index.ts";
import { findDaemons } from "../conformance/containers.ts";
import { acceptEngines, leftovers } from "../containerd/support.ts";

const canary = `canary-${crypto.randomUUID()}`;
process.env["TOOLRUNTIME_ABUSE_CANARY"] = canary;

const daemons = findDaemons();
const reference = "docker.io/toolruntime/lang:test";
const about = { name: "victim", version: "1.0.0", description: "Writes what it reads", inputSchema: true };
const victim = await defineTool({ ...about, artifacts: { image: { reference, argv: ["/bin/cat"] } } }, {});

async function attackIn(profile: "dev" | "standard", socketPath: string): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "toolruntime-abuse-"));
  const backend = containerd({ socketPath, acceptEngines, scratch });
  afterAll(async () => {
    await backend.close();
    rmSync(scratch, { recursive: true });
  });
  const snapshot = linuxSnapshot({ scratch });
  await abuseSuite({ describe, it }, nativeCases, {
    name: backend.name,
    profile,
    open: (options) => createRuntime({ ...options, backend }),
    attacker: imageAttacker({ reference, node: "/usr/bin/node", shell: "/bin/sh" }),
    setUid: "/usr/bin/python3-setuid",
    victim,
    canary,
    snapshot: async () => [...(await snapshot()), ...leftovers(socketPath, scratch)],
  });
}

test("containerd is there where it is required", () => {
  const required = (process.env["TOOLRUNTIME_REQUIRE"] ?? "").split(",");
  if (typeof daemons === "string") console.log(`Not attacked on containerd: ${daemons}`);
  expect(required.includes("containerd") && typeof daemons === "string").toBe(false);
});

const sockets = typeof daemons === "string" ? [] : [daemons.sockets.containerd];
for (const socketPath of sockets) for (const profile of ["dev", "standard"] as const) await attackIn(profile, socketPath);
