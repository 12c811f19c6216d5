import { z } from "zod";
import { bytes, ms } from "./quantities.ts";
import { remoteSchema, resolveRemote } from "./remote.ts";

const wasmSchema = z.strictObject({
  maxArtifactBytes: bytes.exactOptional(),
  maxCacheBytes: bytes.exactOptional(),
  maxPoolBytes: bytes.exactOptional(),
  components: z
    .strictObject({
      cacheFolder: z.string().min(1).exactOptional().describe("Keeps what was transpiled from one start to the next"),
      timeoutMs: ms.exactOptional(),
      maxCacheBytes: bytes.exactOptional(),
    })
    .exactOptional(),
  maxCompileMs: ms.exactOptional(),
  maxInstances: z.int().positive().exactOptional(),
  process: z
    .strictObject({
      maxChildren: z.int().positive().exactOptional(),
      spares: z.int().min(0).exactOptional(),
      idleMs: ms.exactOptional(),
      maxRuns: z.int().positive().exactOptional(),
    })
    .exactOptional()
    .describe("Gives each tool a process of its own, for profile hardened; on by itself where the service has that profile"),
});

const unsafeSchema = z.strictObject({
  acceptUnsafe: z.boolean().describe("Must be true: tools run as this user, without a sandbox"),
  path: z.string().exactOptional(),
  scratch: z.string().exactOptional(),
  processTree: z.enum(["auto", "group"]).exactOptional(),
  maxOutputBytes: bytes.exactOptional(),
});

const dockerSchema = z.strictObject({
  socketPath: z.string().min(1).exactOptional().describe("The daemon's Unix socket, on this host"),
  acceptEngines: z.array(z.string()).exactOptional().describe('Engines below their floor that are taken all the same: "runc@1.1.5"'),
  scratch: z.string().exactOptional(),
  maxContainers: z.int().positive().exactOptional(),
  maxOutputBytes: bytes.exactOptional(),
});

const containerdSchema = z.strictObject({
  socketPath: z.string().min(1).exactOptional().describe("The daemon's Unix socket, on this host"),
  namespace: z.string().min(1).exactOptional().describe("Where the daemon has the images, and makes everything"),
  snapshotter: z.string().min(1).exactOptional(),
  runtimePath: z.string().min(1).exactOptional().describe("The runtime program; by default the runc in a system's usual folders"),
  acceptEngines: z.array(z.string()).exactOptional().describe('Engines below their floor that are taken all the same: "runc@1.1.5"'),
  scratch: z.string().exactOptional(),
  maxContainers: z.int().positive().exactOptional(),
  maxOutputBytes: bytes.exactOptional(),
});

const gvisorSchema = z.strictObject({
  imageFolder: z.string().min(1).exactOptional().describe("Where images are: a folder with an OCI image layout"),
  runtimePath: z.string().min(1).exactOptional().describe("The runtime program; by default the runsc in a system's usual folders"),
  platform: z.enum(["systrap", "ptrace", "kvm"]).exactOptional(),
  acceptEngines: z.array(z.string()).exactOptional().describe('A runsc below its floor that is taken all the same: "runsc@20221219.0.0"'),
  scratch: z.string().exactOptional(),
  maxImageBytes: bytes.exactOptional(),
  maxSandboxes: z.int().positive().exactOptional(),
  maxOutputBytes: bytes.exactOptional(),
});

export const backendsSchema = z
  .strictObject({
    wasm: wasmSchema.exactOptional(),
    unsafe: unsafeSchema.exactOptional(),
    docker: dockerSchema.exactOptional(),
    containerd: containerdSchema.exactOptional(),
    gvisor: gvisorSchema.exactOptional(),
    remote: remoteSchema.exactOptional(),
  })
  .refine((backends) => Object.keys(backends).length > 0, "must name at least one backend")
  .prefault({ wasm: {} });

type Backends = z.output<typeof backendsSchema>;

/** Makes the paths absolute. */
export function resolveFolders({ wasm, unsafe, docker, containerd, gvisor, remote }: Backends, at: (path: string) => string): Backends {
  const cacheFolder = wasm?.components?.cacheFolder;
  const withCache = cacheFolder === undefined ? wasm : { ...wasm, components: { ...wasm?.components, cacheFolder: at(cacheFolder) } };
  const withScratch = unsafe?.scratch === undefined ? unsafe : { ...unsafe, scratch: at(unsafe.scratch) };
  const dockerAt = docker?.scratch === undefined ? docker : { ...docker, scratch: at(docker.scratch) };
  const containerdAt = containerd?.scratch === undefined ? containerd : { ...containerd, scratch: at(containerd.scratch) };
  return {
    ...(withCache === undefined ? {} : { wasm: withCache }),
    ...(withScratch === undefined ? {} : { unsafe: withScratch }),
    ...(dockerAt === undefined ? {} : { docker: dockerAt }),
    ...(containerdAt === undefined ? {} : { containerd: containerdAt }),
    ...(gvisor === undefined ? {} : { gvisor: resolveGvisor(gvisor, at) }),
    ...(remote === undefined ? {} : { remote: resolveRemote(remote, at) }),
  };
}

function resolveGvisor(options: NonNullable<Backends["gvisor"]>, at: (path: string) => string): NonNullable<Backends["gvisor"]> {
  const { imageFolder, scratch } = options;
  return {
    ...options,
    ...(imageFolder === undefined ? {} : { imageFolder: at(imageFolder) }),
    ...(scratch === undefined ? {} : { scratch: at(scratch) }),
  };
}
