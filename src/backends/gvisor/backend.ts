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
import { applyCgroupLimit } from "../../internal/node/cgroup-limits.ts";
import { listed, removeFound } from "../../internal/node/leftover.ts";
import { handOverFiles } from "../../internal/node/output-files.ts";
import { PipePool } from "../../internal/node/pipe-pool.ts";
import { currentOwner, formatOwner } from "../../internal/node/process-owner.ts";
import { openScratch } from "../../internal/node/run-folder.ts";
import type { SecurityProfile } from "../../profile.ts";
import type { Tool } from "../../tool.ts";
import { judgeEngines } from "../oci/floors.ts";
import { writeInitProgram } from "../oci/init-file.ts";
import { findRunCgroups, RunCgroup } from "../oci/run-cgroup.ts";
import { canMount, removeScratch, Scratch, type BoundFile } from "../oci/scratch.ts";
import { nobody } from "../oci/settings.ts";
import { gvisorCapability } from "./capability.ts";
import { ImageFolder, type FolderImage } from "./image-folder.ts";
import { findRunsc, identityOf, type RunscProgram } from "./program.ts";
import { findLeftovers, namePrefix } from "./reap.ts";
import { RootfsStore } from "./rootfs-store.ts";
import { runSandbox } from "./run.ts";
import { Sandbox, type Platform } from "./sandbox.ts";
import { sandboxSpec } from "./spec.ts";
import { attest } from "./witness.ts";

export interface GvisorSettings {
  readonly imageFolder: string | undefined;
  readonly runtimePath: string | undefined;
  readonly platforms: readonly Platform[];
  readonly acceptEngines: readonly string[];
  readonly scratch: string;
  readonly maxImageBytes: number;
  readonly maxSandboxes: number;
  readonly maxOutputBytes: number;
}

/** What the machine and the program can do. */
interface Found {
  readonly layout: CgroupLayout;
  readonly program: RunscProgram;
  readonly platform: Platform;
  readonly profiles: readonly SecurityProfile[];
  readonly notes: readonly string[];
}

/** A tool's image and where it is unpacked. */
interface Unpacked {
  readonly image: FolderImage;
  readonly rootfs: string;
}

const name = "gvisor";
const probeValidForMs = 300_000;
const failedProbeValidForMs = 5000;
const removeTimeoutMs = 5000;
const initFile = "init";
const imagesFolder = "images";
/** Threads that the sandbox's kernel may have besides those of the tool: where it is refused one it breaks down. */
const hostThreads = 1024;
const threadsPerProcess = 4;
const notes = [
  "The tool's kernel is gVisor's, in a process that itself may ask this host's kernel for little",
  "Memory and processor time are those of the whole sandbox: its kernel counts",
  "Tools have no network",
] as const;

export class GvisorBackend implements Backend {
  readonly name = name;
  readonly #settings: GvisorSettings;
  readonly #owner: string;
  readonly #gate: Gate;
  readonly #pipes: PipePool;
  readonly #store: RootfsStore;
  /** Found when a tool was made ready. A tag may come to mean another image meanwhile. */
  readonly #images = new WeakMap<Tool, Unpacked>();
  #found: Promise<Found> | undefined;
  #hasInit = false;
  #runs = 0;

  constructor(settings: GvisorSettings) {
    this.#settings = settings;
    this.#owner = process.platform === "linux" ? `${formatOwner(currentOwner())}-${crypto.randomUUID().slice(0, 8)}` : "";
    this.#gate = new Gate({ running: settings.maxSandboxes, queued: Number.POSITIVE_INFINITY });
    this.#pipes = new PipePool(join(this.#folder, "pipes"));
    this.#store = new RootfsStore({ path: join(settings.scratch, imagesFolder), maxBytes: settings.maxImageBytes, owner: this.#owner });
  }

  get capacity(): number {
    return this.#settings.maxSandboxes;
  }

  get #folder(): string {
    return join(this.#settings.scratch, this.#owner);
  }

  async probe(): Promise<Probe> {
    this.#found = undefined;
    try {
      const { layout, program, platform, profiles, notes: found } = await this.#find();
      const version = `runsc ${program.version}, ${platform}`;
      return {
        status: "ready",
        version,
        capabilities: [gvisorCapability(layout, profiles)],
        notes: [...notes, ...found],
        validForMs: probeValidForMs,
      };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const advice = "install gVisor's runsc, and name a folder with images in the backend's options";
      return { status: "unavailable", reason, advice, capabilities: [], validForMs: failedProbeValidForMs };
    }
  }

