import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import type { Backend, Capability, Leftover, Plan, Probe, ReapReport, RunIo, RunReport } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { findCgroups, type CgroupLayout } from "../../internal/node/cgroup-layout.ts";
import { applyCgroupLimit, cgroupEnforcement } from "../../internal/node/cgroup-limits.ts";
import { Cgroup } from "../../internal/node/cgroup.ts";
import { listed, removeFound, type FoundLeftover } from "../../internal/node/leftover.ts";
import { handOverFiles } from "../../internal/node/output-files.ts";
import { PipePool } from "../../internal/node/pipe-pool.ts";
import { currentOwner, formatOwner } from "../../internal/node/process-owner.ts";
import { cgroupTree, groupTree } from "../../internal/node/process-tree.ts";
import { createRunFolder, openScratch, removeFolder, type RunFolder } from "../../internal/node/run-folder.ts";
import type { LimitReading } from "../../limits.ts";
import type { Tool } from "../../tool.ts";
import { startProcess } from "./client.ts";
import { resolveCommand, type Command } from "./command.ts";
import { findHost, type Host } from "./host.ts";
import { readLimits } from "./readings.ts";
import { cgroupPrefix, findInScratch, parentsFile } from "./reap.ts";
import { superviseRun, type RunParts } from "./run.ts";
import { cgroupValues, processSpec, type ProcessSpec } from "./spec.ts";

export interface UnsafeSettings {
  readonly path: string;
  readonly scratch: string;
  readonly processTree: "auto" | "group";
  readonly maxOutputBytes: number;
}

const name = "unsafe";
const probeValidForMs = 300_000;
const failedProbeValidForMs = 5000;
/** How long an empty cgroup may take to go. */
const removeTimeoutMs = 2000;

const notes = [
  "There is no wall: a tool has this user's files, processes and network, and may change them",
  "The disk is not limited: a tool may write wherever this user may",
] as const;
const rootNote = "The service runs as root, and so does the tool: it can take itself out of its cgroup and so out of its limits";

export class UnsafeBackend implements Backend {
  readonly name = name;
  readonly #settings: UnsafeSettings;
  /** Names the folder and the cgroups of this backend, so that what a killed process left is known as its own. */
  readonly #owner: string;
  readonly #commands = new WeakMap<Tool, Command>();
  readonly #pipes: PipePool;
  /** Cgroups with a process in them that the kernel could not end in time. */
  readonly #stuck = new Set<Cgroup>();
  #host: Promise<Host> | undefined;
  #runs = 0;

  constructor(settings: UnsafeSettings) {
    this.#settings = settings;
    this.#owner = process.platform === "linux" ? `${formatOwner(currentOwner())}-${crypto.randomUUID().slice(0, 8)}` : "";
    this.#pipes = new PipePool(join(this.#folder, "pipes"));
  }

  get #folder(): string {
    return join(this.#settings.scratch, this.#owner);
  }

  async probe(): Promise<Probe> {
    if (process.platform !== "linux") {
      const reason = `it runs on Linux only, and this is ${process.platform}`;
      return { status: "unavailable", reason, advice: "use another backend", capabilities: [], validForMs: probeValidForMs };
    }
    this.#host = undefined;
    let host: Host;
    try {
      host = await this.#findHost();
    } catch (error) {
      return { status: "unavailable", reason: reasonOf(error), capabilities: [], validForMs: failedProbeValidForMs };
    }
    const { layout } = host;
    const capability: Capability = {
      artifact: "command",
      profiles: ["dev"],
      isolation: "none",
      limits: { timeout: { by: "signal" }, ...(layout === undefined ? {} : cgroupEnforcement(layout)) },
      network: "unfiltered",
    };
    const root = process.getuid?.() === 0 && layout !== undefined ? [rootNote] : [];
    return {
      status: "ready",
      version: `linux ${release()}`,
      capabilities: [capability],
      notes: [...notes, ...root, ...host.notes],
      validForMs: probeValidForMs,
    };
  }

