import { enforcedValue, type Plan } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { applyCgroupLimit, readCgroupLimit } from "../../internal/node/cgroup-limits.ts";
import type { MadeArtifact } from "../made.ts";
import { frameKinds, ProtocolError } from "../wire/frames.ts";
import { parseFailed } from "../wire/replies.ts";
import { childError, type ChildHandle } from "./child-handle.ts";
import { packMade } from "./made-payload.ts";
import { prepareError } from "./making.ts";
import type { BindMessage } from "./protocol.ts";

interface BindParts {
  readonly plan: Plan;
  readonly made: MadeArtifact;
  /** What the process may have besides the guest's memory, in bytes. */
  readonly overheadBytes: number;
  readonly timeoutMs: number;
}

/** The artifact itself, its copies on the way to the compiler, and its machine code. */
const bytesPerArtifactByte = 8;

/**
 * Gives a child its tool: sets the limits of its cgroup, sends the artifact and waits until the child has it ready.
 *
 * @throws what the engine throws, `ERR_LIMIT_COMPILE` where it takes too long, `ERR_BACKEND_FAILED`; the child is then to be killed.
 */
export async function bindChild(child: ChildHandle, parts: BindParts, signal: AbortSignal): Promise<void> {
  const { plan, made, overheadBytes, timeoutMs } = parts;
  const { name } = plan.tool.manifest;
  const { table, payload } = packMade(made);
  limitChild({ child, plan, ownBytes: overheadBytes + payload.length * bytesPerArtifactByte });
  const message: BindMessage = { tool: name, made: table };
  const run = child.nextRun();
  const answer = Promise.withResolvers<void>();
  // Nobody waits for it where the message could not be sent.
  answer.promise.catch(() => undefined);
  const stop = (): void => {
    answer.reject(signal.reason);
  };
  const timer = setTimeout(() => answer.reject(prepareError(name, timeoutMs)), timeoutMs);
  signal.addEventListener("abort", stop, { once: true });
  child.listen({
    take(frame) {
      if (frame.run !== run) throw new ProtocolError("it answered for another run");
      if (frame.kind === frameKinds.bound) answer.resolve();
      else if (frame.kind === frameKinds.failed) answer.reject(parseFailed(frame.json));
      else throw new ProtocolError("it did not answer what it was asked");
    },
    lost: (ending) => answer.reject(childError("get the tool ready", ending, false)),
  });
  try {
    signal.throwIfAborted();
    child.send(frameKinds.bind, run, { json: message, payload });
    await answer.promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
    child.listen(undefined);
  }
}

/** What is set is read back; a child that has its tool keeps its limits for good. */
function limitChild({ child, plan, ownBytes }: { readonly child: ChildHandle; readonly plan: Plan; readonly ownBytes: number }): void {
  const { cgroup } = child;
  if (cgroup === undefined) return;
  const memoryBytes = enforcedValue(plan, "memory");
  const cores = enforcedValue(plan, "cpu");
  const has = {
    memory: memoryBytes !== undefined && cgroup.find("memory") !== undefined,
    cpu: cores !== undefined && cgroup.find("cpu") !== undefined,
  };
  try {
    if (memoryBytes !== undefined && has.memory) applyCgroupLimit(cgroup, "memory", memoryBytes + ownBytes);
    if (cores !== undefined && has.cpu) applyCgroupLimit(cgroup, "cpu", cores);
  } catch (error) {
    throw new ToolRuntimeError("ERR_BACKEND_FAILED", 'Cannot set the limits of a cgroup on backend "wasm": the kernel refused them', {
      cause: error,
    });
  }
  child.limits = {
    ...(has.memory ? { memory: readCgroupLimit(cgroup, "memory") } : {}),
    ...(has.cpu ? { cpu: readCgroupLimit(cgroup, "cpu") } : {}),
  };
}
