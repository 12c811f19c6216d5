import { existsSync, readFileSync } from "node:fs";
import { containerd } from "../../src/backends/containerd/index.ts";
import { docker } from "../../src/backends/docker/index.ts";
import { gvisor } from "../../src/backends/gvisor/index.ts";
import type { ConformanceOptions } from "../../src/conformance/index.ts";
import { createRuntime, type Backend, type SecurityProfile } from "../../src/index.ts";
import { canary, type Target } from "./targets.ts";

/** What `scripts/backends up` wrote. */
interface Daemons {
  readonly sockets: { readonly docker: string; readonly containerd: string; readonly podman: string };
  /** An OCI image layout with the same images. */
  readonly imageFolder: string;
  readonly images: Readonly<Record<string, { readonly reference: string }>>;
}

const stateFile = `${process.env["TOOLRUNTIME_BACKENDS"] ?? "/var/tmp/toolruntime-backends"}/state.json`;

/** The daemons that run here, or why there are none. */
export function findDaemons(): Daemons | string {
  if (!existsSync(stateFile)) return "no daemon was started: run scripts/backends up";
  const daemons: Daemons = JSON.parse(readFileSync(stateFile, "utf8"));
  return daemons;
}

const probe = readFileSync(new URL("../../src/conformance/guests/probe.mjs", import.meta.url), "utf8");
/** What a container's engine and its base image set by themselves. */
const imageEnv = ["PATH", "HOME", "TMPDIR", "HOSTNAME"];

/** Debian's runc is below the floor; CI accepts it by name. */
const acceptEngines = ["runc@1.1.5"];

export function dockerTarget(daemons: Daemons, profile: SecurityProfile): Target {
  // The daemon holds a megabyte for whoever reads, and the connection some more.
  return targetOf(docker({ socketPath: daemons.sockets.docker, acceptEngines }), daemons, { profile, maxHeldBytes: 2 * 2 ** 20 });
}

export function containerdTarget(daemons: Daemons, profile: SecurityProfile): Target {
  return targetOf(containerd({ socketPath: daemons.sockets.containerd, acceptEngines }), daemons, { profile });
}

/** Debian's runsc is below the floor too. */
export const acceptRunsc = ["runsc@20221219.0.0"];

export function gvisorTarget(daemons: Daemons, profile: SecurityProfile): Target {
  return targetOf(gvisor({ imageFolder: daemons.imageFolder, acceptEngines: acceptRunsc }), daemons, { profile });
}

type Differences = Pick<ConformanceOptions, "profile" | "maxHeldBytes">;

function targetOf(backend: Backend, { images }: Daemons, differences: Differences): Target {
  process.env[canary.name] = canary.value;
  const reference = images["lang"]?.reference;
  if (reference === undefined) throw new Error('the daemons have no image "lang"');
  return {
    options: {
      name: backend.name,
      open: (settings) => createRuntime({ ...settings, backend }),
      guests: { image: { reference, argv: ["/usr/bin/node", "--input-type=module", "--eval", probe] } },
      ...differences,
      canary,
      ambientEnv: imageEnv,
      promptMs: 3000,
    },
    backend,
    close: () => backend.close(),
  };
}
