import { ToolRuntimeError } from "../../errors.ts";
import type { CompiledArtifact, EngineAbi } from "../../tool.ts";
import type { ReadyArtifact } from "../artifact.ts";
import type { MemoryPool } from "../memory-pool.ts";

/** What a compiled artifact is made ready with. */
export interface ReadyParts {
  /** The tool's name: what the guest is told that it is called, and for messages. */
  readonly tool: string;
  readonly pool: MemoryPool;
}

/** What runs the artifacts of one ABI. Each is a module of its own: a program carries those that its tools need. */
export interface AbiRunner {
  readonly abi: EngineAbi;
  /** Makes a compiled artifact ready to run. Compiles nothing. @throws `ERR_ARTIFACT_UNSUPPORTED` for facts that are not this engine's. */
  ready(artifact: CompiledArtifact, parts: ReadyParts): ReadyArtifact;
}

/** Makes an artifact ready by the runner of its ABI. @throws `ERR_ARTIFACT_UNSUPPORTED`. */
export function readyArtifact(runners: readonly AbiRunner[], artifact: CompiledArtifact, parts: ReadyParts): ReadyArtifact {
  const { abi } = artifact;
  const runner = runners.find((one) => one.abi === abi);
  if (runner !== undefined) return runner.ready(artifact, parts);
  throw new ToolRuntimeError(
    "ERR_ARTIFACT_UNSUPPORTED",
    `Cannot run the tool "${parts.tool}": this program was put together without the ABI "${abi}"; build its tools and its engine together, by toolruntime build`,
    { details: { tool: parts.tool, abi } },
  );
}
