import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { gvisor } from "../../src/backends/gvisor/index.ts";
import { witnessSource } from "../../src/backends/gvisor/witness-program.ts";
import { createRuntime, defineTool, type ExecutionEvent, type Resources, type Tool } from "../../src/index.ts";
import { acceptRunsc as acceptEngines, findDaemons } from "../conformance/containers.ts";
import { codeOf } from "../unit/support.ts";

/** What is gVisor's own; what every backend must hold is in the conformance suite. */
const daemons = findDaemons();
const isMissing = typeof daemons === "string";
if (isMissing) console.log(`Not run on gvisor: ${daemons}`);
const imageFolder = isMissing ? "/nonexistent" : daemons.imageFolder;
const busybox = { reference: "docker.io/toolruntime/busybox:test" };
const folder = mkdtempSync(join(tmpdir(), "toolruntime-gvisor-test-"));
const scratch = join(folder, "scratch");
const backend = gvisor({ imageFolder, acceptEngines, scratch });
const runtime = createRuntime({ backend, security: "hardened" });
afterAll(async () => {
  await runtime.close();
  await backend.close();
  rmSync(folder, { recursive: true });
});

function toolOf(image: { readonly reference: string; readonly digest?: string }, argv: readonly string[]): Promise<Tool> {
  const about = { name: "attack", version: "1.0.0", description: "Does what its arguments say", inputSchema: true };
  return defineTool({ ...about, artifacts: { image: { ...image, argv: [...argv] } } }, {});
}

async function shell(script: string, resources: Resources = {}) {
  return runtime.execute({ tool: await toolOf(busybox, ["/bin/sh", "-c", script]), resources });
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** What a run can leave on this machine, besides the images that are unpacked. */
function leftovers(): string[] {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.split(" ")[4]?.startsWith(`${scratch}/`));
  const cgroups = namesIn("/sys/fs/cgroup").flatMap((hierarchy) =>
    namesIn(`/sys/fs/cgroup/${hierarchy}`).flatMap((name) => (name.startsWith("toolruntime-gvisor-") ? `cgroup ${hierarchy}/${name}` : [])),
  );
  return [...mounts, ...cgroups, ...processesWith(scratch).map((pid) => `process ${pid}`)];
}

function processesWith(word: string): string[] {
  return namesIn("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && Number(pid) !== process.pid && readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(`--root=${word}`);
    } catch {
      return false;
    }
  });
}

/** One of the files of the run that goes on, found by hand: in cgroups of version 1, or else of version 2. */
function cgroupFile(one: string, two: string): number {
  for (const [hierarchy, file] of [
    [one.split("/")[0] ?? "", one.split("/")[1] ?? ""],
    [".", two],
  ] as const) {
    const top = join("/sys/fs/cgroup", hierarchy);
    const found = namesIn(top).filter((name) => name.startsWith(`toolruntime-gvisor-${process.pid}-`));
    if (found.length === 1) return Number(readFileSync(join(top, found[0] ?? "", file), "utf8").split(" ")[0]);
  }
  throw new Error("there is not one cgroup of a run");
}

/** A program that says that it is runsc, and is runc, which shares the host's kernel. */
function writeImpostor(path: string): void {
  const script = `#!/bin/sh
if [ "$1" = --version ]; then echo "runsc version release-20990101.0"; exit 0; fi
for word; do case "$word" in --root=*) root=$word;; run|kill) break;; --log=*) log=\${word#--log=};; esac; done
echo >> "$log"
while [ "$1" != run ] && [ "$1" != kill ]; do shift; done
PATH=/usr/sbin:/usr/bin:/sbin:/bin exec runc "$root" "$@"
`;
  writeFileSync(path, script);
  chmodSync(path, 0o755);
}

