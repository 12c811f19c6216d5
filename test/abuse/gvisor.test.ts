import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, test } from "vitest";
import { gvisor } from "../../src/backends/gvisor/index.ts";
import { abuseSuite, nativeCases } from "../../src/conformance/abuse/index.ts";
import { imageAttacker, linuxSnapshot } from "../../src/conformance/abuse/native/node.ts";
import { createRuntime, defineTool, type SecurityProfile } from "../../src/index.ts";
import { acceptRunsc, findDaemons } from "../conformance/containers.ts";

const canary = `canary-${crypto.randomUUID()}`;
process.env["TOOLRUNTIME_ABUSE_CANARY"] = canary;

const daemons = findDaemons();
const reference = "docker.io/toolruntime/lang:test";
const about = { name: "victim", version: "1.0.0", description: "Writes what it reads", inputSchema: true };
const victim = await defineTool({ ...about, artifacts: { image: { reference, argv: ["/bin/cat"] } } }, {});

/** What does not hold yet, and is tried as soon as it may. */
const open: Readonly<Record<string, string>> = {
  D1: "gVisor holds the number of processes and does not say that it did: the receipt says hit unknown",
  D4: "the first process of the sandbox is the tool's user's, and gVisor shows its environment, which is the tool's own",
  D6: "gVisor's kill(-1) ends the caller too: the attack ends itself, with exit code 137, before it can say what it found",
};

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return "";
  }
}

/** What a run can leave: processes of runsc, mounts, cgroups of this process. Unpacked images stay, for whoever runs them next. */
function leftovers(scratch: string): string[] {
  const sandboxes = namesIn("/proc").filter((pid) => /^\d+$/.test(pid) && textOf(`/proc/${pid}/cmdline`).includes(`--root=${scratch}`));
  const mounts = textOf("/proc/self/mountinfo")
    .split("\n")
    .filter((line) => line.split(" ")[4]?.startsWith(`${scratch}/`));
  const cgroups = namesIn("/sys/fs/cgroup").flatMap((hierarchy) =>
    namesIn(`/sys/fs/cgroup/${hierarchy}`).filter((name) => name.startsWith(`toolruntime-gvisor-${process.pid}-`)),
  );
  return [...sandboxes.map((pid) => `process ${pid}`), ...mounts, ...cgroups];
}

async function attackIn(profile: SecurityProfile, imageFolder: string): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "toolruntime-abuse-"));
  const backend = gvisor({ imageFolder, acceptEngines: acceptRunsc, scratch });
  afterAll(async () => {
    await backend.close();
    rmSync(scratch, { recursive: true });
  });
  const snapshot = linuxSnapshot({ scratch });
  const cases = nativeCases.map((one) => {
    const why = open[one.id];
    return why === undefined ? one : { ...one, holds: () => why };
  });
  await abuseSuite({ describe, it }, cases, {
    name: backend.name,
    profile,
    open: (options) => createRuntime({ ...options, backend }),
    attacker: imageAttacker({ reference, node: "/usr/bin/node", shell: "/bin/sh" }),
    setUid: "/usr/bin/python3-setuid",
    victim,
    canary,
    snapshot: async () => [...(await snapshot()), ...leftovers(scratch)],
  });
}

test("gvisor is there where it is required", () => {
  const required = (process.env["TOOLRUNTIME_REQUIRE"] ?? "").split(",");
  if (typeof daemons === "string") console.log(`Not attacked on gvisor: ${daemons}`);
  expect(required.includes("gvisor") && typeof daemons === "string").toBe(false);
});

const folders = typeof daemons === "string" ? [] : [daemons.imageFolder];
for (const folder of folders) for (const profile of ["standard", "hardened"] as const) await attackIn(profile, folder);
