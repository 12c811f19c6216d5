import { setTimeout as sleep } from "node:timers/promises";
import { enforcedValue, type Plan, type RunIo, type RunReport } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import type { Cgroup } from "../../internal/node/cgroup.ts";
import { watchCpuTime } from "../../internal/node/cpu-time.ts";
import type { ProcessTree } from "../../internal/node/process-tree.ts";
import { pump, type Pump } from "../../internal/node/pump.ts";
import type { LimitReading } from "../../limits.ts";
import type { StartedProcess } from "./client.ts";
import { limitHitOf, readEnd } from "./readings.ts";

/** How long the kernel may take to end processes that got SIGKILL. */
const killTimeoutMs = 5000;
/** How often the tree is looked at between SIGTERM and SIGKILL. */
const gracePollMs = 20;
/** How often a silent pipe is looked at when the tree is gone; only a process that escaped can hold it open. */
const drainRounds = 15;

export interface RunParts {
  readonly plan: Plan;
  readonly io: RunIo;
  readonly started: StartedProcess;
  readonly tree: ProcessTree;
  readonly cgroup: Cgroup | undefined;
  /** What the cgroup's files said when the limits were set up. */
  readonly setUp: readonly LimitReading[];
}

function whenAborted(signal: AbortSignal): Promise<"aborted"> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve("aborted");
    else signal.addEventListener("abort", () => resolve("aborted"), { once: true });
  });
}

/** SIGTERM to every process and time to obey. */
async function askToEnd(tree: ProcessTree, graceMs: number): Promise<void> {
  tree.signal("SIGTERM");
  const until = performance.now() + graceMs;
  while (!tree.isEmpty() && performance.now() < until) await sleep(gracePollMs);
}

async function endTree(tree: ProcessTree): Promise<void> {
  if (await tree.kill(killTimeoutMs)) return;
  throw new ToolRuntimeError(
    "ERR_BACKEND_FAILED",
    `Cannot end the processes of the tool on backend "unsafe": some are there ${killTimeoutMs} ms after SIGKILL; look for processes in state D`,
    { started: true },
  );
}

/** Waits until the pipes are read to their end, or are held open by a process that is not of the tree any more. */
async function drain(pumps: readonly Pump[]): Promise<void> {
  const done = Promise.all(pumps.map((one) => one.done)).then(() => true);
  // Rounds and not a time: in each the event loop looks at the pipes, however late it comes to that.
  for (let silent = 0; silent < drainRounds; silent = pumps.some((one) => one.wasBusy()) ? 0 : silent + 1) {
    if (await Promise.race([done, sleep(gracePollMs, false)])) return;
  }
}

/** Waits for the tool's end, or ends it, and then ends what it left behind. Settles when no process is left. */
export async function superviseRun(parts: RunParts): Promise<RunReport> {
  const { plan, io, started, tree, cgroup } = parts;
  const { stdout, stderr } = started;
  const cpuTime = watchCpuTime({ cgroup, limitMs: enforcedValue(plan, "cpuTime"), end: () => void tree.kill(killTimeoutMs) });
  try {
    // Even a run that is ended already waits for the launcher: until that has joined the cgroup nothing would find it.
    await started.launched;
    io.started();
    const pumps = [pump(stdout, (bytes) => io.stdout(bytes), io.signal), pump(stderr, (bytes) => io.stderr(bytes), io.signal)];
    const first = await Promise.race([started.exited, whenAborted(io.signal)]);
    if (first === "aborted") await askToEnd(tree, plan.graceMs);
    await endTree(tree);
    const exit = await started.exited;
    await drain(pumps);
    const limitHit = limitHitOf(parts, exit);
    return { exit, readings: readEnd(parts, parts.setUp), ...(limitHit === undefined ? {} : { limitHit }) };
  } finally {
    cpuTime.stop();
    for (const stream of [stdout, stderr]) stream.destroy();
    await endTree(tree);
  }
}
