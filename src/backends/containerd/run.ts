import { existsSync } from "node:fs";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { enforcedValue, type Plan, type RunIo, type RunReport } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { cpuTimeUsedMs, memoryKills, readCgroupLimit } from "../../internal/node/cgroup-limits.ts";
import type { Cgroup } from "../../internal/node/cgroup.ts";
import { watchCpuTime } from "../../internal/node/cpu-time.ts";
import type { PipePool } from "../../internal/node/pipe-pool.ts";
import { pump } from "../../internal/node/pump.ts";
import type { LimitReading } from "../../limits.ts";
import { exitOfStatus } from "../oci/exit.ts";
import { initFailure, startFailure } from "../oci/init-file.ts";
import type { RunCgroup } from "../oci/run-cgroup.ts";
import type { Scratch } from "../oci/scratch.ts";
import { containerdError, grpcCodeOf, grpcCodes } from "./client.ts";
import type { RunObjects } from "./objects.ts";
import type { Message } from "./schema.ts";
import { TaskStdio } from "./stdio.ts";

/** How long the streams may stay open when the tool has ended; only a broken shim holds them. */
const drainMs = 5000;
/** The container's cgroup, in the run's own. */
export const containerCgroup = "task";

export interface TaskRun {
  readonly objects: RunObjects;
  readonly plan: Plan;
  readonly io: RunIo;
  readonly rootfs: readonly Message<"Mount">[];
  readonly program: string;
  readonly pipes: PipePool;
  readonly cgroup: RunCgroup;
  readonly scratch: Scratch;
}

/**
 * Runs the task of a container that is made. What the tool hands back is still to be read from the scratch folder, and the task to be
 * removed.
 */
export async function runTask(run: TaskRun): Promise<RunReport> {
  const { objects, plan, io, rootfs } = run;
  const { containerd, id } = objects;
  const stdio = await TaskStdio.open(run.pipes, io.stdin.length > 0);
  const done = new AbortController();
  const cpuTime = watchCpuTime({
    cgroup: run.cgroup.cgroup,
    limitMs: enforcedValue(plan, "cpuTime"),
    end: () => void kill(run, "SIGKILL").catch(() => undefined),
  });
  try {
    const { stdinPath: stdin, stdoutPath: stdout, stderrPath: stderr } = stdio;
    await containerd.call("createTask", { containerId: id, rootfs, stdin, stdout, stderr }).catch((error: unknown) => {
      throw containerdError("make a task", error);
    });
    stdio.release();
    io.signal.throwIfAborted();
    const exited = containerd.call("waitTask", { containerId: id }, { timeoutMs: Number.POSITIVE_INFINITY, signal: done.signal });
    exited.catch(() => undefined);
    await containerd.call("startTask", { containerId: id }).catch((error: unknown) => {
      throw containerdError("start a task", error);
    });
    io.started();
    return await supervise(run, stdio, exited);
  } finally {
    cpuTime.stop();
    done.abort();
    stdio.close();
  }
}

async function supervise(run: TaskRun, stdio: TaskStdio, exited: Promise<Message<"Exited">>): Promise<RunReport> {
  const { io } = run;
  let startOfErrors = "";
  const stderr = (bytes: Uint8Array): void | Promise<void> => {
    const missing = initFailure.length + 2 - startOfErrors.length;
    if (missing > 0) startOfErrors += new TextDecoder("latin1").decode(bytes.subarray(0, missing));
    return io.stderr(bytes);
  };
  const pumps = [pump(stdio.stdout, (bytes) => io.stdout(bytes), io.signal), pump(stdio.stderr, stderr, io.signal)];
  void send(run, stdio);
  const status = await untilEnd(run, exited);
  // Before the task is removed: the shim gives up what nobody has read two seconds after that.
  await drain(
    pumps.map(({ done }) => done),
    () => pumps.some((one) => one.wasBusy()),
  );
  if (status === 127 || status === 126) assertStarted(run, startOfErrors);
  return await report(run, status);
}

/** Waits for the end of the streams, as long as something comes or is being taken. */
async function drain(streams: readonly Promise<void>[], isBusy: () => boolean): Promise<void> {
  const all = Promise.all(streams).then(() => true);
  while (!(await Promise.race([all, sleep(drainMs, false, { ref: false })]))) if (!isBusy()) return;
}

