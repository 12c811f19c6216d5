import { ToolRuntimeError } from "../errors.ts";
import { assertDigest } from "../internal/digest.ts";
import type { CompiledArtifact, Tool } from "../tool.ts";
import { artifactFormat, entryOf, type EngineArtifact } from "./agreed.ts";

/**
 * Finds, among what was built of a tool ahead of time, the artifact that a run needs.
 *
 * @throws `ERR_DIGEST_MISMATCH` where any is of other bytes than the manifest says, `ERR_ARTIFACT_UNSUPPORTED` where the one that
 * fits was built for another engine, ABI or entry, or where there is none that fits and no bytes to make it of.
 */
export function findBuilt(tool: Tool, kind: EngineArtifact, deterministic: boolean): CompiledArtifact | undefined {
  const { manifest, sources } = tool;
  const { name, artifacts } = manifest;
  const compiled = (sources.compiled ?? []).filter(({ abi }) => (abi === "javascript") === (kind === "code"));
  for (const { of } of compiled) assertDigest(name, artifacts[kind]?.digest, of);
  const found = compiled.find((one) => one.deterministic === deterministic);
  if (found === undefined) {
    if (compiled.length === 0 || sources[kind] !== undefined) return undefined;
    throw unsupported(name, `there is none for ${deterministic ? "deterministic" : "plain"} runs`);
  }
  if (found.format !== artifactFormat) throw unsupported(name, `it is of format ${found.format}, this engine's is ${artifactFormat}`);
  if (kind === "code") return found;
  const { abi = found.abi } = artifacts.wasm ?? {};
  if (abi !== found.abi) throw unsupported(name, `it was built for the ABI "${found.abi}", the manifest says "${abi}"`);
  const { entry = entryOf(tool) } = found.facts;
  if (entry !== entryOf(tool)) throw unsupported(name, `it was built for another entry than "${entryOf(tool)}"`);
  return found;
}

function unsupported(tool: string, why: string): ToolRuntimeError {
  const message = `Cannot use the built artifact of the tool "${tool}": ${why}; build it again with toolruntime build`;
  return new ToolRuntimeError("ERR_ARTIFACT_UNSUPPORTED", message, { details: { tool } });
}
