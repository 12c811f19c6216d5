import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { containerd } from "../../src/backends/containerd/index.ts";
import { createRuntime, type ExecutionEvent, type Resources } from "../../src/index.ts";
import { findDaemons } from "../conformance/containers.ts";
import { codeOf } from "../unit/support.ts";
import { acceptEngines, ctr, Daemon, leftovers, processesWith, toolOf } from "./support.ts";

/** What is containerd's own; what every backend must hold is in the conformance suite. */
const daemons = findDaemons();
const isMissing = typeof daemons === "string";
if (isMissing) console.log(`Not run on containerd: ${daemons}`);
const socketPath = isMissing ? "/nonexistent" : daemons.sockets.containerd;
const busybox = { reference: "docker.io/toolruntime/busybox:test" };
const lang = { reference: "docker.io/toolruntime/lang:test" };
const scratch = mkdtempSync(join(tmpdir(), "toolruntime-containerd-test-"));
const backend = containerd({ socketPath, acceptEngines, scratch });
const runtime = createRuntime({ backend, security: "standard" });
afterAll(async () => {
  await runtime.close();
  await backend.close();
  rmSync(scratch, { recursive: true });
});

async function shell(script: string, resources: Resources = {}) {
  return runtime.execute({ tool: await toolOf(busybox, ["/bin/sh", "-c", script]), resources });
}

/** One of the files of the run that goes on, found by hand: in cgroups of version 1, or else of version 2. */
function cgroupFile(one: string, two: string): number {
  for (const [hierarchy, file] of [
    [one.split("/")[0] ?? "", one.split("/")[1] ?? ""],
    [".", two],
  ] as const) {
    const top = join("/sys/fs/cgroup", hierarchy);
    const found = readdirSync(top).filter((name) => name.startsWith(`toolruntime-containerd-${process.pid}-`));
    if (found.length === 1) return Number(readFileSync(join(top, found[0] ?? "", file), "utf8").split(" ")[0]);
  }
  throw new Error("there is not one cgroup of a run");
}

