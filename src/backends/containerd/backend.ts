import { mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  enforcedValue,
  type Backend,
  type Leftover,
  type Plan,
  type Probe,
  type ReapReport,
  type RunIo,
  type RunReport,
} from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { Gate } from "../../internal/gate.ts";
import type { CgroupLayout } from "../../internal/node/cgroup-layout.ts";
import { listed, removeFound, type FoundLeftover } from "../../internal/node/leftover.ts";
import { handOverFiles } from "../../internal/node/output-files.ts";
import { PipePool } from "../../internal/node/pipe-pool.ts";
import { currentOwner, formatOwner } from "../../internal/node/process-owner.ts";
import { openScratch } from "../../internal/node/run-folder.ts";
import type { SecurityProfile } from "../../profile.ts";
import type { Tool } from "../../tool.ts";
import { judgeEngines } from "../oci/floors.ts";
import { writeInitProgram } from "../oci/init-file.ts";
import { ownerLabel } from "../oci/leftovers.ts";
import { findRunCgroups, imageCapability, RunCgroup } from "../oci/run-cgroup.ts";
import { canMount, removeScratch, Scratch, type BoundFile } from "../oci/scratch.ts";
import { hasSeccompProfile } from "../oci/seccomp.ts";
import { nobody } from "../oci/settings.ts";
import { Containerd, containerdError, grpcCodeOf, grpcCodes } from "./client.ts";
import { findImage, imageError, type Image } from "./images.ts";
import { createContainer, prepareSnapshot, removeObjects, type RunObjects } from "./objects.ts";
import { findLeftovers, namePrefix } from "./reap.ts";
import { containerCgroup, runTask } from "./run.ts";
import { findRuntimeProgram, type RuntimeProgram } from "./runtime-program.ts";
import type { Message } from "./schema.ts";
import { runtimeSpec } from "../oci/runtime-spec.ts";

export interface ContainerdSettings {
  readonly socketPath: string;
  readonly namespace: string;
  readonly snapshotter: string;
  readonly runtimePath: string | undefined;
  readonly acceptEngines: readonly string[];
  readonly scratch: string;
  readonly maxContainers: number;
  readonly maxOutputBytes: number;
}

/** What the machine and the daemon can do. */
interface Found {
  readonly layout: CgroupLayout;
  readonly version: string;
  readonly program: RuntimeProgram;
  readonly profiles: readonly SecurityProfile[];
  readonly notes: readonly string[];
}

interface Rooted {
  readonly scratch: Scratch;
  readonly inputs: readonly BoundFile[];
  readonly rootfs: readonly Message<"Mount">[];
}

const name = "containerd";
const probeValidForMs = 60_000;
const failedProbeValidForMs = 5000;
const removeTimeoutMs = 5000;
/** How much longer than its run a lease lasts: making and removing the container on a busy machine. */
const leaseRestMs = 600_000;
/** Where a plan has no time limit. */
const leaseWithoutLimitMs = 86_400_000;
const initFile = "init";
const pipeFolder = "pipes";
const notes = ["A container shares this host's kernel: a hole in the kernel is a way out of it", "Tools have no network"] as const;

export class ContainerdBackend implements Backend {
  readonly name = name;
  readonly #settings: ContainerdSettings;
  readonly #containerd: Containerd;
  readonly #owner: string;
  readonly #gate: Gate;
  readonly #pipes: PipePool;
  /** Found when a tool was made ready. A tag may come to mean another image meanwhile. */
  readonly #images = new WeakMap<Tool, Image>();
  /** Runs whose objects the daemon could not remove when they ended. */
  readonly #unremoved = new Set<string>();
  #found: Promise<Found> | undefined;
  #hasInit = false;
  #runs = 0;

  constructor(settings: ContainerdSettings) {
    this.#settings = settings;
    this.#containerd = new Containerd({ socketPath: settings.socketPath, namespace: settings.namespace });
    this.#owner = process.platform === "linux" ? `${formatOwner(currentOwner())}-${crypto.randomUUID().slice(0, 8)}` : "";
    this.#gate = new Gate({ running: settings.maxContainers, queued: Number.POSITIVE_INFINITY });
    this.#pipes = new PipePool(join(this.#folder, pipeFolder));
  }

  get capacity(): number {
    return this.#settings.maxContainers;
  }

  get #folder(): string {
    return join(this.#settings.scratch, this.#owner);
  }

  async probe(): Promise<Probe> {
    this.#found = undefined;
    try {
      const { layout, version, profiles, notes: found } = await this.#find();
      await this.#removeUnremoved();
      const capability = imageCapability(layout, profiles);
      return { status: "ready", version, capabilities: [capability], notes: [...notes, ...found], validForMs: probeValidForMs };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const advice = "start containerd, or name its socket in the backend's options";
      return { status: "unavailable", reason, advice, capabilities: [], validForMs: failedProbeValidForMs };
    }
  }

