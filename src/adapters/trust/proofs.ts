import { compactVerify } from "jose/jws/compact/verify";
import { CompactSign } from "jose/jws/compact/sign";
import { ToolRuntimeError } from "../../errors.ts";
import { proofReportSchema, type ProofReport } from "../../internal/proof.ts";
import { formatProblems, inEnglish, problemsOf } from "../../internal/zod-problem.ts";
import { algorithmOf, type KeySet, type PrivateKey } from "./jwks.ts";

/** The media type in the header: a token for a request is never taken for a report, nor a report for a token. */
const type = "toolruntime-proof+jws";

/** Signs a report: a compact JWS (RFC 7515) whose payload is its JSON. */
export async function signProof(report: ProofReport, key: PrivateKey): Promise<string> {
  const { exp: _exp, iss: _iss, use: _use, ...jwk } = key;
  const alg = algorithmOf(key);
  return new CompactSign(new TextEncoder().encode(JSON.stringify(report)))
    .setProtectedHeader({ alg, kid: key.kid, typ: type })
    .sign({ ...jwk, alg });
}

export interface VerifyProofOptions {
  readonly keys: KeySet;
  /** The oldest that is taken, in ms. Default: any age. */
  readonly maxAgeMs?: number;
  /** Default: the machine's clock, in ms. */
  readonly now?: () => number;
}

/** Reads a signed report. @throws `ERR_ATTESTATION` where it is not one of a trusted key, or is too old. */
export async function verifyProof(
  text: string,
  { keys, maxAgeMs = Number.POSITIVE_INFINITY, now = Date.now }: VerifyProofOptions,
): Promise<ProofReport> {
  const nowMs = now();
  const { payload, protectedHeader } = await compactVerify(text.trim(), ({ kid, alg }) => {
    const key = keys.keys.find((one) => one.kid === kid);
    if (key === undefined || algorithmOf(key) !== alg) throw denied("no trusted key has signed it");
    if (key.exp !== undefined && nowMs / 1000 > key.exp) throw denied("the key that signed it has expired");
    const { exp: _exp, iss: _iss, use: _use, ...jwk } = key;
    return { ...jwk, alg };
  }).catch((cause: unknown) => {
    throw cause instanceof ToolRuntimeError ? cause : denied("its signature does not fit", cause);
  });
  if (protectedHeader.typ !== type) throw denied("it is signed as something else");
  const parsed = proofReportSchema.safeParse(JSON.parse(new TextDecoder().decode(payload)), inEnglish);
  if (!parsed.success) throw denied(formatProblems(problemsOf(proofReportSchema, parsed.error)));
  const ageMs = nowMs - Date.parse(parsed.data.endedAt);
  if (ageMs > maxAgeMs) throw denied(`it is ${Math.round(ageMs / 60_000)} minutes old`);
  return parsed.data;
}

function denied(why: string, cause?: unknown): ToolRuntimeError {
  return new ToolRuntimeError("ERR_ATTESTATION", `Cannot rely on the proof: ${why}`, {
    details: { why },
    ...(cause === undefined ? {} : { cause }),
  });
}
