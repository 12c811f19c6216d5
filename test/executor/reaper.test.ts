import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { readProcessStat } from "../../src/internal/node/process-owner.ts";
import { cli, ended, makeScript, seen, startCli, type Ended } from "../cli/support.ts";
import { findDaemons } from "../conformance/containers.ts";
import { processesWith } from "../containerd/support.ts";
import { scratchFolder } from "../registry/support.ts";

interface StartedNode {
  readonly url: string;
  readonly pid: number;
  readonly end: Promise<Ended>;
  kill(signal: NodeJS.Signals): void;
}

const acceptEngines = ["runc@1.1.5"];
const daemons = findDaemons();
if (typeof daemons === "string") console.log(`No reaper is tried on docker and containerd: ${daemons}`);

async function configure(folder: string, config: object): Promise<void> {
  await writeFile(join(folder, "toolruntime.json"), JSON.stringify({ tools: ".", ...config }));
}

const onUnsafe = { security: "dev", backends: { unsafe: { acceptUnsafe: true, scratch: "scratch" } } };

/** Starts `toolruntime node` in a folder that has a configuration. */
async function startNode(cwd: string): Promise<StartedNode> {
  const child = startCli(["node", "--port", "0"], { cwd });
  const end = ended(child);
  const shown = await seen(child.stdout, "drains it");
  return { url: /http:\S+/.exec(shown)?.[0] ?? "", end, pid: child.pid ?? 0, kill: (signal) => child.kill(signal) };
}

const token = "a-token-of-the-reaper-test";

async function begin(url: string, tool: string): Promise<void> {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json", prefer: "respond-async" };
  const { status } = await fetch(`${url}/v1/executions`, { method: "POST", headers, body: JSON.stringify({ tool }) });
  expect(status).toBe(202);
}

function childrenOf(pid: number): number[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      return readFileSync(`/proc/${name}/stat`, "latin1").split(") ").at(-1)?.split(" ")[1] === String(pid) ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}

function reapersOf(pid: number): number[] {
  return childrenOf(pid).filter((child) => processesWith("toolruntime-reaper").includes(String(child)));
}

function theReaperOf({ pid }: StartedNode): number {
  const [reaper, ...others] = reapersOf(pid);
  expect(others).toEqual([]);
  expect(reaper).toBeGreaterThan(0);
  return reaper ?? 0;
}

/** The cgroups of this machine that a service made, whatever became of it: by the name of its owner. */
function cgroupsOf({ pid }: { readonly pid: number }): string[] {
  // What goes away while it looks is no failure.
  const { stdout } = spawnSync("find", ["/sys/fs/cgroup", "-type", "d", "-name", "toolruntime-*"], { encoding: "utf8" });
  return stdout.split("\n").filter((path) => new RegExp(`/toolruntime-(?:[a-z]+-)?${pid}-[^/]*$`).test(path));
}

function isGone(pid: number): boolean {
  const stat = readProcessStat(pid);
  return stat === undefined || stat.state === "Z" || stat.state === "X";
}

/** The tests of one file run one after the other; a number for each keeps their processes apart. */
let markers = 0;
function nextMarker(): string {
  return `7${process.pid}${markers++}.5`;
}

const patience = { timeout: 15_000 };

