import { readFileSync } from "node:fs";
import { enforcedValue, type Capability, type Leftover, type Plan, type ReapReport } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { findCgroups } from "../../internal/node/cgroup-layout.ts";
import { applyCgroupLimit, cgroupEnforcement } from "../../internal/node/cgroup-limits.ts";
import { Cgroup } from "../../internal/node/cgroup.ts";
import { listed, removeFound, type FoundLeftover } from "../../internal/node/leftover.ts";
import { currentOwner, formatOwner } from "../../internal/node/process-owner.ts";
import type { Tool } from "../../tool.ts";
import type { DriverProbe, WasmDriver } from "../driver.ts";
import { engineArtifactOf, type EngineArtifact } from "../agreed.ts";
import { pageBytes } from "../binary.ts";
import type { MadeArtifact } from "../made.ts";
import { bindChild } from "./bind.ts";
import { findChildCode } from "./child-code.ts";
import { ChildHandle } from "./child-handle.ts";
import { Makings, type MakingSettings } from "./making.ts";
import { ChildPool, closedError, type PoolSettings } from "./pool.ts";
import { findChildren, namePrefix } from "./reap.ts";
import { RunSession } from "./run-session.ts";
import { childSpec, maxThreads, randomUid, type ChildCode } from "./spec.ts";
import { describeWalls, findWalls, type WallOptions, type WallsHere } from "./walls.ts";
import type { WasmIo, WasmReport } from "../run-types.ts";

export interface ProcessSettings extends PoolSettings, WallOptions, MakingSettings {
  /** The child's program. */
  readonly entry: URL;
  readonly overheadBytes: number;
  readonly spareMemoryBytes: number;
  readonly maxRuns: number;
  readonly maxGrowthBytes: number;
}

interface Opened {
  readonly pool: ChildPool;
  readonly here: WallsHere;
}

/** What a child that has a tool had when it got it, and how often it has run. */
interface Service {
  readonly residentBytes: number;
  runs: number;
}

/** Node, jco and Extism have WebAssembly of their own, which the flag bounds too. */
const minMemoryPages = 1024;
const maxMemoryPages = 65_536;
/** Keys of artifacts that some child has got ready. */
const maxKnown = 1000;

export class ProcessDriver implements WasmDriver {
  readonly isolation = "wasm-process";
  readonly #settings: ProcessSettings;
  readonly #makings: Makings;
  /** Begins the names of its children and of their cgroups. */
  readonly childPrefix: string;
  readonly #services = new WeakMap<ChildHandle, Service>();
  readonly #unnamed = new WeakMap<Tool, string>();
  readonly #known = new Set<string>();
  /** Every child that is not gone yet, those of trials too. */
  readonly #live = new Set<ChildHandle>();
  #opened: Promise<Opened> | undefined;
  #children = 0;
  #tools = 0;
  #isClosed = false;

  constructor(settings: ProcessSettings) {
    this.#settings = settings;
    this.#makings = new Makings(settings);
    const owner = process.platform === "linux" ? formatOwner(currentOwner()) : process.pid;
    this.childPrefix = `${namePrefix}${owner}-${crypto.randomUUID().slice(0, 8)}-`;
  }

  async probe(): Promise<DriverProbe> {
    const runtime = otherRuntime();
    if (runtime !== undefined) {
      return {
        status: "unavailable",
        reason: `this is ${runtime}, whose processes have no permission model`,
        advice: "run the service on Node 24 or later",
      };
    }
    try {
      const { pool, here } = await this.#open();
      await pool.check();
      return { status: "ready", artifacts: ["wasm", "code"], notes: describeWalls(here), limits: limitsOf(here) };
    } catch (error) {
      await this.#reopen();
      const reason = `no process for tools can be started: ${error instanceof Error ? error.message : String(error)}`;
      return { status: "unavailable", reason, advice: "look at the error, and at the limits of processes and memory of the service" };
    }
  }

