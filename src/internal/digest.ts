import { ToolRuntimeError } from "../errors.ts";

/** A content address: `sha256:` and 64 hexadecimal digits. */
export type Digest = `sha256:${string}`;

export const digestPattern = /^sha256:[0-9a-f]{64}$/;

export function isDigest(text: string): text is Digest {
  return digestPattern.test(text);
}

const encoder = new TextEncoder();

export async function sha256(content: Uint8Array | string): Promise<Digest> {
  const bytes = typeof content === "string" ? encoder.encode(content) : content;
  // WebCrypto takes no view on shared memory; a copy is needed only there.
  const own = bytes.buffer instanceof ArrayBuffer ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) : bytes.slice();
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", own as Uint8Array<ArrayBuffer>));
  return `sha256:${toHex(hash)}`;
}

export function toHex(bytes: Uint8Array): string {
  let hex = "";
  for (const byte of bytes) hex += byte.toString(16).padStart(2, "0");
  return hex;
}

/** The digits of a digest. */
export function hexOf(digest: Digest): string {
  return digest.slice("sha256:".length);
}

/** @throws `ERR_DIGEST_MISMATCH` where both are known and differ. */
export function assertDigest(tool: string, expected: string | undefined, actual: string): void {
  if (expected === undefined || expected === actual) return;
  throw new ToolRuntimeError(
    "ERR_DIGEST_MISMATCH",
    `Cannot use the artifact of the tool "${tool}": its bytes are ${actual}, its manifest says ${expected}`,
    { details: { tool, expected, actual } },
  );
}
