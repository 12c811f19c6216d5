import * as z from "zod/mini";
import { ToolRuntimeError } from "../../errors.ts";
import { decodeBase64Url } from "../../internal/base64.ts";
import { formatProblems, inEnglish, problemsOf } from "../../internal/zod-problem.ts";
import { keyIdPattern, namePattern, type SigningAlgorithm } from "./format.ts";

const bytes32 = z
  .string()
  .check(z.refine((text) => decodeBase64Url(text)?.length === 32, "must be 32 bytes in base64url, without padding"));
const name = z.string().check(z.regex(namePattern, "must be 1 to 200 characters, no control characters"));
const shared = {
  kid: z.string().check(z.regex(keyIdPattern, "must be 1 to 128 letters, digits and . _ ~ -")),
  use: z.optional(z.literal("sig")),
  /** Whose key it is. */
  iss: z.optional(name),
  /** In seconds since 1970: after it nothing that the key has signed is taken. */
  exp: z.optional(z.int()),
};
const okp = { ...shared, kty: z.literal("OKP"), crv: z.literal("Ed25519"), alg: z.optional(z.literal("EdDSA")), x: bytes32 };
const ec = { ...shared, kty: z.literal("EC"), crv: z.literal("P-256"), alg: z.optional(z.literal("ES256")), x: bytes32, y: bytes32 };

const publicKeySchema = z.discriminatedUnion("kty", [z.object(okp), z.object(ec)]);
const privateKeySchema = z.discriminatedUnion("kty", [z.object({ ...okp, d: bytes32 }), z.object({ ...ec, d: bytes32 })]);
const keySetSchema = z.object({ keys: z.array(z.unknown()) });

/** A public key as JWK (RFC 7517): Ed25519 (RFC 8037) or P-256. */
export type PublicKey = z.infer<typeof publicKeySchema>;
export type PrivateKey = z.infer<typeof privateKeySchema>;
export interface KeySet {
  readonly keys: readonly PublicKey[];
}

export function algorithmOf({ kty }: PublicKey): SigningAlgorithm {
  return kty === "OKP" ? "EdDSA" : "ES256";
}

/** What is wrong with a key never quotes it. */
function invalid(what: string, problem: string): ToolRuntimeError {
  return new ToolRuntimeError("ERR_CONFIG_INVALID", `Cannot use the ${what}: ${problem}`, { details: { problem } });
}

/** Reads a set of public keys, with any other member left out. @throws `ERR_CONFIG_INVALID`. */
export function parseKeySet(value: unknown): KeySet {
  const set = keySetSchema.safeParse(value, inEnglish);
  if (!set.success) throw invalid("key set", formatProblems(problemsOf(keySetSchema, set.error)));
  const ids = new Set<string>();
  const keys = set.data.keys.map((entry, index) => {
    // Whoever reads the set would be able to sign.
    if (typeof entry === "object" && entry !== null && ("d" in entry || "k" in entry))
      throw invalid("key set", `/keys/${index} has the secret part of a key; a key set takes public keys`);
    const key = publicKeySchema.safeParse(entry, inEnglish);
    if (!key.success) throw invalid("key set", `/keys/${index}${prefixed(formatProblems(problemsOf(publicKeySchema, key.error)))}`);
    if (ids.has(key.data.kid)) throw invalid("key set", `/keys/${index}/kid: another key has the same; each takes one of its own`);
    ids.add(key.data.kid);
    return key.data;
  });
  return { keys };
}

/** Reads a key to sign with. @throws `ERR_CONFIG_INVALID`. */
export function parsePrivateKey(value: unknown): PrivateKey {
  const key = privateKeySchema.safeParse(value, inEnglish);
  if (key.success) return key.data;
  throw invalid("private key", formatProblems(problemsOf(privateKeySchema, key.error)));
}

/** The part of a key that may be shown. */
export function publicPartOf(key: PrivateKey): PublicKey {
  const { d: _, ...rest } = key;
  return rest;
}

function prefixed(problem: string): string {
  return problem.startsWith("/") ? problem : `: ${problem}`;
}
