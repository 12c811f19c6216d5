import { calculateJwkThumbprint } from "jose/jwk/thumbprint";
import { exportJWK } from "jose/key/export";
import { generateKeyPair } from "jose/key/generate/keypair";
import { parsePrivateKey, type KeySet, type PrivateKey, type PublicKey } from "../../adapters/trust/index.ts";
import { ToolRuntimeError } from "../../errors.ts";

export const keyAlgorithms = ["EdDSA", "ES256"] as const;
export type KeyAlgorithm = (typeof keyAlgorithms)[number];

/** A new key of an issuer, named by its thumbprint (RFC 7638). */
export async function makeKey(alg: KeyAlgorithm, issuer: string): Promise<PrivateKey> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = await exportJWK(privateKey);
  return parsePrivateKey({ ...jwk, alg, use: "sig", kid: await calculateJwkThumbprint(jwk), iss: issuer });
}

export interface Rotation {
  readonly keys: KeySet;
  /** When the old key runs out, in seconds since 1970. */
  readonly expiresS: number;
  /** Keys that had run out already and are gone from the set. */
  readonly dropped: readonly string[];
}

export interface RotationOptions {
  readonly old: PublicKey;
  readonly next: PublicKey;
  readonly graceMs: number;
  readonly nowMs: number;
}

/**
 * Puts a new key beside the old one, which runs out after a while. Keys that have run out are left out.
 *
 * @throws `ERR_ARGUMENT_INVALID` where the set does not have the old key, or it is about to run out already.
 */
export function rotate({ keys }: KeySet, { old, next, graceMs, nowMs }: RotationOptions): Rotation {
  const current = keys.find(({ kid }) => kid === old.kid);
  if (current === undefined)
    throw new ToolRuntimeError("ERR_ARGUMENT_INVALID", `Cannot rotate the key "${old.kid}": the key set does not have it`);
  if (current.exp !== undefined) {
    throw new ToolRuntimeError(
      "ERR_ARGUMENT_INVALID",
      `Cannot rotate the key "${old.kid}": another one has taken its place, and it runs out at ${timeOf(current.exp)}; rotate that one`,
    );
  }
  const expiresS = Math.floor((nowMs + graceMs) / 1000);
  const isOver = ({ exp }: PublicKey): boolean => exp !== undefined && exp * 1000 < nowMs;
  const kept = keys.filter((key) => !isOver(key)).map((key) => (key.kid === old.kid ? { ...key, exp: expiresS } : key));
  return { keys: { keys: [...kept, next] }, expiresS, dropped: keys.filter(isOver).map(({ kid }) => kid) };
}

export function timeOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
