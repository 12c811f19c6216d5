import { execFileSync } from "node:child_process";
import { afterAll, describe, expect, test } from "vitest";
import { docker } from "../../src/backends/docker/index.ts";
import { Docker } from "../../src/backends/docker/client.ts";
import { flavorOf } from "../../src/backends/docker/flavor.ts";
import { createRuntime, defineTool, type Resources } from "../../src/index.ts";
import { findDaemons } from "../conformance/containers.ts";

/** Podman behind its socket for Docker's clients: what of it is not as Docker's. */
const daemons = findDaemons();
const isMissing = typeof daemons === "string";
if (isMissing) console.log(`Not run on podman: ${daemons}`);
const socketPath = isMissing ? "/nonexistent" : daemons.sockets.podman;
const reference = isMissing ? "" : (daemons.images["busybox"]?.reference ?? "");
const podman = isMissing ? "" : `podman@${await versionOf(socketPath)}`;
const backend = docker({ socketPath, acceptEngines: ["runc@1.1.5", podman] });
const runtime = createRuntime({ backend, security: "standard" });
afterAll(async () => {
  await runtime.close();
  await backend.close();
});

async function versionOf(path: string): Promise<string> {
  return (await (await new Docker(path).peer()).version()).Version;
}

async function shell(script: string, resources: Resources = {}) {
  const about = { name: "attack", version: "1.0.0", description: "Does what its arguments say", inputSchema: true };
  const tool = await defineTool({ ...about, artifacts: { image: { reference, argv: ["/bin/sh", "-c", script] } } }, {});
  return runtime.execute({ tool, input: { n: 1 }, resources });
}

describe.skipIf(isMissing)("podman", () => {
  test("it is refused unless it is accepted by name, and the probe says that it is podman", async () => {
    const strict = docker({ socketPath, acceptEngines: ["runc@1.1.5"] });
    expect(await strict.probe()).toMatchObject({ status: "unavailable", reason: expect.stringContaining(`"${podman}"`) });
    await strict.close();
    const { status, notes } = await backend.probe();
    expect(status).toBe("ready");
    expect(notes).toContainEqual(expect.stringMatching(/^The daemon is podman \d/));
  });

  test("its runtime is judged by its floor, under whichever name podman has it", async () => {
    const strict = docker({ socketPath, acceptEngines: [podman] });
    const { capabilities, notes } = await strict.probe();
    expect(notes).toContainEqual(expect.stringMatching(/^belowFloor: runc@/));
    expect(capabilities[0]?.profiles).toEqual(["dev"]);
    await strict.close();
  });

  test("in standard a tool is nobody behind the same walls, and reads its input", async () => {
    const script =
      "cat; echo; id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; touch /x /dev/mqueue/x /run/x /var/tmp/x 2>&1; unshare -r true 2>&1";
    const { stdout } = await shell(script);
    expect(stdout.split("\n")).toEqual([
      '{"n":1}',
      "65534",
      "CapEff:\t0000000000000000",
      "CapBnd:\t0000000000000000",
      "NoNewPrivs:\t1",
      "Seccomp:\t2",
      "touch: /x: Read-only file system",
      "touch: /dev/mqueue/x: Read-only file system",
      "touch: /run/x: Read-only file system",
      "touch: /var/tmp/x: Read-only file system",
      expect.stringContaining("Operation not permitted"),
      "",
    ]);
  });

  test.each([
    ["memory", { memory: "32Mi" }, "tail /dev/zero", "ERR_LIMIT_MEMORY"],
    ["cpuTime", { cpuTime: 300 }, "while :; do :; done", "ERR_LIMIT_CPU_TIME"],
    ["timeout", { timeout: 1500 }, "trap '' TERM; sleep 100", "ERR_LIMIT_TIMEOUT"],
    ["output", { output: "10Ki" }, "yes", "ERR_LIMIT_OUTPUT"],
  ] as const)("the limit %s ends a run", async (limit, resources, script, code) => {
    await expect(shell(script, resources)).rejects.toMatchObject({ code, started: true, details: { limit } });
  });

  test("exit codes and signals are the tool's", async () => {
    expect(await shell("exit 3")).toMatchObject({ exitCode: 3 });
    expect(await shell("kill -SEGV $$")).toMatchObject({ exit: { kind: "signalled", signal: "SIGSEGV" } });
  });

  test("no container is left", () => {
    const names = execFileSync("docker", ["-H", `unix://${socketPath}`, "ps", "-a", "--format", "{{.Names}}"], { encoding: "utf8" });
    expect(names).not.toContain(`-docker-${process.pid}-`);
  });
});

test("Docker's own components are taken as they are", () => {
  const { name, engines } = flavorOf([
    { Name: "Engine", Version: "20.10.24" },
    { Name: "runc", Version: "1.1.5" },
  ]);
  expect({ name, engines }).toEqual({
    name: "docker",
    engines: [
      { name: "Engine", version: "20.10.24" },
      { name: "runc", version: "1.1.5" },
    ],
  });
});
