import { ToolRuntimeError } from "../errors.ts";
import { sha256 } from "../internal/digest.ts";

export const scopes = ["run", "read", "metrics", "tools"] as const;
/** `run`: start and cancel executions, upload. `read`: tools, backends, executions, blobs. `metrics`: `/metrics`. `tools`: send tools. */
export type Scope = (typeof scopes)[number];
/** Those of whoever is not given others. Sending tools is for those alone who are trusted with it by name. */
const defaultScopes: readonly Scope[] = ["run", "read", "metrics"];

/** Who calls. Executions, blobs and idempotency keys belong to the tenant. */
export interface Identity {
  readonly principal: string;
  readonly tenant: string;
  readonly scopes: readonly Scope[];
  /** Who vouches for the caller, for the log. */
  readonly issuer?: string;
  /** SHA-256 of the one body that the caller may send, in base64url. Absent: any. */
  readonly bodyDigest?: string;
}

/** What is known of a request before it is known who calls. */
export interface AuthRequest {
  readonly method: string;
  /** Path and query, as they came. */
  readonly target: string;
  /** SHA-256 of the caller's certificate, in base64url (RFC 8705 §3.1). Absent: none was asked for or given. */
  readonly certificate: string | undefined;
  header(name: string): string | undefined;
  /** Says in the service's log why somebody is refused. The caller is not told. */
  note(reason: string): void;
}

/** Says who calls, or nothing where what shows it is missing or wrong. */
export type Authenticator = (request: AuthRequest) => Identity | undefined | Promise<Identity | undefined>;

export interface BearerToken {
  readonly token: string;
  readonly principal: string;
  readonly tenant: string;
  /** Default: all but `tools`. */
  readonly scopes?: readonly Scope[];
}

/** Everybody is the same caller. For a loopback address in `dev` only. */
export function anyone(): Authenticator {
  const identity: Identity = { principal: "anonymous", tenant: "default", scopes: defaultScopes };
  return () => identity;
}

/** Compares every character, so that the time does not tell how many fit. Both are digests, of equal length. */
function isEqualDigest(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let index = 0; index < a.length; index++) difference |= a.charCodeAt(index) ^ b.charCodeAt(index);
  return difference === 0;
}

/**
 * Static bearer tokens (RFC 6750 §2.1). The digests of the given token and of each known one are compared, all of them
 * each time. A header that was right once is then known by itself: the map is asked by the string's hash, whose seed is the process's own.
 */
export function bearerTokens(tokens: readonly BearerToken[]): Authenticator {
  const known = new Map<string, Identity>();
  let digests: Promise<{ readonly digest: string; readonly identity: Identity }[]> | undefined;

  const digestAll = () =>
    Promise.all(
      tokens.map(async ({ token, principal, tenant, scopes: some }) => ({
        digest: await sha256(token),
        identity: { principal, tenant, scopes: some ?? defaultScopes },
      })),
    );

  const check = async (authorization: string): Promise<Identity | undefined> => {
    const token = /^bearer +([A-Za-z0-9._~+/=-]+)$/i.exec(authorization)?.[1];
    if (token === undefined) return undefined;
    digests ??= digestAll();
    const given = await sha256(token);
    let found: Identity | undefined;
    for (const { digest, identity } of await digests) {
      if (isEqualDigest(given, digest)) found = identity;
    }
    if (found !== undefined && known.size < tokens.length * 2) known.set(authorization, found);
    return found;
  };

  return (request) => {
    const authorization = request.header("authorization");
    return authorization === undefined ? undefined : (known.get(authorization) ?? check(authorization));
  };
}

/** Asks one after the other until one knows who calls. */
export function firstOf(first: Authenticator, ...others: readonly Authenticator[]): Authenticator {
  const askOthers = async (request: AuthRequest, asked: Identity | undefined | Promise<Identity | undefined>) => {
    let identity = await asked;
    for (const authenticate of others) identity ??= await authenticate(request);
    return identity;
  };
  if (others.length === 0) return first;
  return (request) => {
    const identity = first(request);
    // Whoever is known at once is answered without a turn of the event loop.
    return identity === undefined || identity instanceof Promise ? askOthers(request, identity) : identity;
  };
}

/** @throws `ERR_FORBIDDEN`. */
export function requireScope(identity: Identity, scope: Scope): void {
  if (identity.scopes.includes(scope)) return;
  throw new ToolRuntimeError("ERR_FORBIDDEN", `Cannot answer the request: the token has no scope "${scope}"`, {
    details: { scope, scopes: identity.scopes },
  });
}

/** What is wrong with a token is for the log alone: whoever forges one would learn from it. */
export function unauthorized(authorization: string | undefined): ToolRuntimeError {
  const state = authorization === undefined ? "it has no token" : "its token is not known here, or is not for this request";
  return new ToolRuntimeError("ERR_UNAUTHORIZED", `Cannot answer the request: ${state}; send "Authorization: Bearer <token>"`);
}
