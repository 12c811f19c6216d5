import { setTimeout as sleep } from "node:timers/promises";
import type { Duplex } from "node:stream";
import { enforcedValue, type Plan, type RunIo, type RunReport } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { cpuTimeUsedMs } from "../../internal/node/cgroup-limits.ts";
import { watchCpuTime } from "../../internal/node/cpu-time.ts";
import type { LimitReading } from "../../limits.ts";
import { exitOfStatus } from "../oci/exit.ts";
import { initFailure, startFailure } from "../oci/init-file.ts";
import type { RunCgroup } from "../oci/run-cgroup.ts";
import type { Scratch } from "../oci/scratch.ts";
import { engineError, statusOf, type ContainerOptions, type Docker, type PeerContainer } from "./client.ts";
import type { Flavor } from "./flavor.ts";
import { readStreams } from "./streams.ts";

/** How long the streams may stay open when the tool has ended; only a broken engine holds them. */
const drainMs = 5000;

export interface ContainerRun {
  readonly docker: Docker;
  readonly plan: Plan;
  readonly io: RunIo;
  readonly options: ContainerOptions;
  readonly flavor: Pick<Flavor, "tellsOom">;
  readonly cgroup: RunCgroup;
  readonly scratch: Scratch;
}

/** Runs one container from its making to its removal. What the tool hands back is still to be read from the scratch folder. */
export async function runContainer(run: ContainerRun): Promise<RunReport> {
  const peer = await run.docker.peer();
  let container: PeerContainer;
  try {
    container = await peer.createContainer(run.options);
  } catch (error) {
    throw engineError("make a container", error);
  }
  try {
    return await supervise(run, container);
  } finally {
    await removeContainer(container);
  }
}

/** Whatever state it is in. One that is gone, or is being removed by somebody else, is as good as removed. */
export async function removeContainer(container: PeerContainer): Promise<void> {
  try {
    await container.remove({ force: true, v: true });
  } catch (error) {
    const status = statusOf(error);
    if (status !== 404 && status !== 409) throw engineError("remove a container", error);
  }
}

async function supervise(run: ContainerRun, container: PeerContainer): Promise<RunReport> {
  const { docker, plan, io, cgroup } = run;
  io.signal.throwIfAborted();
  const attached = await docker.attach(container.id, io.signal).catch((error: unknown) => {
    throw io.signal.aborted ? io.signal.reason : engineError("attach to a container", error);
  });
  let startOfErrors = "";
  const stderr = (bytes: Uint8Array): void | Promise<void> => {
    const missing = initFailure.length + 2 - startOfErrors.length;
    if (missing > 0) startOfErrors += new TextDecoder("latin1").decode(bytes.subarray(0, missing));
    return io.stderr(bytes);
  };
  const cpuTime = watchCpuTime({
    cgroup: cgroup.cgroup,
    limitMs: enforcedValue(plan, "cpuTime"),
    end: () => void kill(container, "SIGKILL"),
  });
  try {
    // Asked before the start: a wait that comes after the end waits for ever.
    const exited = container.wait({ condition: "next-exit" });
    exited.catch(() => undefined);
    await container.start().catch((error: unknown) => {
      throw engineError("start a container", error);
    });
    io.started();
    const reading = readStreams(attached.stream, { stdout: (bytes) => io.stdout(bytes), stderr, signal: io.signal });
    send(attached.stream, io.stdin);
    const status = await untilEnd(run, container, exited);
    await Promise.race([reading, sleep(drainMs)]);
    if (status === 127 || status === 126) assertStarted(run, startOfErrors);
    return await report(run, container, status);
  } finally {
    cpuTime.stop();
    attached.close();
  }
}

function send(stream: Duplex, stdin: Uint8Array): void {
  if (stdin.length > 0) stream.write(stdin);
  stream.end();
}

async function kill(container: PeerContainer, signal: string): Promise<void> {
  try {
    await container.kill({ signal });
  } catch (error) {
    // It has ended meanwhile; podman says so with another status.
    const status = statusOf(error);
    if (status !== 404 && status !== 409 && status !== 500) throw engineError("end a container", error);
  }
}

