import { enforcedValue, type Plan } from "../../backend.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { applyCgroupLimit, readCgroupLimit } from "../../internal/node/cgroup-limits.ts";
import { childError, type ChildHandle } from "./child-handle.ts";
import { frameKinds, ProtocolError } from "./frames.ts";
import type { BindMessage } from "./protocol.ts";
import { parseFailed } from "./replies.ts";

interface BindParts {
  readonly plan: Plan;
  readonly artifact: Uint8Array;
  readonly maxArtifactBytes: number;
  readonly components: string | undefined;
  /** What the process may have besides the guest's memory, in bytes. */
  readonly overheadBytes: number;
  readonly timeoutMs: number;
}

/** The artifact itself, its copies on the way through ingest, and its machine code. */
const bytesPerArtifactByte = 8;

/**
 * Gives a child its tool: sets the limits of its cgroup, sends the artifact and waits until the child has it ready.
 *
 * @throws what the engine throws, `ERR_LIMIT_COMPILE` where it takes too long, `ERR_BACKEND_FAILED`; the child is then to be killed.
 */
export async function bindChild(child: ChildHandle, parts: BindParts, signal: AbortSignal): Promise<void> {
  const { plan, artifact, maxArtifactBytes, components, timeoutMs } = parts;
  limitChild(child, parts);
  const { tool, ...facts } = plan;
  const { manifest, digest, resources } = tool;
  const message: BindMessage = {
    plan: facts,
    tool: { manifest, digest, resources },
    maxArtifactBytes,
    ...(components === undefined ? {} : { components }),
  };
  const run = child.nextRun();
  const answer = Promise.withResolvers<void>();
  // Nobody waits for it where the message could not be sent.
  answer.promise.catch(() => undefined);
  const stop = (): void => {
    answer.reject(signal.reason);
  };
  const timer = setTimeout(() => answer.reject(compileError(tool.manifest.name, timeoutMs)), timeoutMs);
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
    child.send(frameKinds.bind, run, { json: message, payload: artifact });
    await answer.promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
    child.listen(undefined);
  }
}

function compileError(tool: string, timeoutMs: number): ToolRuntimeError {
  return new ToolRuntimeError(
    "ERR_LIMIT_COMPILE",
    `Cannot get the WebAssembly of the tool "${tool}" ready: it takes longer than ${timeoutMs} ms`,
    { details: { limit: "compile", value: timeoutMs } },
  );
}

/** What is set is read back; a child that has its tool keeps its limits for good. */
function limitChild(child: ChildHandle, { plan, artifact, overheadBytes }: BindParts): void {
  const { cgroup } = child;
  if (cgroup === undefined) return;
  const memoryBytes = enforcedValue(plan, "memory");
  const cores = enforcedValue(plan, "cpu");
  const has = {
    memory: memoryBytes !== undefined && cgroup.find("memory") !== undefined,
    cpu: cores !== undefined && cgroup.find("cpu") !== undefined,
  };
  try {
    if (memoryBytes !== undefined && has.memory)
      applyCgroupLimit(cgroup, "memory", memoryBytes + overheadBytes + artifact.length * bytesPerArtifactByte);
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
