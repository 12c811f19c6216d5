import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { chainIdOf } from "../../src/backends/containerd/images.ts";
import { runtimeSpec, type SpecParts } from "../../src/backends/oci/runtime-spec.ts";
import { startFailure } from "../../src/backends/oci/init-file.ts";
import { initSource } from "../../src/backends/oci/init-program.ts";
import { canonicalReference } from "../../src/backends/oci/reference.ts";
import { seccompProfile } from "../../src/backends/oci/seccomp.ts";

const parts: SpecParts = {
  plan: { profile: "standard" },
  image: { env: ["PATH=/own/bin", "LANG=C", "HOME=/root"], argv: ["/app", "serve"], user: "" },
  argv: undefined,
  cgroupsPath: "/run/task",
  scratch: { work: "/s/work", tmp: "/s/work/tmp" },
  inputs: [{ source: "/s/inputs/0", path: "data/in.txt" }],
  init: "/s/init",
  env: { LANG: "C.UTF-8", A: "1" },
  user: { uid: 65_534, gid: 65_534 },
};

describe("the container of a run", () => {
  test("has no capability, no way to gain one, and a root that cannot be written to, in standard", () => {
    const { process, root, linux, mounts } = runtimeSpec(parts);
    const none = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };
    expect(process).toMatchObject({ noNewPrivileges: true, capabilities: none, user: { uid: 65_534, gid: 65_534 } });
    expect(root.readonly).toBe(true);
    expect(linux.namespaces.map(({ type }) => type).toSorted()).toEqual(["cgroup", "ipc", "mount", "network", "pid", "uts"]);
    expect(linux.resources.devices).toEqual([{ allow: false, access: "rwm" }]);
    expect(linux.maskedPaths).toEqual(expect.arrayContaining(["/proc/kcore", "/proc/keys", "/sys/firmware"]));
    expect(linux.readonlyPaths).toEqual(expect.arrayContaining(["/proc/sys", "/proc/sysrq-trigger"]));
    const writable = mounts.filter(({ options }) => !options.includes("ro")).map(({ destination }) => destination);
    expect(writable).toEqual(["/proc", "/dev/pts", "/work", "/tmp"]);
    expect(mounts.filter(({ type, options }) => type === "bind" && !(options.includes("nosuid") && options.includes("nodev")))).toEqual([]);
  });

  test("has the variables of the image, over them ours, and over both those of the run", () => {
    expect(runtimeSpec(parts).process.env).toEqual(["PATH=/own/bin", "LANG=C.UTF-8", "HOME=/work", "TMPDIR=/tmp", "A=1"]);
  });

  test("runs the image's program under the first process, or the manifest's in its place", () => {
    expect(runtimeSpec(parts).process.args).toEqual(["/dev/toolruntime-init", "/app", "serve"]);
    expect(runtimeSpec({ ...parts, argv: ["/other"] }).process.args).toEqual(["/dev/toolruntime-init", "/other"]);
  });

  test("in dev has capabilities for root alone, and the same list of calls", () => {
    const root = runtimeSpec({ ...parts, plan: { profile: "dev" }, user: { uid: 0, gid: 0 } });
    expect(root.process.capabilities.effective).toContain("CAP_CHOWN");
    expect(root.process.capabilities.effective).not.toContain("CAP_SYS_ADMIN");
    expect(runtimeSpec({ ...parts, plan: { profile: "dev" } }).process.capabilities.effective).toEqual([]);
    expect(root.linux.seccomp).toEqual(runtimeSpec(parts).linux.seccomp);
  });
});

describe("the list of calls", () => {
  const { defaultAction, syscalls, architectures } = seccompProfile("x64");
  const free = new Set(
    syscalls.filter(({ action, args }) => action === "SCMP_ACT_ALLOW" && args === undefined).flatMap(({ names }) => names),
  );

  test("is one of what is allowed, on the machine's own entry alone", () => {
    expect(defaultAction).toBe("SCMP_ACT_ERRNO");
    expect(architectures).toEqual(["SCMP_ARCH_X86_64"]);
    expect([...free].filter((name) => !/^[a-z][a-z0-9_]*$/.test(name))).toEqual([]);
  });

  test.each(
    "unshare setns mount umount2 pivot_root fsopen fsmount move_mount open_tree mount_setattr ptrace process_vm_readv process_vm_writev pidfd_getfd kcmp bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register keyctl add_key request_key init_module finit_module delete_module kexec_load kexec_file_load open_by_handle_at name_to_handle_at swapon swapoff reboot acct settimeofday clock_settime clock_adjtime adjtimex iopl ioperm modify_ldt quotactl syslog lookup_dcookie fanotify_init sethostname setdomainname vhangup clone clone3 socket personality".split(
      " ",
    ),
  )("does not have %s without a condition", (name) => {
    expect(free.has(name)).toBe(false);
  });

  test("names nothing twice", () => {
    const names = syscalls.filter(({ args }) => args === undefined).flatMap((rule) => rule.names);
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
  });
});

test("the first process is the one that its source says", () => {
  const source = readFileSync(new URL("../../src/backends/oci/init/init.c", import.meta.url));
  // Where they differ: run src/backends/oci/init/build.sh.
  expect(createHash("sha256").update(source).digest("hex")).toBe(initSource);
});

test("what the first process wrote says why a program was not started, and nothing else does", () => {
  expect(startFailure("toolruntime-init: the program cannot be executed, error 02\n")).toContain("no such file");
  expect(startFailure("toolruntime-init: the program cannot be executed, error 40\n")).toContain("error 40");
  expect(startFailure("sh: nothing: not found")).toBeUndefined();
});

test.each([
  ["busybox", "docker.io/library/busybox:latest"],
  ["busybox:1.36", "docker.io/library/busybox:1.36"],
  ["me/tool", "docker.io/me/tool:latest"],
  ["docker.io/busybox", "docker.io/library/busybox:latest"],
  ["ghcr.io/me/tool:v1", "ghcr.io/me/tool:v1"],
  ["localhost/tool", "localhost/tool:latest"],
  ["host:5000/tool", "host:5000/tool:latest"],
  [`host:5000/tool@sha256:${"a".repeat(64)}`, `host:5000/tool@sha256:${"a".repeat(64)}`],
  ["me/tool:v1@sha256:00", "docker.io/me/tool:v1@sha256:00"],
])("the full name of %s is %s", (written, full) => {
  expect(canonicalReference(written)).toBe(full);
});

test("layers upon each other have the identity that the image specification gives them", () => {
  const digest = (text: string) => `sha256:${createHash("sha256").update(text).digest("hex")}`;
  const [a, b, c] = [digest("a"), digest("b"), digest("c")];
  expect(chainIdOf([a])).toBe(a);
  expect(chainIdOf([a, b, c])).toBe(digest(`${digest(`${a} ${b}`)} ${c}`));
});