  #find(): Promise<Found> {
    this.#found ??= this.#findOnce();
    this.#found.catch(() => (this.#found = undefined));
    return this.#found;
  }

  async #findOnce(): Promise<Found> {
    if (process.platform !== "linux") throw new Error(`it runs on Linux only, and this is ${process.platform}`);
    if (!hasSeccompProfile()) throw new Error(`it has no seccomp profile for ${process.arch}`);
    const { version = "" } = await this.#containerd.call("version", {}).catch((error: unknown) => {
      throw containerdError("ask for the version", error);
    });
    const program = await findRuntimeProgram(this.#settings.runtimePath);
    openScratch(this.#settings.scratch);
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    // A name of its own for each trial: several may go on at once.
    const trial = `${this.#owner}-probe${this.#runs++}`;
    const layout = findRunCgroups(`${namePrefix}${trial}`);
    if (layout === undefined) throw new Error("this process may make no cgroups at the top of the hierarchies: run the service as root");
    if (!(await canMount(join(this.#folder, trial)))) throw new Error("this process may mount no file system: run the service as root");
    // Once: what is being executed cannot be written.
    if (!this.#hasInit) writeInitProgram(join(this.#folder, initFile));
    this.#hasInit = true;
    return { layout, version: version ?? "", program, ...judgeEngines([program], this.#settings.acceptEngines) };
  }

  prepare(plan: Plan): Promise<void> | void {
    return this.#images.has(plan.tool) ? undefined : this.#resolve(plan.tool);
  }

  async #resolve(tool: Tool): Promise<void> {
    const { image } = tool.manifest.artifacts;
    const { name: toolName } = tool.manifest;
    if (image === undefined)
      throw new ToolRuntimeError("ERR_INTERNAL", `Cannot run the tool "${toolName}" on backend "containerd": it has no image`);
    const found = await findImage(this.#containerd, image.reference);
    if (image.digest !== undefined && !found.digests.includes(image.digest)) {
      const [actual = ""] = found.digests;
      throw new ToolRuntimeError(
        "ERR_DIGEST_MISMATCH",
        `Cannot run the tool "${toolName}" on backend "containerd": its image is ${actual}, the manifest names ${image.digest}`,
        { backend: name, details: { tool: toolName, expected: image.digest, actual } },
      );
    }
    this.#images.set(tool, found);
  }

  async run(plan: Plan, io: RunIo): Promise<RunReport> {
    const entered = this.#gate.enter(io.signal, { tenant: io.tenant });
    if (entered !== undefined) await entered;
    try {
      return await this.#run(plan, io);
    } finally {
      this.#gate.leave(io.tenant);
    }
  }

  async #run(plan: Plan, io: RunIo): Promise<RunReport> {
    await this.prepare(plan);
    const { layout, program } = await this.#find();
    const id = `${this.#owner}-${this.#runs++}`;
    const objects: RunObjects = { containerd: this.#containerd, id, snapshotter: this.#settings.snapshotter };
    const cgroup = setUp("make a cgroup", () => new RunCgroup(layout, `${namePrefix}${id}`, plan));
    const path = join(this.#folder, id);
    try {
      const image = this.#imageOf(plan);
      const rooted = await this.#makeRoot({ plan, io, objects, path, image });
      const running = this.#runIn({ plan, io, objects, program, image, cgroup }, rooted);
      // No process is left when the task has ended, so its files can be read while its objects are removed.
      const removing = running.then(
        () => this.#remove(objects),
        () => this.#remove(objects),
      );
      const [handed, removed] = await Promise.allSettled([
        running.then((report) => this.#handBack({ report, io, scratch: rooted.scratch })),
        removing,
      ]);
      if (handed.status === "rejected") throw handed.reason;
      if (removed.status === "rejected") throw removed.reason;
      return handed.value;
    } finally {
      await cgroup.remove(removeTimeoutMs);
      await removeScratch(path);
    }
  }

  async #handBack({ report, io, scratch }: HandBack): Promise<RunReport> {
    if (!io.signal.aborted && report.limitHit === undefined)
      await handOverFiles(join(scratch.work, "out"), io, this.#settings.maxOutputBytes);
    await scratch.remove();
    return report;
  }

  #imageOf({ tool }: Plan): Image {
    const image = this.#images.get(tool);
    if (image === undefined) throw new ToolRuntimeError("ERR_INTERNAL", 'Cannot run a tool on backend "containerd": it is not prepared');
    return image;
  }

  /** The file systems of a run, both ways at once. What is made when one fails is removed. */
  async #makeRoot({ plan, io, objects, path, image }: RootParts): Promise<Rooted> {
    const diskBytes = enforcedValue(plan, "disk") ?? 0;
    const expiresAt = new Date(Date.now() + (enforcedValue(plan, "timeout") ?? leaseWithoutLimitMs) + plan.graceMs + leaseRestMs);
    const openFilled = async (): Promise<Omit<Rooted, "rootfs">> => {
      const scratch = await Scratch.open({ path, diskBytes, owner: plan.profile === "dev" ? 0 : nobody });
      return { scratch, inputs: await scratch.fill(io.files) };
    };
    const [filled, rootfs] = await Promise.allSettled([
      openFilled(),
      prepareSnapshot(objects, { owner: this.#owner, expiresAt, parent: image.chainId }),
    ]);
    if (filled.status === "fulfilled" && rootfs.status === "fulfilled") return { ...filled.value, rootfs: rootfs.value };
    await this.#remove(objects).catch(() => undefined);
    if (filled.status === "rejected") throw filled.reason;
    throw this.#rootError(plan, rootfs.status === "rejected" ? rootfs.reason : undefined);
  }

  #rootError({ tool }: Plan, error: unknown): ToolRuntimeError {
    // The next run looks for the image anew.
    this.#images.delete(tool);
    if (grpcCodeOf(error) !== grpcCodes.notFound) return containerdError("prepare the root file system", error);
    const reference = tool.manifest.artifacts.image?.reference ?? "";
    return imageError(`the daemon has not unpacked the image ${JSON.stringify(reference)}; pull or import it again`, reference, error);
  }

  async #runIn({ plan, io, objects, program, image, cgroup }: RunParts, { scratch, inputs, rootfs }: Rooted): Promise<RunReport> {
    io.signal.throwIfAborted();
    const { argv, reference } = plan.tool.manifest.artifacts.image ?? { reference: "" };
    const spec = runtimeSpec({
      plan,
      image: image.process,
      argv,
      cgroupsPath: `/${namePrefix}${objects.id}/${containerCgroup}`,
      scratch,
      inputs,
      init: join(this.#folder, initFile),
      env: io.env,
      user: plan.profile === "dev" ? userOf(image, plan.tool) : { uid: nobody, gid: nobody },
    });
    const labels = { [ownerLabel]: this.#owner, "toolruntime.run": io.id };
    await createContainer(objects, { image: reference, spec, program, labels });
    const [, tool = "its entrypoint"] = spec.process.args;
    return runTask({ objects, plan, io, rootfs, program: tool, pipes: this.#pipes, cgroup, scratch });
  }

  /** Where the daemon does not answer, what is left of a run is removed when it does again. */
  async #remove(objects: RunObjects): Promise<void> {
    try {
      await removeObjects(objects);
    } catch (error) {
      this.#unremoved.add(objects.id);
      throw containerdError("remove a container", error).with({ started: true });
    }
  }

  async #removeUnremoved(): Promise<string[]> {
    const ids = [...this.#unremoved];
    for (const id of ids) {
      await removeObjects({ containerd: this.#containerd, id, snapshotter: this.#settings.snapshotter });
      this.#unremoved.delete(id);
    }
    return ids.map((id) => `container ${id}`);
  }

  async leftovers(): Promise<readonly Leftover[]> {
    return (await this.#findLeftovers()).map(listed);
  }

  async reap(): Promise<ReapReport> {
    const own = await this.#removeUnremoved();
    const { removed } = await removeFound(await this.#findLeftovers());
    return { removed: [...own, ...removed] };
  }

  #findLeftovers(): Promise<FoundLeftover[]> {
    const { snapshotter, scratch } = this.#settings;
    return findLeftovers({ containerd: this.#containerd, snapshotter, scratch });
  }

  async close(): Promise<void> {
    await this.#found?.catch(() => undefined);
    await this.#removeUnremoved().catch(() => undefined);
    await this.#containerd.close();
    if (this.#owner !== "") await removeScratch(this.#folder);
  }
}

interface RootParts {
  readonly plan: Plan;
  readonly io: RunIo;
  readonly objects: RunObjects;
  readonly path: string;
  readonly image: Image;
}

interface HandBack {
  readonly report: RunReport;
  readonly io: RunIo;
  readonly scratch: Scratch;
}

interface RunParts extends Omit<RootParts, "path"> {
  readonly program: RuntimeProgram;
  readonly cgroup: RunCgroup;
}

/** In `dev` the image's own user holds. Its names stand in a file of the image, which is not mounted here. */
function userOf({ process: { user } }: Image, tool: Tool): { readonly uid: number; readonly gid: number } {
  const [, uid, gid] = /^(\d+)(?::(\d+))?$/.exec(user === "root" || user === "" ? "0:0" : user) ?? [];
  if (uid !== undefined) return { uid: Number(uid), gid: Number(gid ?? 0) };
  const { name: toolName } = tool.manifest;
  throw new ToolRuntimeError(
    "ERR_ARTIFACT_INVALID",
    `Cannot run the tool "${toolName}" on backend "containerd": its image names its user ${JSON.stringify(user)}; give it by number`,
    { backend: name, details: { tool: toolName } },
  );
}

function setUp<T>(what: string, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new ToolRuntimeError("ERR_BACKEND_FAILED", `Cannot ${what} for the run on backend "containerd": the system refused it`, {
      backend: name,
      cause,
    });
  }
}
