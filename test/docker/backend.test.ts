import { readdirSync, readFileSync } from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import { docker } from "../../src/backends/docker/index.ts";
import { createRuntime, defineTool, type Resources, type Tool } from "../../src/index.ts";
import { findDaemons } from "../conformance/containers.ts";
import { codeOf } from "../unit/support.ts";

/** What is Docker's own; what every backend must hold is in the conformance suite. */
const daemons = findDaemons();
const isMissing = typeof daemons === "string";
if (isMissing) console.log(`Not run on docker: ${daemons}`);
const socketPath = isMissing ? "/nonexistent" : daemons.sockets.docker;
const reference = isMissing ? "" : (daemons.images["busybox"]?.reference ?? "");
const backend = docker({ socketPath, acceptEngines: ["runc@1.1.5"] });
const runtime = createRuntime({ backend, security: "standard" });
afterAll(async () => {
  await runtime.close();
  await backend.close();
});

function toolOf(argv: readonly string[], image: { readonly reference?: string; readonly digest?: string } = {}): Promise<Tool> {
  return defineTool(
    {
      name: "attack",
      version: "1.0.0",
      description: "Does what its arguments say",
      inputSchema: true,
      artifacts: { image: { reference, ...image, argv: [...argv] } },
    },
    {},
  );
}

async function shell(script: string, resources: Resources = {}) {
  return runtime.execute({ tool: await toolOf(["/bin/sh", "-c", script]), resources });
}

/** What a run of this process can leave: mounts, cgroups. Other tests run meanwhile. */
function leftovers(): string[] {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.split(" ")[4]?.includes(`/${process.pid}-`));
  const cgroups = ["memory", "pids", "cpu", "unified", "."].flatMap((folder) => {
    try {
      return readdirSync(`/sys/fs/cgroup/${folder}`).filter((name) => name.startsWith(`toolruntime-docker-${process.pid}-`));
    } catch {
      return [];
    }
  });
  return [...mounts, ...cgroups];
}

describe.skipIf(isMissing)("docker", () => {
  test("in standard a tool is nobody, with no capability, no way to gain one, and a root that it cannot write to", async () => {
    const { stdout } = await shell(
      "id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; touch /x 2>&1; ls /sys/class/net",
    );
    expect(stdout.split("\n")).toEqual([
      "65534",
      "CapBnd:\t0000000000000000".replace("CapBnd", "CapEff"),
      "CapBnd:\t0000000000000000",
      "NoNewPrivs:\t1",
      "Seccomp:\t2",
      "touch: /x: Read-only file system",
      "lo",
      "",
    ]);
  });

  test("the limits that the kernel holds are those of the plan, seen from inside", async () => {
    const { stdout, limits } = await shell("df -k /work | tail -1 | awk '{print $2}'; ulimit -n; ulimit -c", {
      disk: "5Mi",
      memory: "40Mi",
    });
    expect(stdout.split("\n")).toEqual(["5120", "1024", "0", ""]);
    expect(limits.find(({ limit }) => limit === "memory")).toMatchObject({ applied: 40 * 2 ** 20, hit: "no" });
  });

  test.each([
    ["memory", { memory: "32Mi" }, "tail /dev/zero", "ERR_LIMIT_MEMORY"],
    ["cpuTime", { cpuTime: 300 }, "while :; do :; done", "ERR_LIMIT_CPU_TIME"],
    ["timeout", { timeout: 400 }, "trap '' TERM; sleep 100", "ERR_LIMIT_TIMEOUT"],
    ["output", { output: "10Ki" }, "yes", "ERR_LIMIT_OUTPUT"],
  ] as const)("the limit %s ends a run", async (limit, resources, script, code) => {
    await expect(shell(script, resources)).rejects.toMatchObject({ code, started: true, details: { limit } });
  });

  test("a fork bomb has as many processes as it may, and leaves none", async () => {
    const { stderr, limits } = await shell("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 60 & done", { processes: 8 });
    expect(stderr).toContain("can't fork");
    expect(limits.find(({ limit }) => limit === "processes")).toMatchObject({ applied: 8, hit: "yes" });
  });

  test("an image that the daemon does not have, another digest and a program that is not there are refused by name", async () => {
    expect(await codeOf(runtime.execute({ tool: await toolOf(["true"], { reference: "docker.io/toolruntime/none:test" }) }))).toBe(
      "ERR_BACKEND_FAILED",
    );
    expect(await codeOf(runtime.execute({ tool: await toolOf(["true"], { digest: `sha256:${"0".repeat(64)}` }) }))).toBe(
      "ERR_DIGEST_MISMATCH",
    );
    await expect(runtime.execute({ tool: await toolOf(["/nothing"]) })).rejects.toMatchObject({
      code: "ERR_ARTIFACT_INVALID",
      message: expect.stringContaining('"/nothing"'),
    });
  });

  test.each(["dev", "standard"] as const)("in %s the first process shows nobody what it was given", async (security) => {
    const other = createRuntime({ backend, security });
    const argv = ["/bin/sh", "-c", "cat /proc/1/comm; cat /proc/1/environ 2>&1; unshare -n true 2>&1 || echo refused"];
    const { stdout } = await other.execute({ tool: await toolOf(argv), env: { SECRET: "for the tool" } });
    expect(stdout.split("\n")).toEqual([
      "toolruntime-ini",
      expect.stringContaining("Permission denied"),
      expect.stringContaining("Operation not permitted"),
      "refused",
      "",
    ]);
    await other.close();
  });

  test("a tool whose manifest names no program is the image's own, and its 127 is its own", async () => {
    const about = { name: "shell", version: "1.0.0", description: "Reads a script", inputSchema: true };
    const tool = await defineTool({ ...about, artifacts: { image: { reference } } }, {});
    const { exitCode, stderr } = await runtime.execute({ tool, input: 7 });
    expect({ exitCode, stderr }).toEqual({ exitCode: 127, stderr: expect.stringContaining("7: not found") });
  });

  test("hardened is refused: a container shares the host's kernel", async () => {
    const hardened = createRuntime({ backend, security: "hardened" });
    expect(await codeOf(hardened.execute({ tool: await toolOf(["true"]) }))).toBe("ERR_PROFILE_UNSUPPORTED");
    await hardened.close();
  });

  test("an engine below its floor is refused in standard unless it is accepted by name", async () => {
    const strict = docker({ socketPath });
    const [{ capabilities, notes = [] }] = [await strict.probe()];
    expect(notes.some((note) => note.startsWith("belowFloor: runc@"))).toBe(true);
    expect(capabilities[0]?.profiles).toEqual(["dev"]);
    await strict.close();
  });

  test("nothing is left of any run", () => {
    expect(leftovers()).toEqual([]);
  });
});

test("without a daemon the probe says what to do, and nothing runs", async () => {
  const missing = docker({ socketPath: "/nonexistent/docker.sock" });
  expect(await missing.probe()).toMatchObject({ status: "unavailable", reason: expect.stringContaining("does not answer (ENOENT)") });
  await missing.close();
});
