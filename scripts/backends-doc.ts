/** Writes docs/backends.md from what the backends declare. Nothing in it depends on the machine that writes it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Capability, Enforcement, Probe } from "../src/backend.ts";
import { unsafe } from "../src/backends/unsafe/index.ts";
import { gvisorCapability } from "../src/backends/gvisor/capability.ts";
import { imageCapability } from "../src/backends/oci/run-cgroup.ts";
import { servedBy, unenforcedBy } from "../src/cli/served-profiles.ts";
import { cgroupEnforcement } from "../src/internal/node/cgroup-limits.ts";
import { formatLimit, limitNames, type Limit } from "../src/limits.ts";
import { profiles, securityProfiles } from "../src/profile.ts";
import { wasm, type WasmDriver } from "../src/wasm/index.ts";
import { quickJs } from "../src/wasm/javascript/node.ts";

/** What a backend can do at most, and which of its limits hang on a condition of the machine. */
export interface Declared {
  readonly name: "wasm" | "unsafe" | "docker" | "containerd" | "gvisor";
  readonly capabilities: readonly Capability[];
  readonly conditions: { readonly [L in Limit]?: string };
}

interface Prose {
  readonly what: string;
  readonly needs: string;
  readonly artifacts: string;
  readonly facts: readonly string[];
  readonly options: readonly (readonly [option: string, fallback: string, meaning: string])[];
}

const whereCgroups = "where a cgroup can be made";