  async #reopen(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    await opened?.then(({ pool }) => pool.close()).catch(() => undefined);
  }

  #open(): Promise<Opened> {
    if (this.#isClosed) throw closedError();
    this.#opened ??= this.#openOnce().catch((error: unknown) => {
      this.#opened = undefined;
      throw error;
    });
    return this.#opened;
  }

  /** Takes the strongest set of walls with which a child really starts. */
  async #openOnce(): Promise<Opened> {
    const code = findChildCode(this.#settings.entry);
    let problem: unknown;
    for (const here of await findWalls(this.#settings, this.#nextName())) {
      if (this.#isClosed) throw closedError();
      let trial: ChildHandle | undefined;
      try {
        trial = this.#start(code, here, 0);
        await trial.ready;
        assertWalls(trial, here);
        const pool = new ChildPool(this.#settings, (pages) => this.#start(code, here, pages));
        pool.adopt(trial);
        return { pool, here };
      } catch (error) {
        problem ??= error;
        await trial?.kill();
      }
    }
    throw problem;
  }

  #nextName(): string {
    return `${this.childPrefix}${this.#children++}`;
  }

  #start(code: ChildCode, { walls, layout }: WallsHere, memoryPages: number): ChildHandle {
    if (this.#isClosed) throw closedError();
    const name = this.#nextName();
    const { spareMemoryBytes } = this.#settings;
    const pages = Math.min(Math.max(memoryPages, Math.ceil(spareMemoryBytes / pageBytes), minMemoryPages), maxMemoryPages);
    const shape = { memoryPages: pages };
    const cgroup = layout === undefined ? undefined : Cgroup.create(layout, name);
    try {
      if (cgroup?.find("pids") !== undefined) applyCgroupLimit(cgroup, "processes", maxThreads);
      const spec = childSpec({ code, shape, walls, name, membershipFiles: cgroup?.membershipFiles ?? [], uid: randomUid() });
      const child = new ChildHandle({ name, spec, shape, cgroup });
      this.#live.add(child);
      void child.gone.then(() => this.#live.delete(child));
      return child;
    } catch (error) {
      void cgroup?.remove(1000);
      throw new ToolRuntimeError("ERR_BACKEND_FAILED", 'Cannot start a process on backend "wasm": the system refused it', { cause: error });
    }
  }

  prepare(plan: Plan, signal: AbortSignal): Promise<void> | void {
    if (!this.#known.has(this.#keyOf(plan))) return this.#prepare(plan, signal);
  }

  async #prepare(plan: Plan, signal: AbortSignal): Promise<void> {
    await this.#withChild(plan, signal, async () => true);
  }

  async run(plan: Plan, io: WasmIo): Promise<WasmReport> {
    let report: WasmReport | undefined;
    await this.#withChild(plan, io.signal, async (child) => {
      const session = new RunSession(child, plan, io);
      report = await session.perform();
      return session.isClean && this.#mayGoOn(child);
    });
    if (report === undefined) throw new ToolRuntimeError("ERR_INTERNAL", "Cannot report the run: there is no report");
    return report;
  }

  /** Has a child with the plan's tool for some work, after which it is kept only where the work says so. */
  async #withChild(plan: Plan, signal: AbortSignal, work: (child: ChildHandle) => Promise<boolean>): Promise<void> {
    try {
      await this.#tryChild(plan, signal, work);
    } catch (error) {
      if (this.#isClosed && error instanceof ToolRuntimeError && error.code === "ERR_BACKEND_FAILED")
        throw closedError().with({ started: error.started, cause: error });
      // A child that somebody killed while it waited is noticed only when it is used.
      if (!isUnstarted(error) || signal.aborted) throw error;
      await this.#tryChild(plan, signal, work);
    }
  }

  async #tryChild(plan: Plan, signal: AbortSignal, work: (child: ChildHandle) => Promise<boolean>): Promise<void> {
    const { pool } = await this.#open();
    const key = this.#keyOf(plan);
    // What is refused takes no process, and ends none.
    if (!this.#known.has(key)) await this.#make(plan, signal);
    const memoryPages = Math.ceil((enforcedValue(plan, "memory") ?? 0) / pageBytes);
    const child = await pool.acquire({ key, memoryPages }, signal);
    let isClean = false;
    try {
      await this.#bind(child, plan, key, signal);
      isClean = await work(child);
    } finally {
      if (isClean) pool.release(child);
      else await pool.discard(child);
    }
  }

  async #bind(child: ChildHandle, plan: Plan, key: string, signal: AbortSignal): Promise<void> {
    if (child.key !== undefined) return;
    child.key = key;
    const { overheadBytes, prepareTimeoutMs: timeoutMs } = this.#settings;
    const made = await this.#make(plan, signal);
    await bindChild(child, { plan, made, overheadBytes, timeoutMs }, signal);
    this.#services.set(child, { residentBytes: child.usage.readResidentBytes(), runs: 0 });
    if (this.#known.size >= maxKnown) this.#known.clear();
    this.#known.add(key);
  }

  #make(plan: Plan, signal: AbortSignal): Promise<MadeArtifact> {
    const kind = engineArtifactOf(plan);
    return this.#makings.get(`${this.#toolKey(plan.tool, kind)} ${kind}`, plan, signal);
  }

  /** Threat: what one run leaves behind, another finds; and what all leave behind adds up. */
  #mayGoOn(child: ChildHandle): boolean {
    const service = this.#services.get(child);
    if (service === undefined) return false;
    const { maxRuns, maxGrowthBytes } = this.#settings;
    return ++service.runs < maxRuns && child.usage.readResidentBytes() - service.residentBytes <= maxGrowthBytes;
  }

  /**
   * What runs may share a child: those of the same artifact, profile and limits of the process. A digest says which bytes only
   * where the manifest names theirs; a tool without that shares nothing with another.
   */
  #keyOf(plan: Plan): string {
    const { tool, profile, limits, deterministic } = plan;
    const kind = engineArtifactOf(plan);
    const own = limits.filter(({ limit }) => limit === "memory" || limit === "cpu").map(({ value, mechanism }) => [value, mechanism]);
    return JSON.stringify([this.#toolKey(tool, kind), kind, profile, own, deterministic !== undefined]);
  }

  #toolKey(tool: Tool, kind: EngineArtifact): string {
    if (tool.manifest.artifacts[kind]?.digest !== undefined) return tool.digest;
    const known = this.#unnamed.get(tool);
    if (known !== undefined) return known;
    const key = `tool ${++this.#tools}`;
    this.#unnamed.set(tool, key);
    return key;
  }

  async leftovers(): Promise<readonly Leftover[]> {
    return this.#findLeftovers().map(listed);
  }

  async reap(): Promise<ReapReport> {
    return removeFound(this.#findLeftovers());
  }

  #findLeftovers(): FoundLeftover[] {
    if (process.platform !== "linux") return [];
    const layout = this.#settings.cgroup === "auto" ? findCgroups(this.#nextName()) : undefined;
    return findChildren(layout?.map(({ parent }) => parent) ?? []);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    // A driver that is just being opened waits for its trials.
    await Promise.all([...this.#live].map((child) => child.kill()));
    this.#makings.clear();
    await this.#reopen();
  }
}

/** Whether a child ended by itself, or somebody else ended it, before the tool's code ran. */
function isUnstarted(error: unknown): boolean {
  return error instanceof ToolRuntimeError && !error.started && error.details["process"] === "lost";
}

function otherRuntime(): string | undefined {
  const { bun, deno } = process.versions;
  if (bun !== undefined) return "Bun";
  return deno === undefined ? undefined : "Deno";
}

/** What is enforced otherwise than by the engine alone: whatever the engine does not end, SIGKILL does. */
function limitsOf({ layout }: WallsHere): Capability["limits"] {
  const { cpu } = layout === undefined ? {} : cgroupEnforcement(layout);
  return {
    timeout: { by: "SIGKILL" },
    ...(process.platform === "linux" ? { cpuTime: { by: "SIGKILL" } } : {}),
    ...(cpu === undefined ? {} : { cpu }),
  };
}

/** Only walls that are seen to stand are declared. */
function assertWalls({ pid, cgroup }: ChildHandle, { walls }: WallsHere): void {
  if (process.platform !== "linux") return;
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  const has = (line: RegExp): boolean => line.test(status);
  const problems = [
    cgroup?.pids().includes(pid) === false ? "it is not in its cgroup" : "",
    walls.privileges.length > 0 && !has(/^NoNewPrivs:\s*1$/m) ? "it can get new privileges" : "",
    walls.hasOwnUser && !has(/^Uid:\s*[1-9]\d{8,}\s/m) ? "it has not a user of its own" : "",
    readFileSync(`/proc/${pid}/environ`).length > 0 && walls.shell !== undefined ? "it has an environment" : "",
  ].filter((problem) => problem !== "");
  if (problems.length > 0) throw new Error(problems.join(", "));
}
