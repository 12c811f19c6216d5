import { mkdirSync, writeFileSync } from "node:fs";
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
import { currentOwner, formatOwner } from "../../internal/node/process-owner.ts";
import { openScratch } from "../../internal/node/run-folder.ts";
import type { SecurityProfile } from "../../profile.ts";
import type { Tool } from "../../tool.ts";
import { judgeEngines } from "../oci/floors.ts";
import { writeInitProgram } from "../oci/init-file.ts";
import { ownerLabel } from "../oci/leftovers.ts";
import { findRunCgroups, imageCapability, RunCgroup } from "../oci/run-cgroup.ts";
import { canMount, removeScratch, Scratch } from "../oci/scratch.ts";
import { hasSeccompProfile, seccompProfile } from "../oci/seccomp.ts";
import { nobody } from "../oci/settings.ts";
import { Docker, engineError, statusOf } from "./client.ts";
import { flavorOf, refusalOf, type Flavor } from "./flavor.ts";
import { findLeftovers, namePrefix } from "./reap.ts";
import { runContainer } from "./run.ts";
import { containerOptions } from "./spec.ts";

export interface DockerSettings {
  readonly socketPath: string;
  readonly acceptEngines: readonly string[];
  readonly scratch: string;
  readonly maxContainers: number;
  readonly maxOutputBytes: number;
}

/** What the machine and the daemon can do. */
interface Found {
  readonly layout: CgroupLayout;
  readonly version: string;
  /** The seccomp profile as the engine takes it. */
  readonly seccomp: string;
  readonly flavor: Flavor;
  readonly profiles: readonly SecurityProfile[];
  readonly notes: readonly string[];
}

interface Image {
  readonly id: string;
  /** What it starts where the manifest does not say. */
  readonly argv: readonly string[];
}

const name = "docker";
const probeValidForMs = 60_000;
const failedProbeValidForMs = 5000;
const removeTimeoutMs = 5000;
const initFile = "init";
const seccompFile = "seccomp.json";
const notes = ["A container shares this host's kernel: a hole in the kernel is a way out of it", "Tools have no network"] as const;

export class DockerBackend implements Backend {
  readonly name = name;
  readonly #settings: DockerSettings;
  readonly #docker: Docker;
  readonly #owner: string;
  readonly #gate: Gate;
  /** Found when a tool was made ready. */
  readonly #images = new WeakMap<Tool, Image>();
  #found: Promise<Found> | undefined;
  #hasInit = false;
  #runs = 0;