const prose: Readonly<Record<Declared["name"], Prose>> = {
  wasm: {
    what: '`import { wasm } from "toolruntime/wasm"`; `wasm(options?)`. WebAssembly, metered: in the serving process for `dev` and `standard`, in processes of their own for `hardened`.',
    needs: "an engine with JavaScript Promise Integration, which Node has from 24 on. The probe says so where it is missing.",
    artifacts:
      'WASI preview 1 commands, Extism plug-ins (the manifest says `abi: "extism"`), and WASI 0.2 components, for which a transpiler is needed.',
    facts: [
      "Each call has a fresh instance. Code is compiled once per digest and kept.",
      "The receipt of `disk` says what really held: files lie in memory, so it is at most half of the memory limit.",
      "Modules are metered when they are made ready ([metering.md](metering.md)) and run in slices on the event loop: an endless loop ends at its deadline, and others are served meanwhile. What engines cannot suspend (a component's calls from one module to another, a start section there) may hold the event loop for 20 ms in one piece, and is then ended with `ERR_LIMIT_INLINE`.",
      "`fuel` is a count of what a module enters, the same on every engine; `cpuTime` is the time that a run keeps the event loop; `timeout` is wall time. They are three receipts.",
      "In `hardened`, `doctor` says which further walls a process has on the machine: a cgroup, a user, namespaces, rlimits.",
    ],
    options: [
      ["maxArtifactBytes", "64 MiB", "the largest artifact"],
      ["maxCacheBytes", "512 MiB", "what compiled artifacts may take, by estimate"],
      ["maxPoolBytes", "64 MiB", "what memories may take that wait for the next run"],
      ["maxCompileMs", "10,000", "how long compiling one module may take"],
      ["maxInstances", "1,000", "instances alive at once; as many runs again may wait"],
      [
        "offload",
        "none",
        "in code: meters large modules off the event loop, `threadOffload()` of `toolruntime/wasm/thread`; the service always does",
      ],
      [
        "process",
        "none",
        "in code a driver, `processDriver(options?)` of `toolruntime/wasm/process`; in a configuration its options. Without it `hardened` is refused; a service whose profile is `hardened` has it by itself",
      ],
      ["process.maxChildren", "one for each processor, at least 2", "processes that may have a tool at once"],
      ["process.spares", "1", "started processes that wait without a tool, besides"],
      ["process.idleMs", "60,000", "how long a process is kept for the next run of its tool"],
      ["process.maxRuns", "1,000", "how many runs a process serves"],
      ["components", "none", "in code a transpiler, `jcoTranspiler(options?)` of `toolruntime/wasm/jco`; in a configuration its options"],
      [
        "components.cacheFolder",
        "none",
        "keeps transpiled components from one start to the next; whoever can write there runs code in the service",
      ],
      ["components.timeoutMs", "60,000", "how long one component may take to transpile"],
      ["components.maxCacheBytes", "128 MiB", "what transpiled components may take in memory"],
    ],
  },
  unsafe: {
    what: '`import { unsafe } from "toolruntime/unsafe"`; `unsafe({ acceptUnsafe: true })`. Commands of this machine. **There is no wall.**',
    needs: "Linux. On another system the probe says that it is unavailable.",
    artifacts: "the manifest's `command`: a program and its arguments.",
    facts: [
      "A tool has the files, the processes and the network of the service's user, and may change them. The disk is not limited.",
      "Cgroups of version 1 and 2 are looked for, and tried with a process that must hit its limit, before anything is declared.",
      "Without a cgroup a tool's processes are kept together by their process group, which a process can leave: the probe says that descendants may escape, and of the limits only `timeout` and `output` hold.",
      "Where the service runs as root the tool does too, and can take itself out of its cgroup; the probe says so.",
    ],
    options: [
      ["acceptUnsafe", "must be `true`", "the opt-in; without it `ERR_CONFIG_INVALID`"],
      ["path", "the usual folders of a Linux system", "where programs are looked for, and the tool's own `PATH`"],
      ["scratch", "a folder of this user's own below the system's temporary one", "where the working folders of runs are made"],
      ["processTree", "`auto`", "`auto`: a cgroup where one can be made; `group`: the process group alone"],
      ["maxOutputBytes", "64 MiB", "the most that a run may hand back in files"],
      ["warn", "`console.warn`", "gets one line when the backend is created; in code only"],
    ],
  },
  docker: {
    what: '`import { docker } from "toolruntime/docker"`; `docker(options?)`. Containers of a Docker daemon on this host, one for each run.',
    needs:
      "Linux on x64 or arm64, a daemon at a Unix socket, the package dockerode, and root: cgroups are made at the top of the hierarchies, and a file system in memory is mounted for each run. The probe says what is missing.",
    artifacts:
      "the manifest's `image`: a reference, and the program in it. A `digest` is the image's id or one of its repository digests. Images are taken from the daemon; none is pulled.",
    facts: [
      "A container shares the host's kernel, so `hardened` is refused. There is no network in any profile.",
      "In every profile a seccomp profile of our own holds, an allow-list, as on `containerd`. In `standard` the tool is nobody (65534), with no capability, no-new-privileges and a root that it cannot write to. In `dev` the image's own user holds, and its root is writable and not limited.",
      "The tool's first process is a program of our own, bound into the container, and not the engine's: it hands signals on, collects what other processes leave, says why a program could not be started, and shows nobody its environment.",
      'Podman, by its socket for Docker\'s clients, is known by its answer and refused: it says that a container is attached before it is, so that what a tool writes as it starts may be lost. `acceptEngines` takes it all the same, as `"podman@4.3.1"`; its runtime is judged by the same floors, and the receipt of `memory` says `unknown` where a tool was at its limit and went on.',
      "The tool works in `/work`, where its input files are bound read-only, one by one, and hands back what is in `/work/out`. `/work` and `/tmp` are one file system in memory, as large as the limit `disk`; what is in it counts as memory.",
      "Memory, processes and processors are held by a cgroup of the run's own around the container's, and read back from it.",
      'An engine older than the closing of its known holes is refused in `standard` (`belowFloor` in the probe\'s notes) unless `acceptEngines` names it, as `"runc@1.1.5"`.',
      "When the service starts it removes containers, folders and cgroups of services that are gone.",
    ],
    options: [
      ["socketPath", "`/var/run/docker.sock`", "the daemon's Unix socket; the command line follows `DOCKER_HOST`"],
      ["acceptEngines", "none", "engines below their floor that are taken all the same; `--accept-engine` on the command line"],
      ["scratch", "a folder of this user's own below the system's temporary one", "where the file systems of runs are mounted"],
      ["maxContainers", "4", "containers at once; more wait"],
      ["maxOutputBytes", "64 MiB", "the most that a run may hand back in files"],
    ],
  },
  containerd: {
    what: '`import { containerd } from "toolruntime/containerd"`; `containerd(options?)`. Containers of a containerd on this host, one for each run, without Docker between.',
    needs:
      "Linux on x64 or arm64, containerd 1.6 or later at a Unix socket with its runc shim, runc, the packages @grpc/grpc-js and @grpc/proto-loader, and root: cgroups are made at the top of the hierarchies, and a file system in memory is mounted for each run. The probe says what is missing.",
    artifacts:
      "the manifest's `image`: a reference, and the program in it. A `digest` is that of the image's index, manifest or configuration. Images are taken from the daemon's namespace, unpacked; none is pulled: `ctr -n toolruntime images pull docker.io/library/busybox:latest`.",
    facts: [
      "A container shares the host's kernel, so `hardened` is refused. There is no network in any profile.",
      "In `standard` the tool is nobody (65534), with no capability, no-new-privileges and a root that it cannot write to. In `dev` the image's own user holds, where the image gives it by number, and its root is writable and not limited. In both the kernel's calls are those of an allow-list of toolruntime's own (`src/backends/oci/seccomp.ts`): no new namespaces, mounts, ptrace, bpf, io_uring, userfaultfd, keyrings, and no 32-bit programs.",
      "The first process of a container is a small program of toolruntime's own, which hands signals to the tool, collects what its processes leave, and counts as none of the tool's.",
      "The tool works in `/work`, where its input files are bound read-only, one by one, and hands back what is in `/work/out`. `/work` and `/tmp` are one file system in memory, as large as the limit `disk`; what is in it counts as memory.",
      "Memory, processes and processors are held by a cgroup of the run's own around the container's, and read back from it. Whether the kernel has killed for want of memory is read in the container's own cgroup, before it is removed.",
      'A runc older than the closing of its known holes is refused in `standard` (`belowFloor` in the probe\'s notes) unless `acceptEngines` names it, as `"runc@1.1.5"`. The daemon is told to start the very program that was judged.',
      "Everything of a run is in a namespace of its own and bears the service's name; its snapshot is held by a lease that expires. When the service starts it removes tasks, containers, snapshots, leases, folders and cgroups of services that are gone.",
    ],
    options: [
      ["socketPath", "`/run/containerd/containerd.sock`", "the daemon's Unix socket; the command line follows `CONTAINERD_ADDRESS`"],
      ["namespace", "`toolruntime`", "where images are looked for and everything is made; the command line follows `CONTAINERD_NAMESPACE`"],
      ["snapshotter", "`overlayfs`", "what the daemon keeps the layers of images with"],
      ["runtimePath", "the `runc` in a system's usual folders", "the runtime program that the shim starts"],
      ["acceptEngines", "none", "engines below their floor that are taken all the same; `--accept-engine` on the command line"],
      ["scratch", "a folder of this user's own below the system's temporary one", "where the file systems of runs are mounted"],
      ["maxContainers", "4", "containers at once; more wait"],
      ["maxOutputBytes", "64 MiB", "the most that a run may hand back in files"],
    ],
  },
  gvisor: {
    what: '`import { gvisor } from "toolruntime/gvisor"`; `gvisor(options?)`. gVisor sandboxes, one for each run, by `runsc run` and without a daemon. There is no other route yet: gVisor as a runtime of Docker or of containerd is not used.',
    needs:
      "Linux on x64 or arm64, runsc, a folder with images, and root: cgroups are made at the top of the hierarchies, and a file system in memory is mounted for each run. The probe says what is missing.",
    artifacts:
      "the manifest's `image`: a reference, and the program in it. A `digest` is that of the image's index, manifest or configuration. Images are taken from an OCI image layout on this host; none is pulled: `skopeo copy docker-daemon:busybox:latest oci:/var/lib/toolruntime/images:docker.io/library/busybox:latest`. Each is unpacked once, its blobs held against their digests; devices, pipes and extended attributes of its files are left out.",
    facts: [
      "A tool's calls are answered by gVisor's kernel. Before the first use, after each probe, and when the program's file has changed, a program of our own asks the kernel in a sandbox what it is; one that is not gVisor's is refused with `ERR_ATTESTATION`. That tells of a mistake, not of a program that was made to lie.",
      "In `standard` and `hardened` the tool is nobody (65534), with no capability and a root that it cannot write to. In `dev` the image's own user holds, where the image gives it by number, and what it writes to its root is kept in the sandbox's memory. Nobody becomes another user. There is no network in any profile.",
      "`processes` is held inside the sandbox, by RLIMIT_NPROC; the receipt says what it was set to, and not whether it was reached. The sandbox's own threads are bounded by a cgroup far above: a limit there as small as a tool's would break the sandbox down.",
      "Memory, processors and processor time are those of the whole sandbox, by a cgroup of the run's own: about 15 MiB are taken before the tool has anything. A kill for want of memory ends all of it, whichever process asked.",
      "The tool works in `/work`, where its input files are bound read-only, one by one, and hands back what is in `/work/out`. `/work` and `/tmp` are one file system in memory, as large as the limit `disk`; what is in it counts as memory. A write beyond it fails, with the error EIO in older runscs.",
      'A runsc older than the closing of its known holes is refused in `standard` and `hardened` (`belowFloor` in the probe\'s notes) unless `acceptEngines` names it, as `"runsc@20221219.0.0"`.',
      "When the service starts it ends the sandboxes of services that are gone, and removes their cgroups and folders.",
    ],
    options: [
      [
        "imageFolder",
        "none",
        "a folder with an OCI image layout, which names images in full in its annotations; the command line follows `TOOLRUNTIME_IMAGES`",
      ],
      ["runtimePath", "the `runsc` in a system's usual folders", "the runtime program"],
      ["platform", "`systrap` where it works, or else `ptrace`", "how gVisor gets between a tool and the host's kernel; `kvm` too"],
      ["acceptEngines", "none", "a runsc below its floor that is taken all the same; `--accept-engine` on the command line"],
      [
        "scratch",
        "a folder of this user's own below the system's temporary one",
        "where images are unpacked and the file systems of runs are mounted",
      ],
      ["maxImageBytes", "8 GiB", "the most that all unpacked images take; those not in use go, the longest unused first"],
      ["maxSandboxes", "4", "sandboxes at once; more wait"],
      ["maxOutputBytes", "64 MiB", "the most that a run may hand back in files"],
    ],
  },
};

