import type { Plan } from "../../backend.ts";
import type { SecurityProfile } from "../../profile.ts";
import { initPath } from "./init-file.ts";
import { seccompProfile, type SeccompProfile } from "./seccomp.ts";
import { containerSettings, devCapabilities, maskedPaths, oomScoreAdj, readonlyPaths, tmpPath, workPath } from "./settings.ts";
import type { BoundFile, Scratch } from "./scratch.ts";

/** What of an image's own configuration a process is made of. */
export interface ImageProcess {
  readonly env: readonly string[];
  readonly argv: readonly string[];
  readonly user: string;
}

export interface SpecParts {
  readonly plan: Pick<Plan, "profile">;
  readonly image: ImageProcess;
  /** What the manifest says in place of the image. */
  readonly argv: readonly string[] | undefined;
  /** The container's cgroup, below the run's own, as a path from the top of each hierarchy. */
  readonly cgroupsPath: string;
  readonly scratch: Pick<Scratch, "work" | "tmp">;
  readonly inputs: readonly BoundFile[];
  /** On the host: the program that is the first process. */
  readonly init: string;
  readonly env: Readonly<Record<string, string>>;
  /** By number: names stand in files of the image. */
  readonly user: { readonly uid: number; readonly gid: number };
}

interface SpecMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** The part of the OCI runtime specification, version 1.0.2, that is used here. */
export interface RuntimeSpec {
  readonly ociVersion: string;
  readonly process: {
    readonly args: readonly string[];
    readonly env: readonly string[];
    readonly cwd: string;
    readonly user: { readonly uid: number; readonly gid: number };
    readonly noNewPrivileges: boolean;
    readonly capabilities: Readonly<Record<"bounding" | "effective" | "permitted" | "inheritable" | "ambient", readonly string[]>>;
    readonly rlimits: readonly { readonly type: string; readonly soft: number; readonly hard: number }[];
    readonly oomScoreAdj: number;
  };
  readonly root: { readonly path: string; readonly readonly: boolean };
  readonly hostname: string;
  readonly mounts: readonly SpecMount[];
  readonly linux: {
    readonly cgroupsPath: string;
    readonly namespaces: readonly { readonly type: string }[];
    readonly resources: { readonly devices: readonly { readonly allow: boolean; readonly access: string }[] };
    readonly seccomp: SeccompProfile;
    readonly maskedPaths: readonly string[];
    readonly readonlyPaths: readonly string[];
  };
}

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Where each namespace of its own shuts the tool in: without `network` it would have the host's, with it there is but loopback. */
const namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup"];

/** The container of one run: everything that its safety hangs on is here. */
export function runtimeSpec(parts: SpecParts): RuntimeSpec {
  const { plan, image, argv = image.argv, user } = parts;
  const { isRootReadOnly, dropsCapabilities, noNewPrivileges, maxOpenFiles } = containerSettings[plan.profile];
  const capabilities = dropsCapabilities || user.uid !== 0 ? [] : devCapabilities;
  const bounding = dropsCapabilities ? [] : devCapabilities;
  return {
    ociVersion: "1.0.2",
    process: {
      args: [initPath, ...argv],
      env: environment(image.env, { HOME: workPath, TMPDIR: tmpPath, ...parts.env }),
      cwd: workPath,
      user,
      // Threat: a set-uid program in the image.
      noNewPrivileges,
      capabilities: { bounding, effective: capabilities, permitted: capabilities, inheritable: [], ambient: [] },
      rlimits: [
        { type: "RLIMIT_NOFILE", soft: maxOpenFiles, hard: maxOpenFiles },
        { type: "RLIMIT_CORE", soft: 0, hard: 0 },
      ],
      oomScoreAdj,
    },
    root: { path: "rootfs", readonly: isRootReadOnly },
    hostname: "toolruntime",
    mounts: mountsOf(parts, plan.profile),
    linux: {
      cgroupsPath: parts.cgroupsPath,
      namespaces: namespaces.map((type) => ({ type })),
      // The runtime adds the few that every program may expect: null, zero, full, random, urandom, tty.
      resources: { devices: [{ allow: false, access: "rwm" }] },
      seccomp: seccompProfile(),
      maskedPaths,
      readonlyPaths,
    },
  };
}

/** The image's variables, and over them those of the run. */
function environment(image: readonly string[], own: Readonly<Record<string, string>>): string[] {
  const variables = new Map([["PATH", defaultPath]]);
  for (const line of image) {
    const at = line.indexOf("=");
    if (at > 0) variables.set(line.slice(0, at), line.slice(at + 1));
  }
  for (const [name, value] of Object.entries(own)) variables.set(name, value);
  return [...variables].map(([name, value]) => `${name}=${value}`);
}

function mountsOf({ scratch, inputs, init }: SpecParts, profile: SecurityProfile): SpecMount[] {
  const bind = (source: string, destination: string, ...options: string[]): SpecMount => ({
    destination,
    type: "bind",
    source,
    options: ["bind", "nosuid", "nodev", ...options],
  });
  // Threat: a folder of devices that can be written to is memory that no limit of the disk counts.
  const deviceFolder = profile === "dev" ? "rw" : "ro";
  return [
    { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=64k", deviceFolder] },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
    },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
    bind(init, initPath, "ro"),
    bind(scratch.work, workPath, "rw"),
    bind(scratch.tmp, tmpPath, "rw"),
    ...inputs.map(({ source, path }) => bind(source, `${workPath}/${path}`, "ro")),
  ];
}
