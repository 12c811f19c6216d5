import type { Tool } from "../tool.ts";

/**
 * What the engine and the modules that it makes agree on: the names of what is added, the meaning of the facts. Whoever changes
 * either counts on, so that what was built before is refused and not run otherwise than it was made for.
 */
export const artifactFormat = 1;

/** The artifacts that this engine runs. */
export type EngineArtifact = "wasm" | "code";

/** The one that a plan, or a tool without plan, means. */
export function engineArtifactOf({ artifact }: { readonly artifact: string }): EngineArtifact {
  return artifact === "code" ? "code" : "wasm";
}

/** The function that a plug-in or component is called by. */
export function entryOf({ manifest }: Tool): string {
  return manifest.artifacts.wasm?.entry ?? "run";
}
