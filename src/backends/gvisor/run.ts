import { setTimeout as sleep } from "node:timers/promises";
import { enforcedValue, type Exit, type Plan, type RunIo, type RunReport } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { cpuTimeUsedMs, memoryKills } from "../../internal/node/cgroup-limits.ts";
import { watchCpuTime } from "../../internal/node/cpu-time.ts";
import type { PipePool } from "../../internal/node/pipe-pool.ts";
import { pump, type Pump } from "../../internal/node/pump.ts";
import type { LimitReading } from "../../limits.ts";
import { exitOfStatus } from "../oci/exit.ts";
import { initFailure, startFailure } from "../oci/init-file.ts";
import type { RunCgroup } from "../oci/run-cgroup.ts";
import type { Scratch } from "../oci/scratch.ts";
import type { Sandbox, StartedSandbox } from "./sandbox.ts";

/** How long the streams may stay open when the sandbox has ended; nothing but a broken one holds them. */
const drainMs = 5000;
const killTimeoutMs = 5000;
/** The status with which runsc ends for its own faults. */
const runscStatus = 128;
const sigkill: Exit = { kind: "signalled", signal: "SIGKILL", number: 9 };

export interface SandboxRun {
  readonly sandbox: Sandbox;
  readonly plan: Plan;
  readonly io: RunIo;
  readonly spec: object;
  /** The tool's program, for messages. */
  readonly program: string;
  readonly pipes: PipePool;
  readonly cgroup: RunCgroup;
  readonly scratch: Scratch;
  /** Of a cgroup that runsc does not join by itself. */
  readonly joining: string | undefined;
}

/** Runs a sandbox to its end. What the tool hands back is still to be read from the scratch folder. */
export async function runSandbox(run: SandboxRun): Promise<RunReport> {
  const { sandbox, plan, io, spec, pipes, joining, cgroup } = run;
  const started = await sandbox.start({ spec, stdin: io.stdin, pipes, joining });
  const cpuTime = watchCpuTime({ cgroup: cgroup.cgroup, limitMs: enforcedValue(plan, "cpuTime"), end: () => void end(run) });
  try {
    return await supervise(run, started);
  } finally {
    cpuTime.stop();
    await end(run);
    for (const stream of [started.stdout, started.stderr]) stream.destroy();
  }
}

/** Everything of the sandbox is in the run's cgroup, but for the process that waits for it. */
async function end({ sandbox, cgroup }: SandboxRun): Promise<void> {
  sandbox.kill();
  await cgroup.cgroup.kill(killTimeoutMs);
}

async function supervise(run: SandboxRun, { stdout, stderr, running, exited }: StartedSandbox): Promise<RunReport> {
  const { io } = run;
  let startOfErrors = "";
  let isStarted = false;
  const begin = (): void => {
    if (!isStarted) io.started();
    isStarted = true;
  };
  void running.then(begin);
  const takeErrors = (bytes: Uint8Array): void | Promise<void> => {
    const missing = initFailure.length + 2 - startOfErrors.length;
    if (missing > 0) startOfErrors += new TextDecoder("latin1").decode(bytes.subarray(0, missing));
    return io.stderr(bytes);
  };
  const takeOutput = (bytes: Uint8Array): void | Promise<void> => {
    begin();
    return io.stdout(bytes);
  };
  const pumps = [pump(stdout, takeOutput, io.signal), pump(stderr, takeErrors, io.signal)];
  const status = await untilEnd(run, exited);
  await end(run);
  await drain(pumps);
  if (!io.signal.aborted) {
    assertWhole(run, { status, isStarted });
    // It was there for too short a time to be seen.
    begin();
  }
  if (status === 127 || status === 126) assertStarted(run, startOfErrors);
  return await report(run, status);
}

/** Waits for the end of the streams, as long as something comes or is being taken. */
async function drain(pumps: readonly Pump[]): Promise<void> {
  const all = Promise.all(pumps.map(({ done }) => done)).then(() => true);
  while (!(await Promise.race([all, sleep(drainMs, false, { ref: false })]))) if (!pumps.some((one) => one.wasBusy())) return;
}

