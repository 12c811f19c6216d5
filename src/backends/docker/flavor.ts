import { engineKey, type EngineVersion } from "../oci/floors.ts";
import type { EngineComponent, Ulimit } from "./client.ts";

/** What speaks Docker's API, and in what its answers differ. */
export interface Flavor {
  readonly name: "docker" | "podman";
  /** Docker takes a seccomp profile as text, podman only the path of a file of its own host. */
  readonly seccomp: "text" | "path";
  /** Podman has no field for what is to be masked, and drops the one that it is given. */
  readonly masks: "field" | "option";
  /** Podman says of no container that it was ended for want of memory. */
  readonly tellsOom: "yes" | "no";
  /**
   * The resource limits that the engine sets by itself where none is given, to values that a daemon without CAP_SYS_RESOURCE may not set.
   */
  readonly ulimits: readonly Ulimit[];
  /** The programs behind it, under the names that their floors are kept by. */
  readonly engines: readonly EngineVersion[];
}

/** Counted over all containers of a user, so as many as all of them together may need. */
const userProcesses = 16_384;

/** Podman's own name for itself among its components, of which the runtime is called `OCI Runtime (runc)`. */
const podman = "Podman Engine";

export function flavorOf(components: readonly EngineComponent[]): Flavor {
  if (!components.some(({ Name }) => Name === podman)) {
    return {
      name: "docker",
      seccomp: "text",
      masks: "field",
      tellsOom: "yes",
      ulimits: [],
      engines: components.map(({ Name, Version }) => ({ name: Name, version: Version })),
    };
  }
  const ulimits = [{ Name: "nproc", Soft: userProcesses, Hard: userProcesses }];
  return { name: "podman", seccomp: "path", masks: "option", tellsOom: "no", ulimits, engines: components.map(engineOfPodman) };
}

/** Why nothing is run on an engine of this flavor, or nothing where something is. */
export function refusalOf({ name }: Flavor, version: string, accepted: readonly string[]): string | undefined {
  const key = engineKey({ name, version });
  if (name !== "podman" || accepted.includes(key)) return undefined;
  // It answers that it is attached before it is, and keeps nothing of what is written meanwhile.
  return `the daemon is podman, which may lose what a tool writes as it starts; "acceptEngines" takes it all the same as "${key}"`;
}

/** Threat: a runtime under a name that no floor is kept by is as good as any. */
function engineOfPodman({ Name, Version }: EngineComponent): EngineVersion {
  const [, name = Name] = /^OCI Runtime \((.+)\)$/.exec(Name) ?? [];
  const [, version = Version] = /\bversion (\S+)/.exec(Version) ?? [];
  return { name, version: version.replace(/,$/, "") };
}
