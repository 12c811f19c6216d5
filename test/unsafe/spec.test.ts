import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { defaultPath, processSpec } from "../../src/backends/unsafe/spec.ts";
import { closerArgv } from "../../src/internal/node/fd-closer.ts";

const folder = { path: "/s/1", work: "/s/1/work", out: "/s/1/work/out", tmp: "/s/1/work/tmp", stdin: "/s/1/stdin" };
const command = { program: "/bin/echo", args: ["a b", "$(id)", "--"] };
const base = { command, folder, env: {}, path: defaultPath, membershipFiles: [] as string[], closing: undefined };

describe("the specification of a process", () => {
  it("is a constant script with everything else as arguments", () => {
    const one = processSpec(base);
    const other = processSpec({
      ...base,
      command: { program: "/bin/x", args: ["; reboot"] },
      env: { A: "$(reboot)" },
      membershipFiles: ["/c"],
    });
    expect(one.program).toBe("/bin/sh");
    expect(one.args.slice(0, 3)).toEqual(other.args.slice(0, 3));
    expect(one.args.slice(3)).toEqual(["--", "PATH", "HOME", "PWD", "TMPDIR", "--", "/bin/echo", "a b", "$(id)", "--"]);
    expect(other.args.slice(3)).toEqual(["/c", "--", "PATH", "HOME", "PWD", "TMPDIR", "A", "--", "/bin/x", "; reboot"]);
  });

  it("gives the launcher no variable under its own name", () => {
    const { env } = processSpec({ ...base, env: { LD_PRELOAD: "x.so", PATH: "/mine" } });
    expect(env).toEqual({
      toolruntime_PATH: "/mine",
      toolruntime_HOME: "/s/1/work",
      toolruntime_PWD: "/s/1/work",
      toolruntime_TMPDIR: "/s/1/work/tmp",
      toolruntime_LD_PRELOAD: "x.so",
    });
  });

  it("closes inherited descriptors before anything else", () => {
    const { program, args } = processSpec({ ...base, closing: { shell: "/bin/bash", fds: [5, 251] } });
    expect([program, ...args].slice(0, 9)).toEqual([...closerArgv({ shell: "/bin/bash", fds: [5, 251] }), "/bin/sh", "-c"]);
  });

  it("does not start the tool where a cgroup cannot be joined", () => {
    const { program, args, env } = processSpec({ ...base, membershipFiles: ["/no/such/cgroup.procs"] });
    const { status, stdout, output } = spawnSync(program, args, { env, stdio: ["ignore", "pipe", "pipe", "pipe"], encoding: "utf8" });
    expect([status, stdout, output[3]]).toEqual([125, "", "/no/such/cgroup.procs\n"]);
  });
});