/** A layout that has everything. What a machine lacks of it is the condition that the page names. */
const wholeLayout = [{ version: 2, parent: "", controllers: ["memory", "pids", "cpu"], hasKill: true, hasCpuTime: true }] as const;

function readyCapabilities(name: string, { status, reason, capabilities }: Probe): readonly Capability[] {
  if (status !== "ready") throw new Error(`Cannot describe the backend "${name}": ${reason ?? "it is not ready"}`);
  return capabilities;
}

/** Asks the backends; `unsafe` without cgroups, whose limits come from what a whole layout can enforce. */
export async function declaredBackends(): Promise<Declared[]> {
  const scratch = mkdtempSync(join(tmpdir(), "toolruntime-docs-"));
  // What the second driver declares does not depend on the walls that the machine has; it starts nothing here.
  const second: WasmDriver = {
    isolation: "wasm-process",
    probe: async () => ({ status: "ready", limits: { timeout: { by: "SIGKILL" }, cpuTime: { by: "SIGKILL" } } }),
    prepare: () => undefined,
    run: () => Promise.reject(new Error("nothing runs here")),
    leftovers: async () => [],
    reap: async () => ({ removed: [] }),
    close: async () => undefined,
  };
  const sandbox = wasm({ process: second, javascript: quickJs() });
  const host = unsafe({ acceptUnsafe: true, scratch, processTree: "group", warn() {} });
  try {
    const held = cgroupEnforcement(wholeLayout);
    const commands = readyCapabilities(host.name, await host.probe()).map((one) => ({ ...one, limits: { ...one.limits, ...held } }));
    const conditions = Object.fromEntries(Object.keys(held).map((limit) => [limit, whereCgroups]));
    return [
      { name: "wasm", capabilities: readyCapabilities(sandbox.name, await sandbox.probe()), conditions: {} },
      { name: "unsafe", capabilities: commands, conditions },
      { name: "docker", capabilities: [imageCapability(wholeLayout, ["dev", "standard"])], conditions: {} },
      { name: "containerd", capabilities: [imageCapability(wholeLayout, ["dev", "standard"])], conditions: {} },
      { name: "gvisor", capabilities: [gvisorCapability(wholeLayout, ["dev", "standard", "hardened"])], conditions: {} },
    ];
  } finally {
    await Promise.all([sandbox.close(), host.close()]);
    rmSync(scratch, { recursive: true, force: true });
  }
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

function boundsOf(limit: Limit, { min, max }: Enforcement): string {
  const least = min === undefined ? "" : `from ${formatLimit(limit, min)}`;
  const most = max === undefined ? "" : `up to ${formatLimit(limit, max)}`;
  return [least, most].filter((part) => part !== "").join(" ") || "any";
}

function limitRow(limit: Limit, { limits }: Capability, condition: string | undefined): string[] {
  if (limit === "output") return ["`output`", "the runtime", "any"];
  const enforcement = limits[limit];
  if (enforcement === undefined) return [`\`${limit}\``, "**nothing**", "–"];
  return [`\`${limit}\``, `${enforcement.by}${condition === undefined ? "" : `, ${condition}`}`, boundsOf(limit, enforcement)];
}

/** Says of each profile whether tasks are served in it, or what refuses them. */
function profileRow(capability: Capability, profile: (typeof securityProfiles)[number]): string[] {
  if (servedBy(capability).includes(profile)) return [profile, "served"];
  const takes = capability.profiles.includes(profile) && profiles[profile].isolation.includes(capability.isolation);
  if (!takes) return [profile, "refused with `ERR_PROFILE_UNSUPPORTED`"];
  const missing = unenforcedBy(capability).filter((limit) => profiles[profile].demands.includes(limit));
  return [profile, `refused with \`ERR_LIMIT_UNENFORCEABLE\`: it demands ${missing.map((limit) => `\`${limit}\``).join(", ")}`];
}

function capabilityText(capability: Capability, { conditions }: Declared): string[] {
  return [
    `Artifact \`${capability.artifact}\`, isolation \`${capability.isolation}\`, network \`${capability.network}\`.`,
    table(
      ["limit", "enforced by", "values"],
      limitNames.map((limit) => limitRow(limit, capability, conditions[limit])),
    ),
    table(
      ["profile", "tasks are"],
      securityProfiles.map((profile) => profileRow(capability, profile)),
    ),
  ];
}

