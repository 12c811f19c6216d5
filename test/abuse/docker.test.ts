import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, test } from "vitest";
import { docker } from "../../src/backends/docker/index.ts";
import { abuseSuite, nativeCases } from "../../src/conformance/abuse/index.ts";
import { imageAttacker, linuxSnapshot } from "../../src/conformance/abuse/native/node.ts";
import { createRuntime, defineTool } from "../../src/index.ts";
import { findDaemons } from "../conformance/containers.ts";
import { codeOf } from "../unit/support.ts";

const canary = `canary-${crypto.randomUUID()}`;
process.env["TOOLRUNTIME_ABUSE_CANARY"] = canary;

const acceptEngines = ["runc@1.1.5"];
const daemons = findDaemons();
const reference = "docker.io/toolruntime/lang:test";
const about = { name: "victim", version: "1.0.0", description: "Writes what it reads", inputSchema: true };
const attacker = imageAttacker({ reference, node: "/usr/bin/node", shell: "/bin/sh" });
const setUid = "/usr/bin/python3-setuid";
const victim = await defineTool({ ...about, artifacts: { image: { reference, argv: ["/bin/cat"] } } }, {});

function containersOf(socketPath: string): string[] {
  return lines(execFileSync("docker", ["-H", `unix://${socketPath}`, "ps", "-a", "--format", "{{.Names}}"], { encoding: "utf8" }));
}

function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

/** What a run of this process can leave on the daemon, by its own command, and on this machine. Other tests run meanwhile. */
function leftovers(socketPath: string, scratch: string): string[] {
  const containers = containersOf(socketPath).filter((name) => name.includes(`-docker-${process.pid}-`));
  const mounts = lines(readFileSync("/proc/self/mountinfo", "utf8")).filter((line) => line.split(" ")[4]?.startsWith(`${scratch}/`));
  const cgroups = readdirSync("/sys/fs/cgroup").flatMap((hierarchy) => {
    try {
      return readdirSync(`/sys/fs/cgroup/${hierarchy}`).filter((name) => name.startsWith(`toolruntime-docker-${process.pid}-`));
    } catch {
      return [];
    }
  });
  return [...containers.map((name) => `container ${name}`), ...mounts, ...cgroups];
}

async function attackIn(profile: "dev" | "standard", socketPath: string): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "toolruntime-abuse-"));
  const backend = docker({ socketPath, acceptEngines, scratch });
  afterAll(async () => {
    await backend.close();
    rmSync(scratch, { recursive: true });
  });
  const snapshot = linuxSnapshot({ scratch });
  await abuseSuite({ describe, it }, nativeCases, {
    name: backend.name,
    profile,
    open: (options) => createRuntime({ ...options, backend }),
    attacker,
    setUid,
    victim,
    canary,
    snapshot: async () => [...(await snapshot()), ...leftovers(socketPath, scratch)],
  });
}

test("docker is there where it is required", () => {
  const required = (process.env["TOOLRUNTIME_REQUIRE"] ?? "").split(",");
  if (typeof daemons === "string") console.log(`Not attacked on docker: ${daemons}`);
  expect(required.includes("docker") && typeof daemons === "string").toBe(false);
});

const sockets = typeof daemons === "string" ? [] : [daemons.sockets.docker];
for (const socketPath of sockets) {
  for (const profile of ["dev", "standard"] as const) await attackIn(profile, socketPath);

  test("in hardened nothing is attacked: it is refused before anything starts", async () => {
    const backend = docker({ socketPath, acceptEngines });
    const runtime = createRuntime({ backend, security: "hardened" });
    expect(await codeOf(runtime.execute({ tool: victim }))).toBe("ERR_PROFILE_UNSUPPORTED");
    await runtime.close();
    await backend.close();
  });

  // What an attack finds in a container without the wall that it is about; only so does finding nothing mean something.
  test.each([
    ["kernel-calls.mjs", ["host"], ["--security-opt", "seccomp=unconfined"], ["ptrace: done", "unshare(USER): done", "keyctl: done"]],
    ["set-uid.sh", [setUid], ["--cap-drop", "ALL"], ["it became user 0", "it made itself user 0"]],
    ["set-uid.sh", ["/usr/bin/python3"], ["--cap-drop", "ALL"], ["/usr/bin/python3 is no set-uid program"]],
    ["write-outside.sh", [], [], ["wrote in /dev/shm", "wrote in /dev/mqueue"]],
    ["spy.mjs", [], ["--init"], ["the environment of process 1"]],
  ] as const)("%s finds what is there to be found", async (program, args, flags, found) => {
    const { manifest } = await attacker(program, args, {});
    const { argv = [] } = manifest.artifacts.image ?? {};
    const own = ["-H", `unix://${socketPath}`, "run", "--rm", "--network", "none", "--user", "65534:65534", "--workdir", "/", ...flags];
    const stdout = execFileSync("docker", [...own, reference, ...argv], { encoding: "utf8" });
    expect(lines(stdout)).toEqual(expect.arrayContaining([...found]));
  });
}
