import type { Plan } from "../../backend.ts";
import { initPath } from "../oci/init-file.ts";
import { containerSettings, devCapabilities, maskedPaths, oomScoreAdj, readonlyPaths, tmpPath, workPath } from "../oci/settings.ts";
import type { BoundFile, Scratch } from "../oci/scratch.ts";
import type { ContainerOptions } from "./client.ts";
import type { Flavor } from "./flavor.ts";

export interface ContainerParts {
  readonly plan: Plan;
  /** The id of the image, which no tag can be moved away from. */
  readonly image: string;
  /** The tool's program and its arguments: the manifest's, or else the image's. */
  readonly argv: readonly string[];
  /** On the host: the program that is the first process. */
  readonly init: string;
  /** What the kernel may be asked for: the profile as text, or its path on the host. */
  readonly seccomp: string;
  readonly flavor: Pick<Flavor, "masks" | "ulimits">;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The run's own parent cgroup, as a path from the top of each hierarchy. */
  readonly cgroupParent: string;
  readonly scratch: Pick<Scratch, "work" | "tmp">;
  readonly inputs: readonly BoundFile[];
  readonly env: Readonly<Record<string, string>>;
}

/** Threat: a folder of everybody's, in which no limit of the disk counts. The engine mounts it, whatever it is told of IPC. */
const messageQueues = "/dev/mqueue";

/** Threat: the same. Podman mounts them where the root cannot be written to. */
const foldersOfPodman = ["/run", "/var/tmp"];

/** The container of one run: everything that its safety hangs on is here. */
export function containerOptions(parts: ContainerParts): ContainerOptions {
  const { plan, argv, scratch } = parts;
  const { user, isRootReadOnly, dropsCapabilities, noNewPrivileges, maxOpenFiles } = containerSettings[plan.profile];
  const masks = [...maskedPaths, messageQueues, ...(parts.flavor.masks === "option" ? foldersOfPodman : [])];
  const env = { HOME: workPath, TMPDIR: tmpPath, ...parts.env };
  return {
    name: parts.name,
    Image: parts.image,
    Entrypoint: [initPath, ...argv],
    Cmd: [],
    Env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
    WorkingDir: workPath,
    ...(user === undefined ? {} : { User: user }),
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    OpenStdin: true,
    StdinOnce: true,
    // With the mode "none" alone the engine still sets a network up.
    NetworkDisabled: true,
    Labels: parts.labels,
    HostConfig: {
      // The daemon's own would show the tool's environment to it, and not say why a program cannot be executed.
      Init: false,
      NetworkMode: "none",
      IpcMode: "none",
      CgroupnsMode: "private",
      CgroupParent: parts.cgroupParent,
      CapDrop: ["ALL"],
      CapAdd: dropsCapabilities ? [] : devCapabilities,
      SecurityOpt: [
        `seccomp=${parts.seccomp}`,
        // Threat: a set-uid program in the image.
        ...(noNewPrivileges ? ["no-new-privileges:true"] : []),
        ...(parts.flavor.masks === "option" ? [`mask=${masks.join(":")}`] : []),
      ],
      MaskedPaths: masks,
      ReadonlyPaths: readonlyPaths,
      OomScoreAdj: oomScoreAdj,
      ReadonlyRootfs: isRootReadOnly,
      Mounts: [
        { Type: "bind", Source: parts.init, Target: initPath, ReadOnly: true },
        { Type: "bind", Source: scratch.work, Target: workPath },
        { Type: "bind", Source: scratch.tmp, Target: tmpPath },
        ...parts.inputs.map(({ source, path }) => ({
          Type: "bind" as const,
          Source: source,
          Target: `${workPath}/${path}`,
          ReadOnly: true,
        })),
      ],
      Ulimits: [{ Name: "nofile", Soft: maxOpenFiles, Hard: maxOpenFiles }, { Name: "core", Soft: 0, Hard: 0 }, ...parts.flavor.ulimits],
      LogConfig: { Type: "none" },
    },
  };
}