function backendText(declared: Declared): string[] {
  const { what, needs, artifacts, facts, options } = prose[declared.name];
  return [
    `## ${declared.name}`,
    what,
    `Needs: ${needs}`,
    `Runs: ${artifacts}`,
    ...declared.capabilities.flatMap((capability) => capabilityText(capability, declared)),
    facts.map((fact) => `- ${fact}`).join("\n"),
    table(
      ["option", "default", "meaning"],
      options.map(([option, fallback, meaning]) => [`\`${option}\``, fallback, meaning]),
    ),
  ];
}

/** The page. The same for the same declarations, whatever the machine. */
export function backendsPage(backends: readonly Declared[]): string {
  const parts = [
    "<!-- Written by `npm run docs` from what the backends declare. Change scripts/backends-doc.ts, not this page. -->",
    "# Backends",
    "What each backend takes and enforces. `toolruntime doctor` says the same of the machine at hand, and the receipts of a run say what held in it. What the limits mean is in [limits.md](limits.md), what is not held in [threat-model.md](threat-model.md).",
    ...backends.flatMap(backendText),
  ];
  return `${parts.join("\n\n")}\n`;
}

if (import.meta.main) {
  writeFileSync(fileURLToPath(new URL("../docs/backends.md", import.meta.url)), backendsPage(await declaredBackends()));
}