  constructor(settings: DockerSettings) {
    this.#settings = settings;
    this.#docker = new Docker(settings.socketPath);
    this.#owner = process.platform === "linux" ? `${formatOwner(currentOwner())}-${crypto.randomUUID().slice(0, 8)}` : "";
    this.#gate = new Gate({ running: settings.maxContainers, queued: Number.POSITIVE_INFINITY });
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
      const capability = imageCapability(layout, profiles);
      return { status: "ready", version, capabilities: [capability], notes: [...notes, ...found], validForMs: probeValidForMs };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const advice = "start Docker, or name its socket in the backend's options";
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
    const peer = await this.#docker.peer();
    const { Version, Components = [] } = await peer.version().catch((error: unknown) => {
      throw engineError("ask for the version", error);
    });
    const flavor = flavorOf(Components);
    const refusal = refusalOf(flavor, Version, this.#settings.acceptEngines);
    if (refusal !== undefined) throw new Error(refusal);
    openScratch(this.#settings.scratch);
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    // A name of its own for each trial: several may go on at once.
    const trial = `${namePrefix}${this.#owner}-probe${this.#runs++}`;
    const layout = findRunCgroups(trial);
    if (layout === undefined) throw new Error("this process may make no cgroups at the top of the hierarchies: run the service as root");
    if (!(await canMount(join(this.#folder, trial)))) throw new Error("this process may mount no file system: run the service as root");
    // Once: what is being executed cannot be written.
    if (!this.#hasInit) writeInitProgram(join(this.#folder, initFile));
    this.#hasInit = true;
    const { profiles, notes: found } = judgeEngines(flavor.engines, this.#settings.acceptEngines);
    const said = flavor.name === "podman" ? [`The daemon is podman ${Version}, by its socket for Docker's clients`, ...found] : found;
    return { layout, version: Version, seccomp: this.#writeSeccomp(flavor), flavor, profiles, notes: said };
  }

  #writeSeccomp({ seccomp }: Flavor): string {
    const text = JSON.stringify(seccompProfile());
    if (seccomp === "text") return text;
    const path = join(this.#folder, seccompFile);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  prepare(plan: Plan): Promise<void> | void {
    return this.#images.has(plan.tool) ? undefined : this.#resolve(plan.tool);
  }

  /** Finds the image, and keeps its id: a tag may come to mean another one. */
  async #resolve(tool: Tool): Promise<void> {
    const { image } = tool.manifest.artifacts;
    const { name: toolName } = tool.manifest;
    if (image === undefined)
      throw new ToolRuntimeError("ERR_INTERNAL", `Cannot run the tool "${toolName}" on backend "docker": it has no image`);
    const peer = await this.#docker.peer();
    const facts = await peer
      .getImage(image.reference)
      .inspect()
      .catch((error: unknown) => {
        if (statusOf(error) !== 404) throw engineError("look at an image", error);
        throw new ToolRuntimeError(
          "ERR_BACKEND_FAILED",
          `Cannot run the tool "${toolName}" on backend "docker": the daemon has no image ${JSON.stringify(image.reference)}; pull or load it there`,
          { backend: name, details: { tool: toolName, image: image.reference }, cause: error },
        );
      });
    const known = [facts.Id, ...(facts.RepoDigests ?? []).map((text) => text.slice(text.indexOf("@") + 1))];
    if (image.digest !== undefined && !known.includes(image.digest)) {
      throw new ToolRuntimeError(
        "ERR_DIGEST_MISMATCH",
        `Cannot run the tool "${toolName}" on backend "docker": its image is ${facts.Id}, the manifest names ${image.digest}`,
        { backend: name, details: { tool: toolName, expected: image.digest, actual: facts.Id } },
      );
    }
    const argv = [...(facts.Config?.Entrypoint ?? []), ...(facts.Config?.Cmd ?? [])];
    this.#images.set(tool, { id: facts.Id, argv });
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
    const image = this.#images.get(plan.tool);
    if (image === undefined) throw new ToolRuntimeError("ERR_INTERNAL", 'Cannot run a tool on backend "docker": it is not prepared');
    const { layout, seccomp, flavor } = await this.#find();
    const run = `${this.#owner}-${this.#runs++}`;
    const cgroupName = `${namePrefix}${run}`;
    const cgroup = setUp("make a cgroup", () => new RunCgroup(layout, cgroupName, plan));
    let scratch: Scratch | undefined;
    try {
      scratch = await Scratch.open({
        path: join(this.#folder, run),
        diskBytes: enforcedValue(plan, "disk") ?? 0,
        owner: plan.profile === "dev" ? 0 : nobody,
      });
      const inputs = await scratch.fill(io.files);
      const options = containerOptions({
        plan,
        image: image.id,
        argv: plan.tool.manifest.artifacts.image?.argv ?? image.argv,
        init: join(this.#folder, initFile),
        seccomp,
        flavor,
        name: cgroupName,
        labels: { [ownerLabel]: this.#owner, "toolruntime.run": io.id },
        cgroupParent: `/${cgroupName}`,
        scratch,
        inputs,
        env: io.env,
      });
      const report = await runContainer({ docker: this.#docker, plan, io, options, flavor, cgroup, scratch });
      if (!io.signal.aborted && report.limitHit === undefined)
        await handOverFiles(join(scratch.work, "out"), io, this.#settings.maxOutputBytes);
      return report;
    } finally {
      await cgroup.remove(removeTimeoutMs);
      await scratch?.remove();
    }
  }

  async leftovers(): Promise<readonly Leftover[]> {
    return (await this.#findLeftovers()).map(listed);
  }

  async reap(): Promise<ReapReport> {
    return removeFound(await this.#findLeftovers());
  }

  #findLeftovers(): Promise<FoundLeftover[]> {
    return findLeftovers({ docker: this.#docker, scratch: this.#settings.scratch });
  }

  async close(): Promise<void> {
    await this.#found?.catch(() => undefined);
    if (this.#owner !== "") await removeScratch(this.#folder);
  }
}

function setUp<T>(what: string, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new ToolRuntimeError("ERR_BACKEND_FAILED", `Cannot ${what} for the run on backend "docker": the system refused it`, {
      backend: name,
      cause,
    });
  }
}