async function send({ objects: { containerd, id }, io }: TaskRun, stdio: TaskStdio): Promise<void> {
  if (io.stdin.length === 0) return;
  try {
    await stdio.send(io.stdin);
    await containerd.call("closeIo", { containerId: id, stdin: true });
  } catch {
    // The tool has ended without reading to the end, or the daemon is gone, which whoever waits for the task will hear.
  }
}

async function kill({ objects: { containerd, id } }: TaskRun, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  try {
    await containerd.call("killTask", { containerId: id, signal: constants.signals[signal] });
  } catch (error) {
    // It has ended meanwhile.
    if (grpcCodeOf(error) !== grpcCodes.notFound) throw containerdError("end a task", error);
  }
}

/** Waits for the tool's end, or asks for it and then ends it. Gives the status that the daemon tells. */
async function untilEnd(run: TaskRun, exited: Promise<Message<"Exited">>): Promise<number> {
  const { plan, io } = run;
  const told = exited.then(({ exitStatus }) => exitStatus ?? 0);
  const aborted = new Promise<undefined>((resolve) => {
    if (io.signal.aborted) resolve(undefined);
    else io.signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
  try {
    const first = await Promise.race([told, aborted]);
    if (first !== undefined) return first;
    await kill(run, "SIGTERM");
    const inGrace = await Promise.race([told, sleep(plan.graceMs, undefined, { ref: false })]);
    if (inGrace !== undefined) return inGrace;
    await kill(run, "SIGKILL");
    return await told;
  } catch (error) {
    throw containerdError("wait for a task", error).with({ started: true });
  }
}

function assertStarted({ plan, program }: TaskRun, startOfErrors: string): void {
  const why = startFailure(startOfErrors);
  if (why === undefined) return;
  const { name } = plan.tool.manifest;
  throw new ToolRuntimeError(
    "ERR_ARTIFACT_INVALID",
    `Cannot start ${JSON.stringify(program)} of the tool "${name}" on backend "containerd": ${why}; look at the manifest's "argv"`,
    { backend: "containerd", details: { tool: name } },
  );
}

/** The container's cgroup is there until the task is removed: kills and refused forks are counted in it. */
async function report(run: TaskRun, status: number): Promise<RunReport> {
  const { cgroup, scratch } = run;
  const own = cgroup.below(containerCgroup);
  const kills = memoryKillsIn(own);
  const refused = [cgroup.cgroup, own].map((one) => readCgroupLimit(one, "processes").hit ?? "unknown");
  const exit = exitOfStatus(status);
  const held = cgroup.readings().map((reading): LimitReading => {
    if (reading.limit === "memory" && (kills ?? 0) > 0) return { ...reading, hit: "yes" };
    return reading.limit === "processes" ? { ...reading, hit: strongest(refused) } : reading;
  });
  const readings = [...held, await scratch.reading(), ...cpuReading(run)];
  const isKilled = exit.kind === "signalled" && exit.signal === "SIGKILL";
  const limitHit = isKilled ? hitOf(run, readings, kills) : undefined;
  return { exit, readings, ...(limitHit === undefined ? {} : { limitHit }) };
}

/** Kernels before 6.11 count a refused fork in the cgroup that asked, later ones in the cgroup that refused. */
function strongest(hits: readonly LimitReading["hit"][]): "yes" | "no" | "unknown" {
  if (hits.includes("yes")) return "yes";
  return hits.every((hit) => hit === "no") ? "no" : "unknown";
}

function memoryKillsIn(own: Cgroup): number | undefined {
  return existsSync(own.find("memory")?.folder ?? "") ? memoryKills(own) : undefined;
}

function cpuReading({ plan, cgroup }: TaskRun): LimitReading[] {
  const limitMs = enforcedValue(plan, "cpuTime");
  const used = cpuTimeUsedMs(cgroup.cgroup);
  if (limitMs === undefined || used === undefined) return [];
  return [{ limit: "cpuTime", applied: limitMs, source: used.source, peak: used.usedMs, hit: used.usedMs >= limitMs ? "yes" : "no" }];
}

/** The limit that ended the tool by SIGKILL, where one did. */
function hitOf({ plan }: TaskRun, readings: readonly LimitReading[], kills: number | undefined): RunReport["limitHit"] {
  for (const limit of ["cpuTime", "memory"] as const) {
    const found = readings.find((reading) => reading.limit === limit);
    if (found?.hit !== "yes" || enforcedValue(plan, limit) === undefined) continue;
    // A tool that was at its limit and has ended itself was not killed for it.
    if (limit === "memory" && kills === 0) continue;
    return { limit, ...(found.peak === undefined ? {} : { observed: found.peak }) };
  }
  return undefined;
}