describe("a service with unsafe behind it", () => {
  test("that is killed in mid-run leaves nothing, without a next start, and its log says so", async () => {
    await using scratch = await scratchFolder();
    const marker = nextMarker();
    await makeScript(scratch.path, "slow", `setsid sleep ${marker} & sleep ${marker}`);
    await configure(scratch.path, onUnsafe);
    const node = await startNode(scratch.path);
    const reaper = theReaperOf(node);
    await begin(node.url, "slow");
    await expect.poll(() => processesWith(marker).length, patience).toBeGreaterThanOrEqual(2);
    expect(readdirSync(join(scratch.path, "scratch"))).toHaveLength(1);
    node.kill("SIGKILL");
    await expect.poll(() => processesWith(marker), patience).toEqual([]);
    await expect.poll(() => readdirSync(join(scratch.path, "scratch")), patience).toEqual([]);
    await expect.poll(() => cgroupsOf(node), patience).toEqual([]);
    await expect.poll(() => isGone(reaper), patience).toBe(true);
    const { stderr } = await node.end;
    const line = stderr.split("\n").find((one) => one.includes("removed what it had left")) ?? "{}";
    expect(JSON.parse(line)).toMatchObject({ level: 40, owner: expect.stringMatching(new RegExp(`^${node.pid}-`)) as string });
    expect(line).toContain(`unsafe folder ${join(scratch.path, "scratch")}`);

    const next = await startNode(scratch.path);
    using database = new DatabaseSync(join(scratch.path, "state", "state.db"), { readOnly: true });
    const audited = database.prepare("SELECT line FROM audit ORDER BY seq").all();
    const notes = audited.map((row) => String(row["line"])).filter((one) => one.includes('"event":"reaped"') && one.includes(scratch.path));
    expect(notes).toHaveLength(1);
    expect(existsSync(join(scratch.path, "state", "reaped.jsonl"))).toBe(false);
    next.kill("SIGTERM");
    expect((await next.end).code).toBe(0);
  });

  test("that closes well takes its reaper with it, which says nothing", async () => {
    await using scratch = await scratchFolder();
    await makeScript(scratch.path, "fast", "echo done");
    await configure(scratch.path, onUnsafe);
    const node = await startNode(scratch.path);
    const reaper = theReaperOf(node);
    node.kill("SIGTERM");
    const { code, stderr } = await node.end;
    expect(code).toBe(0);
    expect(isGone(reaper)).toBe(true);
    expect(stderr).not.toContain("had left");
  });

  test("has a reaper in a session of its own, with none of its descriptors but the pipe and the log, and small", async () => {
    await using scratch = await scratchFolder();
    await makeScript(scratch.path, "fast", "echo done");
    await configure(scratch.path, onUnsafe);
    const node = await startNode(scratch.path);
    const reaper = theReaperOf(node);
    expect(readProcessStat(reaper)).toMatchObject({ session: reaper, group: reaper });
    expect(readProcessStat(node.pid)?.session).not.toBe(reaper);
    const open = readdirSync(`/proc/${reaper}/fd`).map((fd) => [fd, readlinkSync(`/proc/${reaper}/fd/${fd}`)] as const);
    expect(open.map(([fd]) => fd).toSorted()).toEqual(["0", "1", "2"]);
    expect(open.find(([fd]) => fd === "1")?.[1]).toBe("/dev/null");
    expect(readFileSync(`/proc/${node.pid}/environ`, "latin1")).toContain("HOME=");
    expect(readFileSync(`/proc/${reaper}/environ`, "latin1")).not.toContain("HOME=");
    const anonymousKb = /^RssAnon:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${reaper}/status`, "latin1"))?.[1];
    expect(Number(anonymousKb)).toBeLessThan(1024);
    node.kill("SIGTERM");
    await node.end;
  });

  test("says when its reaper ends before it does", async () => {
    await using scratch = await scratchFolder();
    await makeScript(scratch.path, "fast", "echo done");
    await configure(scratch.path, onUnsafe);
    const node = await startNode(scratch.path);
    process.kill(theReaperOf(node), "SIGKILL");
    await expect.poll(() => reapersOf(node.pid), { timeout: 30_000, interval: 100 }).toEqual([]);
    // Another one takes its place.
    await expect.poll(() => reapersOf(node.pid).length, { timeout: 30_000, interval: 100 }).toBe(1);
    node.kill("SIGTERM");
    const { code, stderr } = await node.end;
    expect(code).toBe(0);
    expect(stderr).toContain('"why":"SIGKILL"');
  });

  test("starts none where it is not wanted, and none where no backend needs it", async () => {
    await using scratch = await scratchFolder();
    await makeScript(scratch.path, "fast", "echo done");
    for (const config of [
      { ...onUnsafe, reaper: false },
      { security: "dev", backends: { wasm: {} } },
    ]) {
      await configure(scratch.path, config);
      const node = await startNode(scratch.path);
      expect(reapersOf(node.pid)).toEqual([]);
      node.kill("SIGTERM");
      expect((await node.end).code).toBe(0);
    }
  });
});

describe("a service with WebAssembly in processes of their own", () => {
  test("that is killed leaves neither them nor their cgroups", async () => {
    await using scratch = await scratchFolder();
    await configure(scratch.path, { security: "dev", backends: { wasm: { process: {} } } });
    const node = await startNode(scratch.path);
    const reaper = theReaperOf(node);
    const children = (): string[] => processesWith(`toolruntime-wasm-${node.pid}-`);
    expect(children()).not.toEqual([]);
    node.kill("SIGKILL");
    await expect.poll(() => isGone(reaper), { timeout: 30_000 }).toBe(true);
    expect([children(), cgroupsOf(node)]).toEqual([[], []]);
    await node.end;
  });
});

interface Shown {
  readonly backends: readonly {
    readonly name: string;
    readonly leftovers: readonly {
      readonly kind: string;
      readonly name: string;
      readonly madeAt?: string;
      readonly owner: { readonly pid: number; readonly startTicks: string; readonly boot: string; readonly startedAt: string };
    }[];
  }[];
}

describe("toolruntime gc", () => {
  test("shows what a killed service left, removes it when told to, and touches nothing of one that lives", async () => {
    await using killed = await scratchFolder();
    await using living = await scratchFolder();
    const [gone, here] = [nextMarker(), nextMarker()];
    // One scratch folder for both. Cgroups are for whoever starts next on this machine to clean up, which may be another test's service.
    const unsafe = { acceptUnsafe: true, scratch: join(killed.path, "scratch") };
    const config = { security: "dev", backends: { unsafe } };
    await makeScript(killed.path, "slow", `exec sleep ${gone}`);
    await makeScript(living.path, "slow", `exec sleep ${here}`);
    await configure(killed.path, { security: "dev", backends: { unsafe: { ...unsafe, processTree: "group" } }, reaper: false });
    await configure(living.path, config);
    const [first, second] = [await startNode(killed.path), await startNode(living.path)];
    const startTicks = readProcessStat(first.pid)?.startTicks ?? "";
    await begin(first.url, "slow");
    await begin(second.url, "slow");
    await expect.poll(() => [processesWith(gone).length, processesWith(here).length], patience).toEqual([1, 1]);
    const [pid = ""] = processesWith(gone);
    const before = Date.now();
    first.kill("SIGKILL");
    await first.end;

    const gc = (...args: string[]) => cli(["gc", "--config", join(killed.path, "toolruntime.json"), ...args], { cwd: killed.path });
    const json = await gc("--json");
    expect(json.code).toBe(1);
    const all = (JSON.parse(json.stdout) as Shown).backends.flatMap(({ leftovers }) => leftovers);
    const own = all.filter(({ owner }) => owner.pid === first.pid);
    // Other tests of this machine may have been killed; those that live are not among it.
    expect(all.filter(({ owner }) => owner.pid === second.pid)).toEqual([]);
    expect(own.map(({ kind }) => kind).toSorted()).toEqual(["folder", "process"]);
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "latin1").slice(0, 8);
    for (const { owner } of own) expect(owner).toMatchObject({ pid: first.pid, startTicks, boot });
    expect(own.find(({ kind }) => kind === "process")?.name).toBe(pid);
    for (const { kind, madeAt = "", owner } of own) {
      // The kernel counts both from the boot, to a hundredth of a second; its boot's time is in whole seconds.
      expect([kind, Date.parse(madeAt)]).toEqual([kind, expect.closeTo(before, -5)]);
      expect(Date.parse(madeAt)).toBeGreaterThan(Date.parse(owner.startedAt) - 2000);
    }
    // Only shown.
    expect(processesWith(gone)).toEqual([pid]);

    const table = await gc();
    expect([table.code, table.stdout]).toEqual([
      1,
      expect.stringMatching(new RegExp(`left +unsafe +process +${pid} +process ${first.pid} started`)),
    ]);
    const removing = await gc("--remove", "--backend", "unsafe");
    expect([removing.code, removing.stderr]).toEqual([0, ""]);
    expect(removing.stdout).toMatch(/removed +unsafe +folder/);
    expect(removing.stdout).toMatch(/\d removed, 0 left/);
    expect(processesWith(gone)).toEqual([]);
    expect(readdirSync(join(killed.path, "scratch"))).toEqual([expect.stringMatching(new RegExp(`^${second.pid}-`))]);
    expect(processesWith(here)).toHaveLength(1);
    const again = await gc("--json");
    expect(
      (JSON.parse(again.stdout) as Shown).backends.flatMap(({ leftovers }) => leftovers).filter(({ owner }) => owner.pid === first.pid),
    ).toEqual([]);
    second.kill("SIGKILL");
    await expect.poll(() => processesWith(here), patience).toEqual([]);
    await second.end;
  });

  test("fails where a backend that was asked for cannot be looked at, and refuses one that the configuration has not", async () => {
    await using scratch = await scratchFolder();
    await configure(scratch.path, { backends: { docker: { socketPath: join(scratch.path, "none.sock"), scratch: "scratch" } } });
    const file = join(scratch.path, "toolruntime.json");
    const { code, stderr, stdout } = await cli(["gc", "--config", file]);
    expect({ code, stderr, stdout }).toEqual({
      code: 1,
      stderr: expect.stringContaining("docker: Cannot list containers") as string,
      stdout: "Nothing was left by a killed service\n",
    });
    expect(existsSync(join(scratch.path, "scratch"))).toBe(false);
    const wrong = await cli(["gc", "--config", file, "--backend", "unsafe"]);
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('no backend "unsafe"')]);
  });
});

describe.skipIf(typeof daemons === "string")("a service with containers behind it that is killed in mid-run", () => {
  if (typeof daemons === "string") return;
  const { sockets, images } = daemons;
  const ctr = (namespace: string, ...args: string[]): string[] =>
    execFileSync("ctr", ["-a", sockets.containerd, "-n", namespace, ...args], { encoding: "utf8" }).split("\n");

  /** What there is of one service in the daemons and on this machine. */
  function leftOf(owner: string, scratch: string): string[] {
    const labels = execFileSync("docker", ["-H", `unix://${sockets.docker}`, "ps", "-a", "--format", "{{.Names}}"], { encoding: "utf8" });
    const own = ctr("toolruntime", "containers", "ls", "-q").concat(
      ctr("toolruntime", "tasks", "ls", "-q"),
      ctr("toolruntime", "leases", "ls", "-q"),
      ctr("toolruntime", "snapshots", "ls"),
      labels.split("\n"),
      readFileSync("/proc/self/mountinfo", "utf8").split("\n"),
      processesWith(owner).map((pid) => `process ${pid} of ${owner}`),
    );
    const folders = existsSync(scratch) ? readdirSync(scratch) : [];
    return [...own, ...folders, ...cgroupsOf({ pid: Number(owner.split("-")[0]) })].filter((line) => line.includes(owner));
  }

  interface Began {
    readonly node: StartedNode;
    readonly owner: string;
    readonly runs: string;
    readonly marker: string;
  }

  /** Two runs that sleep, in a service of their own. */
  async function beginTwo(name: "docker" | "containerd", folder: string, hasReaper: boolean): Promise<Began> {
    const marker = nextMarker();
    await mkdir(join(folder, "sleeper"));
    const image = { reference: images["busybox"]?.reference ?? "", argv: ["/bin/sleep", marker] };
    const about = { name: "sleeper", version: "1.0.0", description: "Sleeps", inputSchema: { type: "object" } };
    await writeFile(join(folder, "sleeper", "tool.json"), JSON.stringify({ ...about, artifacts: { image } }));
    const runs = join(folder, "scratch");
    const backends = { [name]: { socketPath: sockets[name], acceptEngines, scratch: runs } };
    await configure(folder, { security: "standard", backends, tokens: [{ token, principal: "test" }], reaper: hasReaper });
    const node = await startNode(folder);
    await begin(node.url, "sleeper");
    await begin(node.url, "sleeper");
    await expect.poll(() => processesWith(marker).length, { timeout: 30_000 }).toBeGreaterThanOrEqual(2);
    const [folderName = ""] = readdirSync(runs);
    const owner = folderName.split("-").slice(0, 4).join("-");
    // A container, its task, lease and snapshot or its shim, a mount, a cgroup, the folder.
    expect(leftOf(owner, runs).length).toBeGreaterThan(6);
    return { node, owner, runs, marker };
  }

  test.each(["docker", "containerd"] as const)("leaves nothing in %s, without a next start", { timeout: 120_000 }, async (name) => {
    await using scratch = await scratchFolder();
    const { node, owner, runs, marker } = await beginTwo(name, scratch.path, true);
    const reaper = theReaperOf(node);
    node.kill("SIGKILL");
    await expect.poll(() => isGone(reaper), { timeout: 30_000 }).toBe(true);
    expect(processesWith(marker)).toEqual([]);
    await expect.poll(() => leftOf(owner, runs), patience).toEqual([]);
    expect((await node.end).stderr).toContain("removed what it had left");
  });

  test.each(["docker", "containerd"] as const)(
    "without a reaper leaves in %s what gc shows and removes",
    { timeout: 60_000 },
    async (name) => {
      await using scratch = await scratchFolder();
      const { node, owner, runs, marker } = await beginTwo(name, scratch.path, false);
      const gc = (...args: string[]) => cli(["gc", "--config", join(scratch.path, "toolruntime.json"), ...args]);
      // While it lives nothing of it is shown, nor removed.
      const living = await gc("--remove", "--json");
      expect(
        (JSON.parse(living.stdout) as Shown).backends.flatMap(({ leftovers }) => leftovers).filter((one) => one.owner.pid === node.pid),
      ).toEqual([]);
      expect(processesWith(marker).length).toBeGreaterThanOrEqual(2);
      node.kill("SIGKILL");
      await node.end;
      const shown = await gc("--json");
      const own = (JSON.parse(shown.stdout) as Shown).backends
        .flatMap(({ leftovers }) => leftovers)
        .filter((one) => one.owner.pid === node.pid);
      const containers = own.filter(({ kind }) => kind === "container");
      expect(containers).toHaveLength(2);
      for (const { madeAt = "", owner: of } of containers) expect(Date.parse(madeAt)).toBeGreaterThan(Date.parse(of.startedAt) - 2000);
      expect(own.filter(({ kind }) => kind === "folder").map((one) => one.name)).toEqual([expect.stringContaining(join(runs, owner))]);
      expect([shown.code, processesWith(marker).length >= 2]).toEqual([1, true]);
      expect((await gc("--remove")).code).toBe(0);
      expect(processesWith(marker)).toEqual([]);
      await expect.poll(() => leftOf(owner, runs), patience).toEqual([]);
    },
  );
});