  /** What was found out of one program holds for that one alone: another in its place is asked anew before it runs a tool. */
  async #find(): Promise<Found> {
    const known = await this.#found;
    if (known !== undefined && identityOf(known.program.path) !== known.program.identity) this.#found = undefined;
    this.#found ??= this.#findOnce();
    this.#found.catch(() => (this.#found = undefined));
    return this.#found;
  }

  async #findOnce(): Promise<Found> {
    const { imageFolder, runtimePath, scratch, platforms, acceptEngines } = this.#settings;
    if (process.platform !== "linux") throw new Error(`it runs on Linux only, and this is ${process.platform}`);
    if (imageFolder === undefined) throw new Error('there are no images: name a folder with an OCI image layout as "imageFolder"');
    await new ImageFolder(imageFolder).check();
    const program = await findRunsc(runtimePath);
    openScratch(scratch);
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    this.#store.open();
    // A name of its own for each trial: several may go on at once.
    const trial = `${this.#owner}-probe${this.#runs++}`;
    const layout = findRunCgroups(`${namePrefix}${trial}`);
    if (layout === undefined) throw new Error("this process may make no cgroups at the top of the hierarchies: run the service as root");
    if (!(await canMount(join(this.#folder, trial)))) throw new Error("this process may mount no file system: run the service as root");
    // Once: what is being executed cannot be written.
    if (!this.#hasInit) writeInitProgram(join(this.#folder, initFile));
    this.#hasInit = true;
    const platform = await attest({ runsc: program.path, folder: join(this.#folder, `${trial}-witness`), pipes: this.#pipes, platforms });
    const judged = judgeEngines([program.engine], acceptEngines);
    const profiles: readonly SecurityProfile[] = judged.profiles.includes("standard") ? ["dev", "standard", "hardened"] : ["dev"];
    return { layout, program, platform, profiles, notes: judged.notes };
  }

  prepare(plan: Plan): Promise<void> | void {
    return this.#images.has(plan.tool) ? undefined : this.#resolve(plan.tool);
  }

  async #resolve(tool: Tool): Promise<void> {
    const { image } = tool.manifest.artifacts;
    const { name: toolName } = tool.manifest;
    const { imageFolder } = this.#settings;
    if (image === undefined || imageFolder === undefined)
      throw new ToolRuntimeError("ERR_INTERNAL", `Cannot run the tool "${toolName}" on backend "gvisor": it has no image`);
    await this.#find();
    const folder = new ImageFolder(imageFolder);
    const found = await folder.find(image.reference);
    if (image.digest !== undefined && !found.digests.includes(image.digest)) {
      const [actual = ""] = found.digests;
      throw new ToolRuntimeError(
        "ERR_DIGEST_MISMATCH",
        `Cannot run the tool "${toolName}" on backend "gvisor": its image is ${actual}, the manifest names ${image.digest}`,
        { backend: name, details: { tool: toolName, expected: image.digest, actual } },
      );
    }
    this.#images.set(tool, { image: found, rootfs: await this.#store.take(folder, found) });
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
    const found = await this.#find();
    const id = `${this.#owner}-${this.#runs++}`;
    const cgroup = setUp("make a cgroup", () => runCgroup(found.layout, id, plan));
    const path = join(this.#folder, id);
    const { program, platform } = found;
    const rootOverlay = plan.profile === "dev" ? "memory" : "none";
    const sandbox = new Sandbox({ id, runsc: program.path, platform, folder: `${path}-sandbox`, rootOverlay });
    try {
      const owner = plan.profile === "dev" ? 0 : nobody;
      const scratch = await Scratch.open({ path, diskBytes: enforcedValue(plan, "disk") ?? 0, owner });
      const inputs = await scratch.fill(io.files);
      const joining = unjoined(found.layout, `${namePrefix}${id}`);
      const report = await this.#runIn({ plan, io, id, sandbox, cgroup, scratch, inputs, joining });
      if (!io.signal.aborted && report.limitHit === undefined)
        await handOverFiles(join(scratch.work, "out"), io, this.#settings.maxOutputBytes);
      return report;
    } finally {
      await cgroup.remove(removeTimeoutMs);
      await sandbox.remove();
      await removeScratch(path);
    }
  }

  async #runIn({ plan, io, id, sandbox, cgroup, scratch, inputs, joining }: RunParts): Promise<RunReport> {
    io.signal.throwIfAborted();
    const unpacked = this.#images.get(plan.tool);
    if (unpacked === undefined) throw new ToolRuntimeError("ERR_INTERNAL", 'Cannot run a tool on backend "gvisor": it is not prepared');
    const { image, rootfs } = unpacked;
    const spec = sandboxSpec({
      plan,
      image: image.process,
      argv: plan.tool.manifest.artifacts.image?.argv,
      // The run's own: what is killed in it for want of memory is counted there when the sandbox is gone.
      cgroupsPath: `/${namePrefix}${id}`,
      rootfs,
      scratch,
      inputs,
      init: join(this.#folder, initFile),
      env: io.env,
      user: plan.profile === "dev" ? userOf(image, plan.tool) : { uid: nobody, gid: nobody },
    });
    const [, program = "its entrypoint"] = spec.process.args;
    return runSandbox({ sandbox, plan, io, spec, program, pipes: this.#pipes, cgroup, scratch, joining });
  }

  async leftovers(): Promise<readonly Leftover[]> {
    return findLeftovers(this.#places).map(listed);
  }

  async reap(): Promise<ReapReport> {
    await this.#store.forgetGone();
    return removeFound(findLeftovers(this.#places));
  }

  get #places(): { readonly scratch: string; readonly images: string } {
    const { scratch } = this.#settings;
    return { scratch, images: join(scratch, imagesFolder) };
  }

  async close(): Promise<void> {
    await this.#found?.catch(() => undefined);
    await this.#store.close();
    if (this.#owner !== "") await removeScratch(this.#folder);
  }
}

interface RunParts {
  readonly plan: Plan;
  readonly io: RunIo;
  readonly id: string;
  readonly sandbox: Sandbox;
  readonly cgroup: RunCgroup;
  readonly scratch: Scratch;
  readonly inputs: readonly BoundFile[];
  readonly joining: string | undefined;
}

/** Where cgroups of both versions are mounted runsc joins those of version 1 alone; what is counted in the other one would be nothing. */
function unjoined(layout: CgroupLayout, cgroupName: string): string | undefined {
  const other = layout.find(({ version }) => version === 2);
  const isHybrid = layout.some(({ version }) => version === 1);
  return isHybrid && other !== undefined ? join(other.parent, cgroupName, "cgroup.procs") : undefined;
}

/** The limit of processes is held inside; outside there is one of the sandbox's own threads, which no tool should reach. */
function runCgroup(layout: CgroupLayout, id: string, plan: Plan): RunCgroup {
  const limits = plan.limits.filter(({ limit }) => limit !== "processes");
  const cgroup = new RunCgroup(layout, `${namePrefix}${id}`, { ...plan, limits });
  const processes = enforcedValue(plan, "processes");
  if (processes !== undefined && cgroup.cgroup.find("pids") !== undefined)
    applyCgroupLimit(cgroup.cgroup, "processes", hostThreads + threadsPerProcess * processes);
  return cgroup;
}

/** In `dev` the image's own user holds. Its names stand in a file of the image. */
function userOf({ process: { user } }: FolderImage, tool: Tool): { readonly uid: number; readonly gid: number } {
  const [, uid, gid] = /^(\d+)(?::(\d+))?$/.exec(user === "root" || user === "" ? "0:0" : user) ?? [];
  if (uid !== undefined) return { uid: Number(uid), gid: Number(gid ?? 0) };
  const { name: toolName } = tool.manifest;
  throw new ToolRuntimeError(
    "ERR_ARTIFACT_INVALID",
    `Cannot run the tool "${toolName}" on backend "gvisor": its image names its user ${JSON.stringify(user)}; give it by number`,
    { backend: name, details: { tool: toolName } },
  );
}

function setUp<T>(what: string, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new ToolRuntimeError("ERR_BACKEND_FAILED", `Cannot ${what} for the run on backend "gvisor": the system refused it`, {
      backend: name,
      cause,
    });
  }
}
