import { createHash } from "node:crypto";
import type { StreamHash } from "../../edge/index.ts";

/** SHA-256 of a body as it comes, of which nothing is kept. */
export function streamHash(): StreamHash {
  const hash = createHash("sha256");
  return {
    update: (bytes) => void hash.update(bytes),
    digest: () => hash.digest(),
  };
}
