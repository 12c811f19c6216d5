export const artifactKinds = ["wasm", "image", "command", "code"] as const;
export type ArtifactKind = (typeof artifactKinds)[number];