describe.skipIf(isMissing)("containerd", () => {
  test("in standard a tool is nobody, with no capability, no way to gain one, and nothing to write to but its own folders", async () => {
    const { stdout } = await shell(
      "id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; touch /x /dev/x /proc/sys/kernel/core_pattern 2>&1; ls /sys/class/net; cat /proc/kcore /proc/keys | wc -c; ls -A /sys/firmware",
    );
    expect(stdout.split("\n")).toEqual([
      "65534",
      "CapEff:\t0000000000000000",
      "CapBnd:\t0000000000000000",
      "NoNewPrivs:\t1",
      "Seccomp:\t2",
      "touch: /x: Read-only file system",
      "touch: /dev/x: Read-only file system",
      "touch: /proc/sys/kernel/core_pattern: Read-only file system",
      "lo",
      "0",
      "",
    ]);
  });

  test("what the receipts say is what the kernel's files say while the tool runs", async () => {
    const seen: Record<string, number> = {};
    const onEvent = (event: ExecutionEvent): void => {
      if (event.type !== "stdout") return;
      seen["memory"] = cgroupFile("memory/memory.limit_in_bytes", "memory.max");
      seen["memoryPeak"] = cgroupFile("memory/memory.max_usage_in_bytes", "memory.peak");
      seen["processes"] = cgroupFile("pids/pids.max", "pids.max");
      seen["cpu"] = cgroupFile("cpu/cpu.cfs_quota_us", "cpu.max");
    };
    const script = "head -c 9000000 /dev/zero > /tmp/held; df -k /work | tail -1 | awk '{print $2}'; ulimit -n; ulimit -c; sleep 0.3";
    const tool = await toolOf(busybox, ["/bin/sh", "-c", script]);
    const resources = { memory: "40Mi", processes: 21, cpu: 0.5, disk: "15Mi" };
    const { limits, stdout } = await runtime.execute({ tool, resources }, { onEvent });
    const receipt = (name: string) => limits.find(({ limit }) => limit === name);
    expect(stdout.split("\n")).toEqual(["15360", "1024", "0", ""]);
    expect(seen["memory"]).toBe(40 * 2 ** 20);
    expect(receipt("memory")).toMatchObject({ applied: seen["memory"], enforcedBy: "cgroup", hit: "no" });
    expect(receipt("memory")?.peak).toBeGreaterThanOrEqual(seen["memoryPeak"] ?? Number.NaN);
    expect(seen["memoryPeak"]).toBeGreaterThan(9_000_000);
    // The container's first process is in the count, and is none of the tool's.
    expect(seen["processes"]).toBe(22);
    expect(receipt("processes")).toMatchObject({ applied: 21, hit: "no" });
    expect(seen["cpu"]).toBe(50_000);
    expect(receipt("cpu")).toMatchObject({ applied: 0.5 });
    expect(receipt("disk")).toMatchObject({ applied: 15 * 2 ** 20 });
    expect(receipt("disk")?.peak).toBeGreaterThanOrEqual(9_000_000);
  });

  test.each([
    ["memory", { memory: "32Mi" }, "tail /dev/zero", "ERR_LIMIT_MEMORY"],
    ["cpuTime", { cpuTime: 300 }, "while :; do :; done", "ERR_LIMIT_CPU_TIME"],
    ["timeout", { timeout: 400 }, "trap '' TERM; sleep 100", "ERR_LIMIT_TIMEOUT"],
    ["output", { output: "10Ki" }, "yes", "ERR_LIMIT_OUTPUT"],
  ] as const)("the limit %s ends a run", async (limit, resources, script, code) => {
    await expect(shell(script, resources)).rejects.toMatchObject({ code, started: true, details: { limit } });
  });

  test("a child that the kernel killed for want of memory is on the receipt of a tool that ended by itself", async () => {
    const { exitCode, limits } = await shell("tail /dev/zero; exit 3", { memory: "32Mi" });
    expect(exitCode).toBe(3);
    expect(limits.find(({ limit }) => limit === "memory")).toMatchObject({ hit: "yes" });
  });

  test("a tool that was at its limit of memory for its files' sake, and kills itself, was not killed by the limit", async () => {
    // In dev the root can be written to, on a disk: what is kept of it in memory can be given up.
    const under = createRuntime({ backend, security: "dev" });
    const tool = await toolOf(busybox, ["/bin/sh", "-c", "head -c 60000000 /dev/zero > /big; kill -9 $$"]);
    const { exit, limits } = await under.execute({ tool, resources: { memory: "24Mi" } });
    expect(exit).toEqual({ kind: "signalled", signal: "SIGKILL", number: 9 });
    expect(limits.find(({ limit }) => limit === "memory")).toMatchObject({ applied: 24 * 2 ** 20, peak: 24 * 2 ** 20 });
    await under.close();
  });

  test("a fork bomb has as many processes as it may, and leaves none", async () => {
    const { stderr, limits } = await shell("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 61.25 & done", { processes: 8 });
    expect(stderr).toContain("can't fork");
    expect(limits.find(({ limit }) => limit === "processes")).toMatchObject({ applied: 8, hit: "yes" });
    expect(processesWith("61.25")).toEqual([]);
  });

  test("a signal ends a tool, as it would anywhere, though it is alone in its container", async () => {
    for (const [name, number] of [
      ["SEGV", 11],
      ["TERM", 15],
      ["KILL", 9],
      ["ABRT", 6],
    ] as const) {
      const { exit, exitCode } = await shell(`kill -${name} $$; sleep 5; exit 1`);
      expect({ exit, exitCode }).toEqual({ exit: { kind: "signalled", signal: `SIG${name}`, number }, exitCode: 128 + number });
    }
  });

  test("the last bytes of both streams come, from a reader that is slow, and apart", async () => {
    const tool = await toolOf(busybox, [
      "/bin/sh",
      "-c",
      "yes out | head -c 700000; yes err | head -c 300000 >&2; printf end; printf END >&2",
    ]);
    const bytes = { stdout: 0, stderr: 0 };
    let tail = "";
    let slept = 0;
    const onEvent = async (event: ExecutionEvent): Promise<void> => {
      if (event.type !== "stdout" && event.type !== "stderr") return;
      bytes[event.type] += event.bytes.length;
      tail = (tail + new TextDecoder().decode(event.bytes)).slice(-200_000);
      // Long enough for the tool to have ended, and for the shim to have given up what nobody reads.
      if (slept++ < 3) await new Promise((resolve) => setTimeout(resolve, 1200));
    };
    await runtime.execute({ tool, resources: { output: "4Mi", timeout: "20s" } }, { onEvent });
    expect(bytes).toEqual({ stdout: 700_003, stderr: 300_003 });
    expect(tail).toContain("end");
    expect(tail).toContain("END");
  });

  test("five megabytes of input come whole, and a tool that reads none of it ends", async () => {
    const input = "x".repeat(5_000_000);
    const big = createRuntime({ backend, security: "standard", maxInputBytes: 8_000_000 });
    const counted = await big.execute({ tool: await toolOf(busybox, ["/bin/sh", "-c", "wc -c"]), input });
    expect(counted.stdout).toBe("5000002\n");
    const unread = await big.execute({ tool: await toolOf(busybox, ["/bin/true"]), input });
    expect(unread.exitCode).toBe(0);
    await big.close();
  });

  test("an image that the daemon does not have is refused by name, and so is another digest", async () => {
    const none = await toolOf({ reference: "toolruntime/none" }, ["true"]);
    await expect(runtime.execute({ tool: none })).rejects.toMatchObject({
      code: "ERR_BACKEND_FAILED",
      message: expect.stringContaining('"docker.io/toolruntime/none:latest"'),
    });
    const other = await toolOf({ ...busybox, digest: `sha256:${"0".repeat(64)}` }, ["true"]);
    expect(await codeOf(runtime.execute({ tool: other }))).toBe("ERR_DIGEST_MISMATCH");
  });

  test("an image is known by its manifest's digest and by that of its configuration, and by the short name of the one host", async () => {
    const [, line = ""] = ctr(socketPath, "images", "ls", `name==${busybox.reference}`);
    const [digest = ""] = /sha256:[0-9a-f]{64}/.exec(line) ?? [];
    const manifest: { config: { digest: string } } = JSON.parse(ctr(socketPath, "content", "get", digest).join(""));
    for (const one of [digest, manifest.config.digest]) {
      const tool = await toolOf({ reference: "toolruntime/busybox:test", digest: one }, ["true"]);
      expect((await runtime.execute({ tool })).exitCode).toBe(0);
    }
  });

  test.each([
    ["/nothing", "no such file"],
    ["nothing", "no such file"],
    ["/etc/passwd", "not executable"],
    ["/etc", "not executable"],
  ])("an entrypoint that cannot be executed is refused with the reason: %s", async (program, why) => {
    await expect(runtime.execute({ tool: await toolOf(busybox, [program]) })).rejects.toMatchObject({
      code: "ERR_ARTIFACT_INVALID",
      message: expect.stringMatching(new RegExp(`"${program}".*${why}`)),
    });
  });

  test("an image without a program of its own runs what the manifest says, and one with a program that", async () => {
    const about = { name: "own", version: "1.0.0", description: "Runs the image's own program", inputSchema: true };
    const { defineTool } = await import("../../src/index.ts");
    const own = await defineTool({ ...about, artifacts: { image: busybox } }, {});
    const { stdout } = await runtime.execute({ tool: own, input: "ignored" });
    // Its own is a shell, which takes the input for a command.
    expect(stdout).toBe("");
  });

  test("hardened is refused: a container shares the host's kernel", async () => {
    const hardened = createRuntime({ backend, security: "hardened" });
    expect(await codeOf(hardened.execute({ tool: await toolOf(busybox, ["true"]) }))).toBe("ERR_PROFILE_UNSUPPORTED");
    await hardened.close();
  });

  test("an engine below its floor is refused in standard unless it is accepted by name", async () => {
    const strict = containerd({ socketPath, scratch });
    const { capabilities, notes = [] } = await strict.probe();
    expect(notes.some((note) => note.startsWith("belowFloor: runc@"))).toBe(true);
    expect(capabilities[0]?.profiles).toEqual(["dev"]);
    await strict.close();
  });

  test("a set-uid program of the image's gives a tool nobody else's rights", async () => {
    const tool = await toolOf(lang, [
      "/usr/bin/python3-setuid",
      "-c",
      "import os; print(os.geteuid(), os.stat('/usr/bin/python3-setuid').st_mode & 0o4000)",
    ]);
    expect((await runtime.execute({ tool })).stdout).toBe("65534 2048\n");
  });

  test("calls that lead out of a container are refused, and threads and processes can be had", async () => {
    const script = readFileSync(new URL("programs/system-calls.py", import.meta.url), "utf8");
    for (const security of ["dev", "standard"] as const) {
      const under = createRuntime({ backend, security });
      const { stdout } = await under.execute({
        tool: await toolOf(lang, ["/usr/bin/python3", "-c", script]),
        resources: { memory: "256Mi" },
      });
      expect(stdout.split("\n").filter((line) => !/: (EPERM|ENOSYS)$/.test(line))).toEqual(["looked", ""]);
      await under.close();
    }
  });

  test("what a service that was killed has left is found and removed, and what a living one has is not", { timeout: 60_000 }, async () => {
    const before = leftovers(socketPath, scratch);
    const program = fileURLToPath(new URL("programs/service.ts", import.meta.url));
    const argv = [program, socketPath, scratch, busybox.reference, "/bin/sleep", "57.125"];
    const service = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "inherit"] });
    let told = "";
    for await (const chunk of service.stdout) {
      told += String(chunk);
      if (told.split("started").length > 2) break;
    }
    const { removed: fromLiving } = await backend.reap();
    expect(fromLiving).toEqual([]);
    const ended = new Promise((resolve) => service.once("exit", resolve));
    service.kill("SIGKILL");
    await ended;
    expect(processesWith("57.125")).not.toEqual([]);
    expect(leftovers(socketPath, scratch).length).toBeGreaterThan(before.length + 6);
    const { removed } = await backend.reap();
    expect(removed.filter((line) => line.startsWith("container "))).toHaveLength(2);
    await expect.poll(() => leftovers(socketPath, scratch)).toEqual(before);
    expect(processesWith("57.125")).toEqual([]);
  });

  test(
    "a daemon that goes away in the middle ends the run with what to do, and when it is back the next one runs",
    { timeout: 60_000 },
    async () => {
      const daemon = new Daemon();
      await daemon.start();
      ctr(daemon.socketPath, "images", "import", join(dirname(socketPath), "images", "busybox.tar"));
      const own = containerd({ socketPath: daemon.socketPath, acceptEngines, scratch });
      const under = createRuntime({ backend: own, security: "standard", timeout: "30s" });
      try {
        const sleeping = await toolOf(busybox, ["/bin/sleep", "59.375"]);
        let stopped: Promise<void> | undefined;
        const onEvent = ({ type }: ExecutionEvent): void => {
          if (type === "started") stopped = daemon.stop();
        };
        await expect(under.execute({ tool: sleeping }, { onEvent })).rejects.toMatchObject({
          code: "ERR_BACKEND_UNAVAILABLE",
          started: true,
          message: expect.stringContaining("does not answer"),
        });
        await stopped;
        // The tool does not outlive its run, daemon or not.
        expect(processesWith("59.375")).toEqual([]);
        expect(await own.probe()).toMatchObject({ status: "unavailable", reason: expect.stringContaining("does not answer (ENOENT)") });
        expect(await codeOf(under.execute({ tool: await toolOf(busybox, ["true"]) }))).toBe("ERR_BACKEND_UNAVAILABLE");
        await daemon.start();
        await expect.poll(async () => (await own.probe()).status, { timeout: 10_000 }).toBe("ready");
        await expect.poll(() => leftovers(daemon.socketPath, scratch)).toEqual([]);
        expect((await under.execute({ tool: await toolOf(busybox, ["true"]) })).exitCode).toBe(0);
      } finally {
        await under.close();
        await own.close();
        await daemon.remove();
      }
    },
  );

  test("nothing is left of any run", async () => {
    // A shim ends by itself when its task is removed.
    await expect.poll(() => leftovers(socketPath, scratch)).toEqual([]);
  });
});

test("without a daemon the probe says what to do, and nothing runs", async () => {
  const missing = containerd({ socketPath: "/nonexistent/containerd.sock" });
  expect(await missing.probe()).toMatchObject({ status: "unavailable", reason: expect.stringContaining("does not answer (ENOENT)") });
  await missing.close();
});

test("without its packages the probe says in one line which to install", () => {
  const refuse = `import { registerHooks } from "node:module";
    registerHooks({ resolve(name, context, next) { if (name.startsWith("@grpc/")) throw new Error("not here"); return next(name, context); } });`;
  const script = `import { containerd } from ${JSON.stringify(new URL("../../src/backends/containerd/index.ts", import.meta.url).href)};
    const backend = containerd({ socketPath: "/nonexistent" });
    console.log((await backend.probe()).reason);
    await backend.close();`;
  const hook = `data:text/javascript,${encodeURIComponent(refuse)}`;
  const said = execFileSync(process.execPath, ["--import", hook, "--input-type=module", "--eval", script], { encoding: "utf8" });
  expect(said).toBe(
    'Cannot use the backend "containerd": the package @grpc/grpc-js did not load; run npm install @grpc/grpc-js @grpc/proto-loader\n',
  );
});
