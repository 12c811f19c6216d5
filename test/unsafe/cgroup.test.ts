import { spawn } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { ownCgroup, parseCgroupMounts } from "../../src/internal/node/cgroup-layout.ts";
import { Cgroup } from "../../src/internal/node/cgroup.ts";
import { signalProcess } from "../../src/internal/node/signal-process.ts";
import { layout, processesWith } from "./support.ts";

const hybrid = `27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`;
const contained = "50 49 0:40 /docker/abc /sys/fs/cgroup/pids ro,nosuid master:20 - cgroup cgroup rw,pids\n";

describe("the mounts of cgroups", () => {
  it("are found in mountinfo, with or without optional fields", () => {
    expect(parseCgroupMounts(hybrid).map(({ version, point }) => [version, point])).toEqual([
      [1, "/sys/fs/cgroup/memory"],
      [1, "/sys/fs/cgroup/cpu,cpuacct"],
      [2, "/sys/fs/cgroup/unified"],
    ]);
    expect(parseCgroupMounts("")).toEqual([]);
    expect(parseCgroupMounts("nonsense - cgroup")).toEqual([]);
  });

  it("lead to this process's own cgroup", () => {
    const own = parseCgroupMounts(hybrid).map((mount) => ownCgroup(mount, "4:memory:/a/b:c\n2:cpu,cpuacct:/x\n0::/user.slice\n"));
    expect(own).toEqual(["/sys/fs/cgroup/memory/a/b:c", "/sys/fs/cgroup/cpu,cpuacct/x", "/sys/fs/cgroup/unified/user.slice"]);
    expect(parseCgroupMounts(hybrid).map((mount) => ownCgroup(mount, "9:name=systemd:/\n"))).toEqual([undefined, undefined, undefined]);
  });

  it("may show only a container's own part of the hierarchy", () => {
    const [mount] = parseCgroupMounts(contained);
    if (mount === undefined) throw new Error("no mount");
    expect(ownCgroup(mount, "8:pids:/docker/abc/inner\n")).toBe("/sys/fs/cgroup/pids/inner");
    expect(ownCgroup(mount, "8:pids:/docker/abc\n")).toBe("/sys/fs/cgroup/pids");
    expect(ownCgroup(mount, "8:pids:/docker/abcdef\n")).toBe("/sys/fs/cgroup/pids/docker/abcdef");
  });
});

describe.skipIf(layout === undefined || !layout.some(({ controllers }) => controllers.includes("pids")))("a cgroup", () => {
  // As on a machine without cgroup version 2.
  const withoutKill = (layout ?? []).filter(({ version }) => version === 1).map((one) => ({ ...one, hasKill: false }));
  let cgroup: Cgroup | undefined;
  afterEach(async () => {
    await cgroup?.kill(2000);
    await cgroup?.remove(2000);
  });

  it("is emptied without cgroup.kill even of processes that start others and end", async () => {
    const seconds = String(3_000_000 + process.pid);
    cgroup = Cgroup.create(withoutKill, `toolruntime-${process.pid}-test`);
    const pids = cgroup.find("pids");
    writeFileSync(`${pids?.folder}/pids.max`, "600");
    // Each link of a chain starts the next and ends: one that was seen may be gone before it is killed.
    const link = `sh -c "$LINK" & # sleep ${seconds}`;
    const script = `for f in "$@"; do echo 0 >"$f"; done; for i in 1 2 3 4 5 6 7 8; do sh -c "$LINK" & done; sleep ${seconds}`;
    const child = spawn("/bin/sh", ["-c", script, "sh", ...cgroup.membershipFiles], {
      stdio: "ignore",
      env: { PATH: "/usr/bin:/bin", LINK: link },
    });
    const until = performance.now() + 5000;
    while (cgroup.pids().length < 8 && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(cgroup.pids()).toContain(child.pid);
    expect(await cgroup.kill(5000)).toBe(true);
    expect(processesWith(`sleep ${seconds}`)).toEqual([]);
    expect(await cgroup.remove(2000)).toBe(true);
    expect(cgroup.folders.filter((folder) => existsSync(folder))).toEqual([]);
  });

  it("that cannot be made whole is not made in part", () => {
    const broken = [...(layout ?? []), { version: 1 as const, parent: "/proc", controllers: [], hasKill: false, hasCpuTime: false }];
    expect(() => Cgroup.create(broken, `toolruntime-${process.pid}-broken`)).toThrowError(/^E[A-Z]+/);
    expect((layout ?? []).filter(({ parent }) => existsSync(`${parent}/toolruntime-${process.pid}-broken`))).toEqual([]);
  });
});

describe("a signal", () => {
  it("is never sent to this process's group, to everything, or to process 1", () => {
    for (const pid of [0, -1, 1, Number.NaN, 1.5]) expect(signalProcess(pid, "SIGURG")).toBe(false);
    expect(signalProcess(process.pid, "SIGURG")).toBe(true);
  });
});