/** Waits for the tool's end, or asks for it and then ends it. */
async function untilEnd(run: SandboxRun, exited: Promise<number>): Promise<number> {
  const { plan, io, sandbox } = run;
  const aborted = new Promise<undefined>((resolve) => {
    if (io.signal.aborted) resolve(undefined);
    else io.signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
  const first = await Promise.race([exited, aborted]);
  if (first !== undefined) return first;
  if (sandbox.isRunning()) {
    const asked = sandbox.signal("SIGTERM");
    const inGrace = await Promise.race([exited, sleep(plan.graceMs, undefined, { ref: false })]);
    if (inGrace !== undefined) {
      await asked;
      return inGrace;
    }
    await end(run);
    await asked;
  }
  await end(run);
  return exited;
}

/** Threat: a sandbox that did not start, or broke down, counts as a tool that has ended so. */
function assertWhole(run: SandboxRun, { status, isStarted }: { readonly status: number; readonly isStarted: boolean }): void {
  const { sandbox, cgroup, plan } = run;
  if (memoryKills(cgroup.cgroup) > 0 && enforcedValue(plan, "memory") !== undefined) return;
  const failure = isStarted && status !== runscStatus ? undefined : sandbox.failure();
  if (failure === undefined && !sandbox.hasPanicked()) return;
  const what = isStarted ? "go on with" : "start";
  const why = failure === undefined ? "the sandbox's kernel broke down" : "runsc has failed";
  throw new ToolRuntimeError("ERR_BACKEND_FAILED", `Cannot ${what} the tool on backend "gvisor": ${why}; look at its log`, {
    backend: "gvisor",
    started: isStarted,
    cause: new Error(failure ?? why),
  });
}

function assertStarted({ plan, program }: SandboxRun, startOfErrors: string): void {
  const why = startFailure(startOfErrors);
  if (why === undefined) return;
  const { name } = plan.tool.manifest;
  throw new ToolRuntimeError(
    "ERR_ARTIFACT_INVALID",
    `Cannot start ${JSON.stringify(program)} of the tool "${name}" on backend "gvisor": ${why}; look at the manifest's "argv"`,
    { backend: "gvisor", details: { tool: name } },
  );
}

async function report(run: SandboxRun, status: number): Promise<RunReport> {
  const { cgroup, scratch, plan } = run;
  const kills = memoryKills(cgroup.cgroup);
  const held = cgroup.readings().map((reading) => (reading.limit === "memory" && kills > 0 ? killedReading(reading) : reading));
  const readings = [...held, ...processReading(run), await scratch.reading(), ...cpuReading(run)];
  // Whichever process of the sandbox the kernel has taken, the sandbox has ended for it.
  const isTaken = kills > 0 && status >= runscStatus;
  const exit = isTaken ? sigkill : exitOfStatus(status);
  const isKilled = exit.kind === "signalled" && exit.signal === "SIGKILL";
  const limitHit = isKilled ? hitOf(plan, readings, kills) : undefined;
  return { exit, readings, ...(limitHit === undefined ? {} : { limitHit }) };
}

/**
 * A process that the kernel is ending may charge some pages beyond the limit, so that it can end (mm/memcontrol.c, `try_charge_memcg`). The
 * tool has nothing of them.
 */
function killedReading(reading: LimitReading): LimitReading {
  const { applied, peak } = reading;
  const isOver = applied !== undefined && peak !== undefined && peak > applied;
  return { ...reading, hit: "yes", ...(isOver ? { peak: applied } : {}) };
}

/** The sandbox's own kernel holds it and counts it; from outside only what it was told can be seen. */
function processReading({ plan }: SandboxRun): LimitReading[] {
  const value = enforcedValue(plan, "processes");
  return value === undefined
    ? []
    : [{ limit: "processes", applied: value, source: "RLIMIT_NPROC in the sandbox's config.json", hit: "unknown" }];
}

function cpuReading({ plan, cgroup }: SandboxRun): LimitReading[] {
  const limitMs = enforcedValue(plan, "cpuTime");
  const used = cpuTimeUsedMs(cgroup.cgroup);
  if (limitMs === undefined || used === undefined) return [];
  return [{ limit: "cpuTime", applied: limitMs, source: used.source, peak: used.usedMs, hit: used.usedMs >= limitMs ? "yes" : "no" }];
}

/** The limit that ended the sandbox by SIGKILL, where one did. */
function hitOf(plan: Plan, readings: readonly LimitReading[], kills: number): RunReport["limitHit"] {
  for (const limit of ["cpuTime", "memory"] as const) {
    const found = readings.find((reading) => reading.limit === limit);
    if (found?.hit !== "yes" || enforcedValue(plan, limit) === undefined) continue;
    if (limit === "memory" && kills === 0) continue;
    return { limit, ...(found.peak === undefined ? {} : { observed: found.peak }) };
  }
  return undefined;
}
