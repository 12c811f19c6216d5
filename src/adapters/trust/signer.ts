import { CompactSign } from "jose/jws/compact/sign";
import { scopes as allScopes, type Scope } from "../../edge/auth.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { encodeBase64Url } from "../../internal/base64.ts";
import type { Signer } from "../../internal/client/transport.ts";
import { digestPattern, maxLifetimeS, namePattern, tokenType } from "./format.ts";
import { algorithmOf, parsePrivateKey, type PrivateKey } from "./jwks.ts";

export interface RequestSignerOptions {
  readonly key: PrivateKey;
  /** Who signs. The service must know the key under this name. Default: the `iss` of the key. */
  readonly issuer?: string;
  /** For whom: the principal that the service writes down. */
  readonly subject: string;
  /** Whose executions and files they are. Default: `default`. */
  readonly tenant?: string;
  /** What the token may be used for. Default: `run` and `read`. */
  readonly scopes?: readonly Scope[];
  /** The service's name or url, as it knows itself. */
  readonly audience: string;
  /** From now, in seconds, at most 60. Default 60. A service takes it for 30 s more. */
  readonly lifetimeS?: number;
  /** SHA-256 of this side's certificate in base64url: then the token is good together with it alone (RFC 8705 §3.1). */
  readonly certificate?: string;
  /** Default: the machine's clock, in ms. */
  readonly now?: () => number;
}

const encoder = new TextEncoder();

/**
 * Makes a token for each request, for `signer` of a client or of a node.
 *
 * @throws `ERR_ARGUMENT_INVALID`, `ERR_CONFIG_INVALID` for a key that cannot sign.
 */
export function requestSigner(options: RequestSignerOptions): Signer {
  const { subject, tenant = "default", scopes = ["run", "read"], audience, lifetimeS = maxLifetimeS, certificate } = options;
  const key = parsePrivateKey(options.key);
  const issuer = options.issuer ?? key.iss ?? "";
  const now = options.now ?? Date.now;
  for (const [option, value] of Object.entries({ issuer, subject, tenant, audience })) {
    if (!namePattern.test(value)) throw invalid(option, "it takes 1 to 200 characters, no control characters");
  }
  const unknown = scopes.find((scope) => !allScopes.includes(scope));
  if (scopes.length === 0 || unknown !== undefined) throw invalid("scopes", `it takes at least one of ${allScopes.join(", ")}`);
  if (!Number.isSafeInteger(lifetimeS) || lifetimeS < 1 || lifetimeS > maxLifetimeS)
    throw invalid("lifetimeS", `it takes whole seconds, 1 to ${maxLifetimeS}`);
  if (certificate !== undefined && !digestPattern.test(certificate)) throw invalid("certificate", "it takes a SHA-256 in base64url");
  const alg = algorithmOf(key);
  const header = { alg, kid: key.kid, typ: tokenType };
  const { kty, crv, x, d } = key;
  // Without the members that are this project's own, and with those that say what it may be used for.
  const jwk = { kty, crv, x, d, alg, ...(key.kty === "EC" ? { y: key.y } : {}) };
  const fixed = {
    iss: issuer,
    sub: subject,
    tenant,
    scope: scopes.join(" "),
    aud: audience,
    ...(certificate === undefined ? {} : { cnf: { "x5t#S256": certificate } }),
  };
  return async ({ method, target, bodyDigest }) => {
    const iat = Math.floor(now() / 1000);
    const jti = encodeBase64Url(crypto.getRandomValues(new Uint8Array(16)));
    const claims = { ...fixed, iat, exp: iat + lifetimeS, jti, htm: method, htu: target, bd: bodyDigest };
    return new CompactSign(encoder.encode(JSON.stringify(claims))).setProtectedHeader(header).sign(jwk);
  };
}

function invalid(option: string, why: string): ToolRuntimeError {
  return new ToolRuntimeError("ERR_ARGUMENT_INVALID", `Cannot use the option "${option}" of the signer: ${why}`, { details: { option } });
}