describe.skipIf(isMissing)("gvisor", () => {
  test("a stand-in that is really runc is refused: the kernel in its container is this host's", async () => {
    const runtimePath = join(folder, "impostor");
    writeImpostor(runtimePath);
    const fake = gvisor({ imageFolder, runtimePath, scratch });
    const probe = await fake.probe();
    expect(probe).toMatchObject({ status: "unavailable", capabilities: [], reason: expect.stringContaining("is no gVisor") });
    expect(probe.reason).toMatch(/boot id of this host/);
    const under = createRuntime({ backend: fake, security: "hardened" });
    expect(await codeOf(under.execute({ tool: await toolOf(busybox, ["true"]) }))).toBe("ERR_BACKEND_UNAVAILABLE");
    await under.close();
    await fake.close();
  });

  test("a program that takes runsc's place after the probe is asked anew, and refused before it runs a tool", async () => {
    const runtimePath = join(folder, "changing");
    copyFileSync("/usr/bin/runsc", runtimePath);
    chmodSync(runtimePath, 0o755);
    const changing = gvisor({ imageFolder, runtimePath, scratch, acceptEngines });
    const under = createRuntime({ backend: changing, security: "hardened" });
    const tool = await toolOf(busybox, ["true"]);
    expect((await under.execute({ tool })).exitCode).toBe(0);
    rmSync(runtimePath);
    writeImpostor(runtimePath);
    expect(await codeOf(under.execute({ tool }))).toBe("ERR_ATTESTATION");
    await under.close();
    await changing.close();
  });

  test("the kernel that answers a tool is gVisor's, which has no network and lets it write to its own folders alone", async () => {
    const { stdout } = await shell(
      "dmesg | head -1; id -u; grep -E '^Cap(Eff|Bnd):' /proc/self/status; ls /sys/class/net 2>/dev/null; touch /x /dev/x 2>/dev/null || echo no; touch a out/b /tmp/c && echo yes",
    );
    expect(stdout).toMatch(/^\[ +0\.0+\] Starting gVisor\.\.\.\n65534\nCapEff:\t0+\nCapBnd:\t0+\n(?:lo\n)?no\nyes\n$/);
  });

  test("what the receipts say is what the kernel's files say while the tool runs", async () => {
    const seen: Record<string, number> = {};
    const onEvent = (event: ExecutionEvent): void => {
      if (event.type !== "stdout") return;
      seen["memory"] = cgroupFile("memory/memory.limit_in_bytes", "memory.max");
      seen["memoryPeak"] = cgroupFile("memory/memory.max_usage_in_bytes", "memory.peak");
      seen["threads"] = cgroupFile("pids/pids.max", "pids.max");
      seen["cpu"] = cgroupFile("cpu/cpu.cfs_quota_us", "cpu.max");
    };
    const script = "head -c 9000000 /dev/zero > /tmp/held; df -k /work | tail -1 | awk '{print $2}'; ulimit -n; sleep 0.5";
    const tool = await toolOf(busybox, ["/bin/sh", "-c", script]);
    const resources = { memory: "48Mi", processes: 21, cpu: 0.5, disk: "15Mi" };
    const { limits, stdout } = await runtime.execute({ tool, resources }, { onEvent });
    const receipt = (name: string) => limits.find(({ limit }) => limit === name);
    expect(stdout.split("\n")).toEqual(["15360", "256", ""]);
    expect(seen["memory"]).toBe(48 * 2 ** 20);
    expect(receipt("memory")).toMatchObject({ applied: seen["memory"], enforcedBy: "cgroup" });
    expect(receipt("memory")?.peak).toBeGreaterThanOrEqual(seen["memoryPeak"] ?? Number.NaN);
    expect(seen["memoryPeak"]).toBeGreaterThan(9_000_000);
    expect(seen["threads"]).toBe(1024 + 4 * 21);
    expect(receipt("processes")).toMatchObject({ applied: 21, enforcedBy: "rlimit" });
    expect(seen["cpu"]).toBe(50_000);
    expect(receipt("cpu")).toMatchObject({ applied: 0.5 });
    expect(receipt("disk")).toMatchObject({ applied: 15 * 2 ** 20 });
    expect(receipt("disk")?.peak).toBeGreaterThanOrEqual(9_000_000);
  });

  test.each([
    ["memory", { memory: "48Mi" }, "tail /dev/zero", "ERR_LIMIT_MEMORY"],
    ["cpuTime", { cpuTime: 700 }, "while :; do :; done", "ERR_LIMIT_CPU_TIME"],
    ["timeout", { timeout: 400 }, "trap '' TERM; sleep 100", "ERR_LIMIT_TIMEOUT"],
    ["output", { output: "10Ki" }, "yes", "ERR_LIMIT_OUTPUT"],
  ] as const)("the limit %s ends a run", async (limit, resources, script, code) => {
    await expect(shell(script, resources)).rejects.toMatchObject({ code, started: true, details: { limit } });
  });

  test("a fork bomb has as many processes as it may", async () => {
    const { stdout, stderr } = await shell("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 61.25 & echo $i; done", { processes: 8 });
    // The shell is one of the eight; the first process of the sandbox is none of the tool's.
    expect(stdout).toBe("1\n2\n3\n4\n5\n6\n7\n");
    expect(stderr).toContain("can't fork");
  });

  test("a signal ends a tool, as it would anywhere, though it is alone in its sandbox", async () => {
    for (const [name, number] of [
      ["SEGV", 11],
      ["KILL", 9],
    ] as const) {
      const { exit } = await shell(`kill -${name} $$; sleep 5; exit 1`);
      expect(exit).toEqual({ kind: "signalled", signal: `SIG${name}`, number });
    }
    expect((await shell("exit 128")).exitCode).toBe(128);
  });

  test.each([
    ["/nothing", "no such file"],
    ["nothing", "no such file"],
    ["/etc/passwd", "not executable"],
  ])("an entrypoint that cannot be executed is refused with the reason: %s", async (program, why) => {
    await expect(runtime.execute({ tool: await toolOf(busybox, [program]) })).rejects.toMatchObject({
      code: "ERR_ARTIFACT_INVALID",
      message: expect.stringMatching(new RegExp(`"${program}".*${why}`)),
    });
  });

  test("an image that is not there is refused by name, and so is another digest", async () => {
    await expect(runtime.execute({ tool: await toolOf({ reference: "toolruntime/none" }, ["true"]) })).rejects.toMatchObject({
      code: "ERR_BACKEND_FAILED",
      message: expect.stringContaining('"docker.io/toolruntime/none:latest"'),
    });
    const other = await toolOf({ ...busybox, digest: `sha256:${"0".repeat(64)}` }, ["true"]);
    expect(await codeOf(runtime.execute({ tool: other }))).toBe("ERR_DIGEST_MISMATCH");
  });

  test("a layer that is not what its digest says is not unpacked", async () => {
    const forged = join(folder, "forged");
    cpSync(imageFolder, forged, { recursive: true });
    const index: { manifests: { digest: string; annotations: Record<string, string> }[] } = JSON.parse(
      readFileSync(join(forged, "index.json"), "utf8"),
    );
    const found = index.manifests.find(({ annotations }) => annotations["io.containerd.image.name"] === busybox.reference);
    const blob = (digest = ""): string => join(forged, "blobs/sha256", digest.replace("sha256:", ""));
    const manifest: { layers: { digest: string }[] } = JSON.parse(readFileSync(blob(found?.digest), "utf8"));
    const layer = blob(manifest.layers[0]?.digest);
    // Behind the archive's end: it is sound, and not the one.
    writeFileSync(layer, Buffer.concat([readFileSync(layer), Buffer.alloc(512)]));
    const own = join(folder, "forged-scratch");
    const fooled = gvisor({ imageFolder: forged, acceptEngines, scratch: own });
    const under = createRuntime({ backend: fooled, security: "hardened" });
    expect(await codeOf(under.execute({ tool: await toolOf(busybox, ["true"]) }))).toBe("ERR_ARTIFACT_INVALID");
    expect(namesIn(join(own, "images"))).toEqual([]);
    await under.close();
    await fooled.close();
  });

  test("without runsc, without images, or with one below its floor the probe says what is missing", async () => {
    const reasons = [
      [gvisor({ imageFolder, scratch, runtimePath: "/nonexistent/runsc" }), 'there is no "/nonexistent/runsc"'],
      [gvisor({ scratch }), "imageFolder"],
      [gvisor({ scratch, imageFolder: folder }), "no OCI image layout"],
    ] as const;
    for (const [one, reason] of reasons) {
      expect(await one.probe()).toMatchObject({ status: "unavailable", reason: expect.stringContaining(reason) });
      await one.close();
    }
    const strict = gvisor({ imageFolder, scratch });
    const { capabilities, notes = [] } = await strict.probe();
    expect(notes.some((note) => note.startsWith("belowFloor: runsc@20221219.0.0"))).toBe(true);
    expect(capabilities[0]?.profiles).toEqual(["dev"]);
    await strict.close();
  });

  test("what a service that was killed has left is found and removed, and what a living one has is not", { timeout: 60_000 }, async () => {
    const program = fileURLToPath(new URL("programs/service.ts", import.meta.url));
    const argv = [program, imageFolder, scratch, busybox.reference, "/bin/sleep", "57.125"];
    const service = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "inherit"] });
    let told = "";
    for await (const chunk of service.stdout) {
      told += String(chunk);
      if (told.split("started").length > 2) break;
    }
    expect((await backend.reap()).removed).toEqual([]);
    const ended = new Promise((resolve) => service.once("exit", resolve));
    service.kill("SIGKILL");
    await ended;
    expect(leftovers().length).toBeGreaterThan(4);
    expect((await backend.leftovers()).filter(({ kind }) => kind === "cgroup")).toHaveLength(2);
    await backend.reap();
    await expect.poll(leftovers, { timeout: 10_000 }).toEqual([]);
    expect(namesIn(scratch).filter((name) => name.startsWith(`${service.pid}-`))).toEqual([]);
  });

  test("nothing is left of any run", () => {
    expect(leftovers()).toEqual([]);
  });
});

test("the program that asks the kernel is the one whose source is here", () => {
  const source = readFileSync(new URL("../../src/backends/gvisor/witness/witness.c", import.meta.url));
  expect(createHash("sha256").update(source).digest("hex")).toBe(witnessSource);
});
