import { compactVerify } from "jose/jws/compact/verify";
import { scopes as allScopes, type Authenticator, type AuthRequest, type Identity, type Scope } from "../../edge/auth.ts";
import { ToolRuntimeError } from "../../errors.ts";
import { Denial, readToken, type Claims, type ReadToken } from "./claims.ts";
import { maxLifetimeS, skewS } from "./format.ts";
import { algorithmOf, parseKeySet, type KeySet, type PublicKey } from "./jwks.ts";
import { memoryReplays, type Replays } from "./replays.ts";

/** Who may sign, and for what. */
export interface Issuer {
  readonly name: string;
  /** The tenants that it may speak for. Default: any. */
  readonly tenants?: readonly string[];
  /** The most that its tokens may be used for. Default: any scope. */
  readonly scopes?: readonly Scope[];
}

export interface SignedTokensOptions {
  /** Public keys, or what gives the current ones: it is asked for each token. A key belongs to one issuer, its `iss`. */
  readonly keys: KeySet | (() => KeySet);
  /** A key without `iss` is that of the only one; where there are several, it is nobody's. */
  readonly issuers: readonly Issuer[];
  /** What callers call this service: a name or url, or several. */
  readonly audience: string | readonly string[];
  /** Default: `memoryReplays()`. */
  readonly replays?: Replays;
  /** Default: the machine's clock, in ms. */
  readonly now?: () => number;
}

/** A key as it is used, and whose it is. */
interface TrustedKey {
  readonly issuer: string | undefined;
  readonly alg: ReturnType<typeof algorithmOf>;
  readonly expiresS: number;
  /** The verifier keeps what it has made of one object. */
  readonly jwk: { readonly kty: string; readonly crv: string; readonly x: string; readonly y?: string; readonly alg: string };
}

/**
 * Takes signed tokens, each for one request and once. Whatever is wrong with one, the caller is told the same; the log says
 * which.
 *
 * @throws `ERR_CONFIG_INVALID` for keys that cannot be used. Its authenticator throws `ERR_TOKEN_REPLAYED` for a token that
 * came before, `ERR_RATE_LIMITED` where an issuer sends more than can be remembered.
 */
export function signedTokens(options: SignedTokensOptions): Authenticator {
  const { issuers, keys, now = Date.now, replays = memoryReplays() } = options;
  const audiences: ReadonlySet<string> = new Set(typeof options.audience === "string" ? [options.audience] : options.audience);
  const known: ReadonlyMap<string, Issuer> = new Map(issuers.map((issuer) => [issuer.name, issuer]));
  const [only] = issuers;
  const fallback = issuers.length === 1 ? only?.name : undefined;
  const table = keyTable(keys, fallback);
  table();
  const check = async (read: ReadToken, request: AuthRequest): Promise<Identity> => {
    const { claims, header, token } = read;
    const key = table().get(header.kid);
    const issuer = known.get(claims.iss);
    const nowMs = now();
    if (key === undefined || nowMs / 1000 > key.expiresS) throw new Denial("kid");
    if (key.alg !== header.alg) throw new Denial("alg");
    if (issuer === undefined || key.issuer !== claims.iss) throw new Denial("issuer");
    if (!audiences.has(claims.aud)) throw new Denial("audience");
    assertTimes(claims, nowMs / 1000);
    assertRequest(claims, request);
    if (issuer.tenants?.includes(claims.tenant) === false) throw new Denial("tenant");
    await compactVerify(token, key.jwk, { algorithms: [key.alg] }).catch(() => {
      throw new Denial("signature");
    });
    // Last: only a token that is good in all else may take room.
    assertFirst(await replays.spend(spentOf(claims, nowMs)), request);
    const given = claims.scope.split(" ");
    const scopes = allScopes.filter((scope) => given.includes(scope) && issuer.scopes?.includes(scope) !== false);
    return { principal: claims.sub, tenant: claims.tenant, scopes, issuer: claims.iss, bodyDigest: claims.bd };
  };
  return async (request) => {
    try {
      const read = readToken(request.header("authorization"));
      return read === undefined ? undefined : await check(read, request);
    } catch (error) {
      if (!(error instanceof Denial)) throw error;
      request.note(error.message);
      return undefined;
    }
  };
}

/** The keys by name, made anew when others are given. */
function keyTable(keys: SignedTokensOptions["keys"], fallback: string | undefined): () => ReadonlyMap<string, TrustedKey> {
  const make = (set: KeySet) => new Map(parseKeySet(set).keys.map((key) => [key.kid, trustedKey(key, fallback)]));
  let made: { readonly of: KeySet; readonly table: ReadonlyMap<string, TrustedKey> } | undefined;
  return () => {
    const current = typeof keys === "function" ? keys() : keys;
    if (made?.of !== current) made = { of: current, table: make(current) };
    return made.table;
  };
}

function trustedKey(key: PublicKey, fallback: string | undefined): TrustedKey {
  const { kty, crv, x } = key;
  const alg = algorithmOf(key);
  const jwk = { kty, crv, x, alg, ...(key.kty === "EC" ? { y: key.y } : {}) };
  return { issuer: key.iss ?? fallback, alg, expiresS: key.exp ?? Number.POSITIVE_INFINITY, jwk };
}

function assertTimes({ iat, exp, nbf }: Claims, nowS: number): void {
  if (exp <= iat || exp - iat > maxLifetimeS) throw new Denial("lifetime");
  if (Math.max(iat, nbf ?? 0) > nowS + skewS) throw new Denial("not yet valid");
  if (exp < nowS - skewS) throw new Denial("expired");
}

function assertRequest({ htm, htu, cnf }: Claims, { method, target, certificate }: AuthRequest): void {
  if (htm !== method) throw new Denial("method");
  if (htu !== target) throw new Denial("path");
  if (cnf !== undefined && cnf["x5t#S256"] !== certificate) throw new Denial("certificate");
}

function spentOf({ iss, jti, exp }: Claims, nowMs: number) {
  return { issuer: iss, id: jti, validForMs: (exp + skewS) * 1000 - nowMs };
}

/** @throws `ERR_TOKEN_REPLAYED`, `ERR_RATE_LIMITED`. */
function assertFirst(spending: "first" | "seen" | "full", { method }: AuthRequest): void {
  if (spending === "first") return;
  if (spending === "full") {
    throw new ToolRuntimeError("ERR_RATE_LIMITED", "Cannot take the token: its issuer has sent more than are remembered; send it later", {
      details: { retryAfterMs: 5000 },
    });
  }
  throw new ToolRuntimeError("ERR_TOKEN_REPLAYED", "Cannot take the token: a request came with it before; sign each one anew", {
    // What came with it first may have been taken.
    started: method === "POST",
  });
}