/** Waits for the tool's end, or asks for it and then ends it. Gives the status that the engine tells. */
async function untilEnd({ plan, io }: ContainerRun, container: PeerContainer, exited: Promise<{ StatusCode: number }>): Promise<number> {
  const told = exited.then(({ StatusCode }) => StatusCode);
  const aborted = new Promise<undefined>((resolve) => {
    if (io.signal.aborted) resolve(undefined);
    else io.signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
  try {
    const first = await Promise.race([told, aborted]);
    if (first !== undefined) return first;
    await kill(container, "SIGTERM");
    const inGrace = await Promise.race([told, sleep(plan.graceMs, undefined, { ref: false })]);
    if (inGrace !== undefined) return inGrace;
    await kill(container, "SIGKILL");
    return await told;
  } catch (error) {
    throw engineError("wait for a container", error).with({ started: true });
  }
}

function assertStarted({ plan, options }: ContainerRun, startOfErrors: string): void {
  const why = startFailure(startOfErrors);
  if (why === undefined) return;
  const { name } = plan.tool.manifest;
  const [, program = "its entrypoint"] = options.Entrypoint;
  throw new ToolRuntimeError(
    "ERR_ARTIFACT_INVALID",
    `Cannot start ${JSON.stringify(program)} of the tool "${name}" on backend "docker": ${why}; look at the manifest's "argv"`,
    { backend: "docker", details: { tool: name } },
  );
}

async function report(run: ContainerRun, container: PeerContainer, status: number): Promise<RunReport> {
  const { plan, io, cgroup, scratch, flavor } = run;
  const { State } = await container.inspect().catch((error: unknown) => {
    throw engineError("look at a container", error).with({ started: true });
  });
  const exit = exitOfStatus(status);
  const cpuTime = cpuReading(run);
  const isKilled = exit.kind === "signalled" && exit.signal === "SIGKILL";
  const oom: OomFacts = {
    isTold: State.OOMKilled,
    isKilledByNobody: isKilled && !io.signal.aborted && cpuTime.every(({ hit }) => hit !== "yes"),
    canTell: flavor.tellsOom === "yes",
  };
  const readings = [...cgroup.readings().map((reading) => withOom(reading, oom)), await scratch.reading(), ...cpuTime];
  const limitHit = isKilled ? hitOf(plan, readings) : undefined;
  return { exit, readings, ...(limitHit === undefined ? {} : { limitHit }) };
}

interface OomFacts {
  /** The engine hears of a kill for want of memory, of a child's too. */
  readonly isTold: boolean;
  /** By SIGKILL, which this service did not send. */
  readonly isKilledByNobody: boolean;
  readonly canTell: boolean;
}

/**
 * In cgroups of version 1 a kill is counted where the container was, which is gone, and the engine's word of it may come late, or never;
 * so a tool that was at its limit of memory counts as killed for it.
 */
function withOom(reading: LimitReading, { isTold, isKilledByNobody, canTell }: OomFacts): LimitReading {
  if (reading.limit !== "memory" || reading.hit === "yes") return reading;
  const { peak, applied } = reading;
  const isReached = peak !== undefined && applied !== undefined && peak >= applied;
  if (isTold || (isReached && isKilledByNobody)) return { ...reading, hit: "yes" };
  return isReached && !canTell ? { ...reading, hit: "unknown" } : reading;
}

function cpuReading({ plan, cgroup }: ContainerRun): LimitReading[] {
  const limitMs = enforcedValue(plan, "cpuTime");
  const used = cpuTimeUsedMs(cgroup.cgroup);
  if (limitMs === undefined || used === undefined) return [];
  return [{ limit: "cpuTime", applied: limitMs, source: used.source, peak: used.usedMs, hit: used.usedMs >= limitMs ? "yes" : "no" }];
}

/** The limit that ended the tool by SIGKILL, where one did. */
function hitOf(plan: Plan, readings: readonly LimitReading[]): RunReport["limitHit"] {
  for (const limit of ["cpuTime", "memory"] as const) {
    const found = readings.find((reading) => reading.limit === limit);
    if (found?.hit !== "yes" || enforcedValue(plan, limit) === undefined) continue;
    return { limit, ...(found.peak === undefined ? {} : { observed: found.peak }) };
  }
  return undefined;
}