  #findHost(): Promise<Host> {
    this.#host ??= this.#openHost();
    return this.#host;
  }

  async #openHost(): Promise<Host> {
    openScratch(this.#settings.scratch);
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    await this.#pipes.fill();
    const { processTree } = this.#settings;
    const trial = `probe${this.#runs++}`;
    const host = await findHost({ name: this.#cgroupName(trial), folder: join(this.#folder, trial), pipes: this.#pipes, processTree });
    if (host.layout !== undefined) writeFileSync(join(this.#folder, parentsFile), host.layout.map(({ parent }) => parent).join("\n"));
    return host;
  }

  #cgroupName(run: string): string {
    return `${cgroupPrefix}${this.#owner}-${run}`;
  }

  prepare(plan: Plan): void {
    this.#commands.set(plan.tool, resolveCommand(plan.tool, this.#settings.path));
  }

  async run(plan: Plan, io: RunIo): Promise<RunReport> {
    const command = this.#commands.get(plan.tool) ?? resolveCommand(plan.tool, this.#settings.path);
    const { layout, closing } = await this.#findHost().catch((error: unknown) => {
      throw failedSetUp("find out what the machine can do", error);
    });
    // A later probe may have found less than the one that the plan was made from.
    if (layout === undefined && cgroupValues(plan).length > 0) throw failedSetUp("make a cgroup", new Error("there are none any more"));
    const run = String(this.#runs++);
    const runPath = join(this.#folder, run);
    let cgroup: Cgroup | undefined;
    try {
      const folder = await createFolder(runPath, io);
      cgroup = layout && createCgroup(layout, this.#cgroupName(run));
      const setUp = cgroup === undefined ? [] : setLimits(cgroup, plan);
      const { path } = this.#settings;
      const spec = processSpec({ command, folder, env: io.env, path, membershipFiles: cgroup?.membershipFiles ?? [], closing });
      return await this.#runIn({ plan, io, cgroup, setUp }, spec, folder);
    } finally {
      if ((await cgroup?.remove(removeTimeoutMs)) === false && cgroup !== undefined) this.#stuck.add(cgroup);
      await removeFolder(runPath);
    }
  }

  async #runIn(parts: Omit<RunParts, "started" | "tree">, spec: ProcessSpec, folder: RunFolder): Promise<RunReport> {
    const { io, cgroup } = parts;
    const started = await startProcess(spec, this.#pipes);
    const tree = cgroup === undefined ? groupTree(started.pid, folder.path) : cgroupTree(cgroup);
    const outcome = await superviseRun({ ...parts, started, tree });
    if (!io.signal.aborted && outcome.limitHit === undefined) await handOverFiles(folder.out, io, this.#settings.maxOutputBytes);
    return outcome;
  }

  async leftovers(): Promise<readonly Leftover[]> {
    return this.#findLeftovers().map(listed);
  }

  async reap(): Promise<ReapReport> {
    return removeFound(this.#findLeftovers());
  }

  #findLeftovers(): FoundLeftover[] {
    if (process.platform !== "linux") return [];
    const layout = findCgroups(this.#cgroupName(`reap${this.#runs++}`)) ?? [];
    return findInScratch(
      this.#settings.scratch,
      layout.map(({ parent }) => parent),
    );
  }

  async close(): Promise<void> {
    await this.#host?.catch(() => undefined);
    for (const cgroup of this.#stuck) if (await cgroup.kill(removeTimeoutMs)) await cgroup.remove(removeTimeoutMs);
    if (this.#owner !== "") rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function createFolder(path: string, io: RunIo): Promise<RunFolder> {
  try {
    return await createRunFolder(path, io.stdin, io.files);
  } catch (error) {
    throw failedSetUp("make the working folder", error);
  }
}

function createCgroup(layout: CgroupLayout, runName: string): Cgroup {
  try {
    return Cgroup.create(layout, runName);
  } catch (error) {
    throw failedSetUp("make a cgroup", error);
  }
}

/** Gives what the cgroup's files say of the limits when they are set. */
function setLimits(cgroup: Cgroup, plan: Plan): LimitReading[] {
  try {
    for (const { limit, value } of cgroupValues(plan)) applyCgroupLimit(cgroup, limit, value);
  } catch (error) {
    throw failedSetUp("set the limits of a cgroup", error);
  }
  return readLimits({ cgroup, plan });
}

function failedSetUp(what: string, cause: unknown): ToolRuntimeError {
  return new ToolRuntimeError("ERR_BACKEND_FAILED", `Cannot ${what} for the run on backend "${name}": ${codeOf(cause)}`, {
    backend: name,
    cause,
  });
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "the file system refused it";
}
